// Bench measures sluice beside other consumers of SQS: each in a process of its own, one after the
// other in rounds, against one server on loopback that answers after a fixed latency and counts.
//
//	go run ./bench          everything, about 50 minutes
//	go run ./bench -quick   one short round of everything, less than 10 minutes
//	go run ./bench -set all queues and loads that are like the world's, about an hour
//
// It writes tables, a chart and the raw figures to the folder results, and tells for each target of
// the project whether it is met. README.md says how to read them. A run that was interrupted goes
// on with -resume.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/sluice-go/sluice/bench/child"
	"github.com/sluice-go/sluice/bench/server"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := start(ctx)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// start is this program in the part that its environment gives it.
func start(ctx context.Context) error {
	if spec := os.Getenv(child.Variable); spec != "" {
		return child.Run(spec, peers)
	}
	if os.Getenv(serverVariable) != "" {
		return serve(ctx)
	}
	c, err := parse(os.Args[1:])
	if err != nil {
		return err
	}
	return bench(ctx, c)
}

// serve is the server's process. It ends with its standard input.
func serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Printf("http://%s\n", listener.Addr())
	go func() { // until the process ends
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	return server.Serve(ctx, listener)
}

// config is the command line.
type config struct {
	pace   Pace
	sets   []set // of the world; none: the tables of old
	world  World
	only   string
	resume bool
	report bool
	home   string // folder of this module
	out    string
}

func parse(args []string) (config, error) {
	var c config
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	quick := flags.Bool("quick", false, "one short round of everything: a first impression, not for quoting")
	rounds := flags.Int("rounds", 0, "how often each run is made; 0: 3, or 1 with -quick")
	names := flags.String("set", "", "measure comma-separated `sets` of cells that are like the world, instead of all else: answers, servers, loads, latency, trickle or all; the results are world.md and world.jsonl")
	scale := flags.Float64("scale", 1, "`factor` of all durations of a -set: 0.2 for a first impression")
	window := flags.Duration("window", 0, "how long a busy run is measured; 0: 2s, or 600ms with -quick")
	flags.StringVar(&c.only, "only", "", "make only the runs whose names contain one of these comma-separated `words`, and keep the results of the others; names are section/cell/peer/round, such as cells/L8-H0-C16/sluice/0")
	flags.BoolVar(&c.resume, "resume", false, "keep the results that are there and make the runs that are missing")
	flags.BoolVar(&c.report, "report", false, "make no runs, only the report of the results that are there")
	flags.StringVar(&c.out, "out", "", "`folder` of the results; empty: results, beside this program")
	if err := flags.Parse(args); err != nil {
		return c, err
	}
	c.pace = fullPace
	if *quick {
		c.pace = quickPace
	}
	if *rounds > 0 {
		c.pace.Rounds = *rounds
	}
	if *window > 0 {
		c.pace.Window = *window
	}
	c.world = World{Rounds: c.pace.Rounds, Scale: *scale}
	if *names != "" {
		var err error
		if c.sets, err = chosen(*names); err != nil {
			return c, err
		}
	}
	c.home = "."
	if _, err := os.Stat(filepath.Join("bench", "go.mod")); err == nil {
		c.home = "bench"
	}
	if c.out == "" {
		c.out = filepath.Join(c.home, "results")
	}
	return c, nil
}

// bench makes the runs and writes the report.
func bench(ctx context.Context, c config) error {
	if err := os.MkdirAll(c.out, 0o755); err != nil {
		return err
	}
	if c.sets != nil {
		return benchWorld(ctx, c)
	}
	j, err := openJournal(filepath.Join(c.out, "runs.jsonl"), c.resume || c.report || c.only != "")
	if err != nil {
		return err
	}
	if !c.report {
		if err := runs(ctx, c, j); err != nil {
			return err
		}
	}
	return report(c.out, j.records)
}

// benchWorld makes the runs of some sets and writes the report of all of them.
func benchWorld(ctx context.Context, c config) error {
	j, err := openJournal(filepath.Join(c.out, "world.jsonl"), true)
	if err != nil {
		return err
	}
	if c.report {
		return reportWorld(c.out, j.records)
	}
	if !c.resume && c.only == "" {
		j.forgetSets(c.sets)
	}
	control, stop, err := startServer(ctx, nil)
	if err != nil {
		return err
	}
	defer stop()
	l := &lab{control: control, folder: c.out}
	if err := l.runPlan(ctx, only(c.world.plan(c.sets), c.only), j, c.resume); err != nil {
		return err
	}
	return reportWorld(c.out, j.records)
}

// runs makes the runs that are to be made.
func runs(ctx context.Context, c config, j *journal) error {
	control, stop, err := startServer(ctx, nil)
	if err != nil {
		return err
	}
	defer stop()
	l := &lab{control: control, folder: c.out, node: filepath.Join(c.home, "node")}
	plan := only(c.pace.plan(profiled, busyPeers), c.only)
	plan, clean := l.prepare(ctx, c.home, plan)
	defer clean()
	return l.runPlan(ctx, plan, j, c.resume)
}

