package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sluice-go/sluice/bench/child"
	"github.com/sluice-go/sluice/bench/server"
)

// A Record is one line of the raw results.
type Record struct {
	Job
	Result child.Result `json:"result"`
}

// A lab makes runs against one server process.
type lab struct {
	control string // URL of the server's control port
	folder  string // results go there
	node    string // folder of the peer in JavaScript
	gocloud string // program of the peer go-cloud
	cores   []int  // for consumers; nil: all
	apart   *lab   // has a server with cores of its own; nil: there is none
}

// run makes one run of one consumer.
func (l *lab) run(ctx context.Context, job Job) (*Record, error) {
	if job.Apart {
		if l.apart == nil {
			return nil, errors.New("server and consumer cannot have cores of their own here")
		}
		job.Apart = false
		record, err := l.apart.run(ctx, job)
		if record != nil {
			record.Apart = true
		}
		return record, err
	}
	ctx, cancel := context.WithTimeout(ctx, job.Spec.Warm+job.Spec.Window+time.Minute)
	defer cancel()
	var run server.Run
	if err := l.call(ctx, http.MethodPost, "/runs", job.Setup, &run); err != nil {
		return nil, err
	}
	path := fmt.Sprintf("/runs/%d", run.ID)
	defer func() { _ = l.call(context.WithoutCancel(ctx), http.MethodDelete, path, nil, nil) }()
	job.Spec.Endpoint, job.Spec.QueueURL, job.Spec.CA, job.Spec.Mark = run.Endpoint, run.QueueURL, run.CA, l.control+path+"/mark"
	for _, file := range []*string{&job.Spec.Profile, &job.Spec.Locks} {
		if *file != "" {
			*file = filepath.Join(l.folder, *file)
		}
	}
	result, err := l.child(ctx, &job.Spec)
	if err != nil {
		return nil, err
	}
	job.Spec.Endpoint, job.Spec.QueueURL, job.Spec.CA, job.Spec.Mark = "", "", "", "" // of no interest later
	return &Record{Job: job, Result: *result}, nil
}

// child starts a consumer's process and returns its result.
func (l *lab) child(ctx context.Context, spec *child.Spec) (*child.Result, error) {
	cmd, err := l.command(ctx, spec)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(spec)
	if err != nil {
		return nil, err
	}
	cmd.Env = append(os.Environ(), child.Variable+"="+string(text))
	var out, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaints
	if err := startOn(l.cores, cmd); err != nil {
		return nil, err
	}
	if err := cmd.Wait(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, last(complaints.String(), 400))
	}
	var result child.Result
	if err := json.Unmarshal(out.Bytes(), &result); err != nil {
		return nil, fmt.Errorf("reading the result: %w", err)
	}
	return &result, nil
}

func (l *lab) command(ctx context.Context, spec *child.Spec) (*exec.Cmd, error) {
	switch spec.Peer {
	case nodePeer:
		return exec.CommandContext(ctx, "node", filepath.Join(l.node, "consumer.mjs")), nil
	case goCloudPeer:
		return exec.CommandContext(ctx, l.gocloud), nil
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return exec.CommandContext(ctx, self), nil
}

func last(s string, n int) string { return strings.TrimSpace(s[max(0, len(s)-n):]) }

// call makes a call to the server's control port.
func (l *lab) call(ctx context.Context, method, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, l.control+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(resp.Body)
		return fmt.Errorf("the server answers %s: %s", resp.Status, text)
	}
	if out == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(out)
}

// together makes the runs of a group at the same time.
func (l *lab) together(ctx context.Context, group []Job) ([]*Record, error) {
	records, errs := make([]*Record, len(group)), make([]error, len(group))
	var wg sync.WaitGroup
	for i, job := range group {
		wg.Go(func() {
			records[i], errs[i] = l.run(ctx, job)
			if errs[i] != nil {
				errs[i] = fmt.Errorf("%s: %w", job.Key(), errs[i])
			}
		})
	}
	wg.Wait()
	return records, errors.Join(errs...)
}

// serverVariable is the environment variable that makes this program the server's process.
const serverVariable = "SLUICE_BENCH_SERVER"

// startServer starts the server's process on some cores, nil for all, and returns its control URL,
// and what ends it.
func startServer(ctx context.Context, cores []int) (control string, stop func(), err error) {
	self, err := os.Executable()
	if err != nil {
		return "", nil, err
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), serverVariable+"=1", "GOGC=400")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	// Its standard input ends with this process, however that ends, and the server with it.
	in, err := cmd.StdinPipe()
	if err != nil {
		return "", nil, err
	}
	if err := startOn(cores, cmd); err != nil {
		return "", nil, err
	}
	stop = func() {
		_ = in.Close()
		_ = cmd.Wait()
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		stop()
		return "", nil, fmt.Errorf("starting the server: %w", err)
	}
	return strings.TrimSpace(line), stop, nil
}

// A journal is the file of raw results, a Record a line, so that a run that was interrupted can go on.
type journal struct {
	path    string
	records []Record
}

// openJournal reads what is there, if it is to be kept.
func openJournal(path string, keep bool) (*journal, error) {
	j := &journal{path: path}
	if !keep {
		return j, nil
	}
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	for line := range bytes.Lines(text) {
		var r Record
		if json.Unmarshal(line, &r) == nil { // a line cut short is a run to be made again
			j.records = append(j.records, r)
		}
	}
	return j, nil
}

func (j *journal) has(key string) bool {
	for i := range j.records {
		if j.records[i].Key() == key {
			return true
		}
	}
	return false
}

// forget drops the results of runs that are to be made anew.
func (j *journal) forget(plan [][]Job) {
	again := map[string]bool{}
	for _, job := range slices.Concat(plan...) {
		again[job.Key()] = true
	}
	j.records = slices.DeleteFunc(j.records, func(r Record) bool { return again[r.Key()] })
}

// forgetSets drops all results of some sets: those of rounds that are not made any more too.
func (j *journal) forgetSets(of []set) {
	j.records = slices.DeleteFunc(j.records, func(r Record) bool {
		return slices.ContainsFunc(of, func(s set) bool { return s.section == r.Section })
	})
}

// add keeps records. The file is written anew: it is small, and so is never half of two runs.
func (j *journal) add(records ...*Record) error {
	for _, r := range records {
		if r != nil {
			j.records = append(j.records, *r)
		}
	}
	var text bytes.Buffer
	for i := range j.records {
		line, err := json.Marshal(&j.records[i])
		if err != nil {
			return err
		}
		text.Write(line)
		text.WriteByte('\n')
	}
	temporary := j.path + ".new"
	if err := os.WriteFile(temporary, text.Bytes(), 0o644); err != nil {
		return err
	}
	return os.Rename(temporary, j.path)
}
