package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sluice-go/sluice/sqstest" //nolint:depguard // this program is a test, and ships nothing
)

// serverVariable is the environment variable that makes this program the queues'
// process.
const serverVariable = "SLUICE_SOAK_SERVER"

// The queues, each with a dead-letter queue.
var names = []string{"events", "batches", "events.fifo", "batches.fifo"}

func deadOf(name string) string {
	if base, ok := strings.CutSuffix(name, ".fifo"); ok {
		return base + "-dead.fifo"
	}
	return name + "-dead"
}

// maxReceives is after how many receives a message is moved to the dead-letter queue.
const maxReceives = 4

// A hello is the first line that the queues' process prints.
type hello struct {
	Endpoint string `json:"endpoint"`
}

// A report is what the queues have counted.
type report struct {
	Queues map[string]queueReport `json:"queues"`
	Calls  map[string]int         `json:"calls"`  // by operation
	Failed map[string]int         `json:"failed"` // of those, answered with an error
}

type queueReport struct {
	Sent    int   `json:"sent"`
	Left    int   `json:"left"`    // still in the queue
	Deleted int   `json:"deleted"` //
	Again   int   `json:"again"`   // deliveries beyond a message's first
	Dead    []int `json:"dead"`    // numbers of the messages in the dead-letter queue
}

// A server is the queues' process as this one sees it.
type server struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	answers *json.Decoder
	hello   hello
}

// startServer starts the queues' process. It ends when it is closed, or this process
// ends; half a minute after ctx does it is killed, so that nothing waits for it for
// ever, and consumers can finish what they hold.
func startServer(ctx context.Context) (*server, error) {
	const toFinish = 30 * time.Second
	s := &server{cmd: exec.CommandContext(context.WithoutCancel(ctx), os.Args[0])} //nolint:gosec // this very program
	s.cmd.Env = append(os.Environ(), serverVariable+"=yes")
	s.cmd.Stderr = os.Stderr
	var err error
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the queues' process: %w", err)
	}
	context.AfterFunc(ctx, func() {
		time.AfterFunc(toFinish, func() { _ = s.cmd.Process.Kill() })
	})
	s.answers = json.NewDecoder(out)
	if err := s.answers.Decode(&s.hello); err != nil {
		s.close()
		return nil, fmt.Errorf("waiting for the queues' process: %w", err)
	}
	return s, nil
}

// ask gives a command and waits for its answer.
func (s *server) ask(command string, answer any) error {
	if _, err := fmt.Fprintln(s.in, command); err != nil {
		return fmt.Errorf("asking the queues' process to %s: %w", command, err)
	}
	if err := s.answers.Decode(answer); err != nil {
		return fmt.Errorf("reading the answer to %s: %w", command, err)
	}
	return nil
}

func (s *server) close() {
	_ = s.in.Close()
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait() // how it ended does not matter any more
}

// An account is the queues, in their own process.
type account struct {
	*sqstest.Server

	mu   sync.Mutex // guards sent
	sent map[string]int
}

// serve is the queues' process. It does what in says, line by line, until in ends.
func serve(in io.Reader, out io.Writer) error {
	a, err := newAccount()
	if err != nil {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	web := &http.Server{Handler: a, ReadHeaderTimeout: 10 * time.Second}
	var running sync.WaitGroup
	running.Go(func() { _ = web.Serve(listener) }) // until it is closed, below
	defer running.Wait()
	defer func() { _ = web.Close() }()
	answers := json.NewEncoder(out)
	if err := answers.Encode(hello{"http://" + listener.Addr().String()}); err != nil {
		return err
	}
	calm := func() {}
	defer func() { calm() }()
	for lines := bufio.NewScanner(in); lines.Scan(); {
		command, argument, _ := strings.Cut(lines.Text(), " ")
		switch command {
		case "load":
			rate, _ := strconv.Atoi(argument)
			calm = a.load(rate)
		case "calm":
			calm()
			calm = func() {}
		}
		if err := answers.Encode(a.report()); err != nil {
			return err
		}
	}
	return nil
}

func newAccount() (*account, error) {
	a := &account{Server: sqstest.New(), sent: map[string]int{}}
	for _, name := range names {
		dead := a.MustCreateQueue(deadOf(name), nil)
		got, err := a.GetQueueAttributes(context.Background(), &sqs.GetQueueAttributesInput{
			QueueUrl: &dead, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameQueueArn},
		})
		if err != nil {
			return nil, err
		}
		policy := fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":%d}`, got.Attributes["QueueArn"], maxReceives)
		a.MustCreateQueue(name, map[string]string{"RedrivePolicy": policy})
	}
	return a, nil
}