// prepare gets ready what the jobs of a plan need, until clean is called. It leaves out those that
// cannot be had here, and says so loudly.
func (l *lab) prepare(ctx context.Context, home string, plan [][]Job) (rest [][]Job, clean func()) {
	var cleaners []func()
	for _, need := range []struct {
		name string
		of   func(Job) bool
		get  func() (clean func(), err error)
	}{
		{goCloudPeer, func(j Job) bool { return j.Spec.Peer == goCloudPeer }, func() (func(), error) { return l.buildGoCloud(ctx, home) }},
		{nodePeer, func(j Job) bool { return j.Spec.Peer == nodePeer }, func() (func(), error) { return nil, installNode(ctx, l.node) }},
		{"runs with cores of their own", func(j Job) bool { return j.Apart }, func() (func(), error) { return l.startApart(ctx) }},
	} {
		if !slices.ContainsFunc(slices.Concat(plan...), need.of) {
			continue
		}
		clean, err := need.get()
		if err != nil {
			fmt.Fprintf(os.Stderr, "\n!!! SKIPPED: %s: %v\n\n", need.name, err)
			plan = leave(plan, need.of)
		}
		if clean != nil {
			cleaners = append(cleaners, clean)
		}
	}
	return plan, func() {
		for _, clean := range cleaners {
			clean()
		}
	}
}

// startApart starts a server that leaves half of the cores to consumers.
func (l *lab) startApart(ctx context.Context) (stop func(), err error) {
	theirs, ours, err := halves()
	if err != nil {
		return nil, err
	}
	control, stop, err := startServer(ctx, theirs)
	if err != nil {
		return nil, err
	}
	own := *l
	own.control, own.cores = control, ours
	l.apart = &own
	return stop, nil
}

// runPlan makes the runs of a plan, and keeps their results; with resume only those that are missing.
func (l *lab) runPlan(ctx context.Context, plan [][]Job, j *journal, resume bool) error {
	if !resume {
		j.forget(plan)
	}
	fmt.Printf("%d groups of runs, about %v\n", len(plan), duration(plan).Round(time.Minute))
	var wrong []error
	began := time.Now()
	for i, group := range plan {
		group = slices.DeleteFunc(group, func(job Job) bool { return j.has(job.Key()) })
		if len(group) == 0 {
			continue
		}
		records, err := l.together(ctx, group)
		if ctx.Err() != nil {
			return errors.New("interrupted: go on with -resume")
		}
		if err != nil { // the others are worth having
			fmt.Fprintln(os.Stderr, "bench:", err)
			wrong = append(wrong, err)
		}
		if err := j.add(records...); err != nil {
			return err
		}
		for _, r := range records {
			if r != nil {
				fmt.Printf("%3d/%d %5.0fs  %s\n", i+1, len(plan), time.Since(began).Seconds(), r.line())
			}
		}
	}
	if len(wrong) > 0 {
		fmt.Fprintf(os.Stderr, "bench: %d runs failed; -resume makes them again\n", len(wrong))
	}
	return nil
}

// The peers that have programs of their own.
const (
	nodePeer    = "sqs-consumer"
	goCloudPeer = "go-cloud"
)

// The peers of the nine cells, and those whose processor time is profiled.
var (
	busyPeers = []string{"sluice", "expert", expertDefault, goCloudPeer, nodePeer, "article"}
	profiled  = []string{"sluice", "expert", "expert-attributes"}
)

// buildGoCloud makes the program of the peer go-cloud. It is a module of its own, outside of the
// workspace: what it brings along is nothing that tests of this repository have to build.
func (l *lab) buildGoCloud(ctx context.Context, home string) (clean func(), err error) {
	folder, err := os.MkdirTemp("", "bench")
	if err != nil {
		return nil, err
	}
	clean = func() { _ = os.RemoveAll(folder) }
	l.gocloud = filepath.Join(folder, "gocloud")
	build := exec.CommandContext(ctx, "go", "build", "-o", l.gocloud, ".")
	build.Dir = filepath.Join(home, "gocloud")
	build.Env = append(os.Environ(), "GOWORK=off")
	if out, err := build.CombinedOutput(); err != nil {
		return clean, fmt.Errorf("building its consumer: %w: %s", err, last(string(out), 400))
	}
	return clean, nil
}

// installNode makes sure that the peer in JavaScript can run.
func installNode(ctx context.Context, folder string) error {
	if _, err := exec.LookPath("node"); err != nil {
		return errors.New("there is no node on this machine")
	}
	if _, err := os.Stat(filepath.Join(folder, "node_modules", "sqs-consumer")); err == nil {
		return nil
	}
	npm := exec.CommandContext(ctx, "npm", "ci", "--no-audit", "--no-fund")
	npm.Dir = folder
	if out, err := npm.CombinedOutput(); err != nil {
		return fmt.Errorf("npm ci: %w: %s", err, last(strings.TrimSpace(string(out)), 300))
	}
	return nil
}