// load sends messages at a rate and lets calls fail, until calm is called.
func (a *account) load(rate int) (calm func()) {
	ctx, cancel := context.WithCancel(context.Background())
	list := faults()
	ends := make([]func(), len(list))
	for i, f := range list {
		ends[i] = a.Inject(f)
	}
	var sending sync.WaitGroup
	sending.Go(func() { a.send(ctx, rate) })
	return func() {
		cancel()
		sending.Wait()
		for _, end := range ends {
			end()
		}
	}
}

// consumed are the calls of consumers; faults strike no others.
var consumed = []string{"ReceiveMessage", "DeleteMessageBatch", "ChangeMessageVisibilityBatch", "SendMessage"}

// faults are what goes wrong with the consumers' calls.
func faults() []sqstest.Fault {
	sometimes := func(share float64) func(sqstest.Call) bool {
		return func(c sqstest.Call) bool { return slices.Contains(consumed, c.Op) && rand.Float64() < share }
	}
	return []sqstest.Fault{
		{Err: sqstest.InternalError(), Match: sometimes(0.003)},
		{Err: sqstest.Unavailable(), Match: sometimes(0.003)},
		{Err: sqstest.Throttled(), Match: sometimes(0.003)},
		{Err: sqstest.Reset(), Match: sometimes(0.001)},
		{Err: sqstest.Reset(), After: true, Match: sometimes(0.001)}, // its messages come back after their visibility timeout
		{Entries: func(i int) bool { return i%3 == 0 }, Match: sometimes(0.003)},
		{Lag: 200 * time.Millisecond, Match: sometimes(0.003)},
	}
}

// send sends messages until ctx is done, evenly over time and queues.
func (a *account) send(ctx context.Context, rate int) {
	const often = 20 * time.Millisecond
	tick := time.NewTicker(often)
	defer tick.Stop()
	began, sent := time.Now(), 0
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		for due := int(time.Since(began).Seconds() * float64(rate)); sent < due; {
			n := min(10, due-sent)
			a.sendTo(names[rand.IntN(len(names))], n)
			sent += n
		}
	}
}

// sendTo sends n messages, ten at most, that say by themselves what becomes of them.
func (a *account) sendTo(name string, n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	in := &sqs.SendMessageBatchInput{QueueUrl: &name}
	for i := range n {
		number := a.sent[name] + i
		entry := types.SendMessageBatchRequestEntry{Id: new(strconv.Itoa(i)), MessageBody: new(body(number))}
		if strings.HasSuffix(name, ".fifo") {
			const groups = 100
			entry.MessageGroupId = new("group-" + strconv.Itoa(rand.IntN(groups)))
			entry.MessageDeduplicationId = new(strconv.Itoa(number))
		}
		in.Entries = append(in.Entries, entry)
	}
	out, err := a.SendMessageBatch(context.Background(), in)
	if err != nil || len(out.Successful) != n {
		panic(fmt.Sprintf("sending %d messages to %s: %v", n, name, err)) // a mistake of this program
	}
	a.sent[name] += n
}

// report counts.
func (a *account) report() report {
	a.mu.Lock()
	defer a.mu.Unlock()
	stats := a.Stats()
	r := report{Queues: map[string]queueReport{}, Calls: map[string]int{}, Failed: map[string]int{}}
	for _, op := range consumed {
		r.Calls[op], r.Failed[op] = stats.Calls[op].Started, stats.Calls[op].Failed
	}
	for name, sent := range maps.All(a.sent) {
		q := queueReport{Sent: sent, Left: len(a.Messages(name)), Deleted: stats.Queues[name].Deleted, Again: stats.Queues[name].Redeliveries()}
		for _, m := range a.Messages(deadOf(name)) {
			number, _, err := parse(m.Body)
			if err != nil {
				panic(err) // a mistake of this program
			}
			q.Dead = append(q.Dead, number)
		}
		r.Queues[name] = q
	}
	return r
}
