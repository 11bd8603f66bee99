// Package child is what the consumers' processes have in common, whichever consumer they run: a
// spec in, the window in which all is measured, a result out.
package child

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"runtime/metrics"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/bench/server"
)

// A Spec tells a consumer's process what to do.
type Spec struct {
	Peer     string `json:"peer"`
	Endpoint string `json:"endpoint"` // of SQS
	QueueURL string `json:"queueUrl"`
	Mark     string `json:"mark"`        // URL to post to at the window's beginning and end
	CA       string `json:"ca,omitzero"` // whom to trust over TLS, in PEM; empty: whom the machine trusts

	Handlers int           `json:"handlers"`      // C: handler calls at once
	Handling time.Duration `json:"handling"`      // H: time of each
	Batch    int           `json:"batch"`         // of sluice
	Linger   time.Duration `json:"linger"`        // sluice's DeleteLinger; 0: its default
	Wait     time.Duration `json:"wait,omitzero"` // sluice's WaitTime; 0: its default
	Stamped  bool          `json:"stamped"`       // bodies begin with the time of sending
	Warm     time.Duration `json:"warm"`          // before the window
	Window   time.Duration `json:"window"`        // that is measured
	Profile  string        `json:"profile"`       // file for a CPU profile of the window; empty: none
	Locks    string        `json:"locks"`         // file for a profile of the mutexes waited for in the window; empty: none

	Consumers int           `json:"consumers,omitzero"` // of the queue, all in this process, each with a client of its own; 0: 1
	Leaves    time.Duration `json:"leaves,omitzero"`    // the last of them is stopped after that time; 0: it stays
	Early     bool          `json:"early,omitzero"`     // the load begins with the consumers, not with the window

	Client     string `json:"client,omitzero"`     // [SDKClient], or empty for sluice's
	Attributes bool   `json:"attributes,omitzero"` // hand-written loops ask for the messages' attributes, as sluice does
}

// SDKClient is the client that the SDK makes by default.
const SDKClient = "sdk"

// A Result is what a consumer's process has measured, and the server's counts at both ends of the window.
type Result struct {
	Before server.Snapshot `json:"before"`
	After  server.Snapshot `json:"after"`

	CPU      time.Duration `json:"cpu"`      // of the process, in the window
	Allocs   uint64        `json:"allocs"`   // objects allocated in the window; 0: cannot be told
	Bytes    uint64        `json:"bytes"`    // allocated in the window
	PeakRSS  int           `json:"peakRss"`  // bytes, since the process began
	Blocked  *float64      `json:"blocked"`  // seconds that goroutines waited for mutexes in the window, of all together; nil: cannot be told
	Latency  time.Duration `json:"latency"`  // of a call as the client saw it before the run, median
	Handling time.Duration `json:"handling"` // of a handler call as it was, mean
	Cores    int           `json:"cores"`    // that the process could use at once
	ToStart  []int64       `json:"toStart"`  // nanoseconds from send to handler start, of stamped messages; of many messages only quantiles
}

// Variable is the environment variable that has a process's [Spec].
const Variable = "SLUICE_BENCH_SPEC"

// A Peer consumes until the process ends.
type Peer func(ctx context.Context, client *sqs.Client, spec *Spec, w *Work) error

// Run lets the peer that spec, in JSON, asks for consume for the window, and writes a [Result] to
// standard output.
func Run(text string, peers map[string]Peer) error {
	var spec Spec
	if err := json.Unmarshal([]byte(text), &spec); err != nil {
		return fmt.Errorf("reading the spec: %w", err)
	}
	peer := peers[spec.Peer]
	if peer == nil {
		return fmt.Errorf("peer is %q, which there is not", spec.Peer)
	}
	client, err := NewClient(&spec)
	if err != nil {
		return err
	}
	latency, err := probe(client, spec.QueueURL)
	if err != nil {
		return err
	}
	if spec.Early {
		if _, err := take(spec.Mark); err != nil {
			return err
		}
	}
	w := NewWork(&spec)
	ended := make(chan error, 1)
	if err := consume(&spec, w, peer, client, ended); err != nil {
		return err
	}
	res, err := observe(&spec, w, ended)
	if err != nil {
		return err
	}
	res.Latency = latency
	return json.NewEncoder(os.Stdout).Encode(res)
}

// consume starts the consumers, which end with the process. The first has the given client. One
// that ends by itself is an error.
func consume(spec *Spec, w *Work, peer Peer, client *sqs.Client, ended chan<- error) error {
	for i := range max(1, spec.Consumers) {
		ctx, cancel := context.WithCancel(context.Background())
		if spec.Leaves > 0 && i == spec.Consumers-1 {
			time.AfterFunc(spec.Leaves, cancel)
		}
		own := client
		if i > 0 {
			var err error
			if own, err = NewClient(spec); err != nil {
				cancel()
				return err
			}
		}
		go func() {
			defer cancel()
			if err := peer(ctx, own, spec, w); ctx.Err() == nil {
				ended <- err
			}
		}()
	}
	return nil
}

// observe waits for the window and measures it.
func observe(spec *Spec, w *Work, ended <-chan error) (*Result, error) {
	if err := wait(spec.Warm, ended); err != nil {
		return nil, err
	}
	stop, err := keepProfile(spec.Profile)
	if err != nil {
		return nil, err
	}
	before, err := take(spec.Mark)
	if err != nil {
		return nil, err
	}
	w.begin()
	if spec.Locks != "" {
		runtime.SetMutexProfileFraction(1)
	}
	if err := wait(spec.Window, ended); err != nil {
		return nil, err
	}
	after, err := take(spec.Mark)
	if err != nil {
		return nil, err
	}
	stop()
	if err := writeLocks(spec.Locks); err != nil {
		return nil, err
	}
	res := &Result{
		Before: before.server, After: after.server,
		CPU: after.cpu - before.cpu, Allocs: after.allocs - before.allocs, Bytes: after.bytes - before.bytes,
		PeakRSS: peakRSS(), Blocked: new(after.blocked - before.blocked), Cores: runtime.GOMAXPROCS(0),
	}
	w.report(res)
	return res, nil
}

// wait returns after d, or with the reason why the consumer has ended before.
func wait(d time.Duration, ended <-chan error) error {
	select {
	case <-time.After(d):
		return nil
	case err := <-ended:
		return fmt.Errorf("the consumer has ended: %w", err)
	}
}

// keepProfile writes a CPU profile until stop is called.
func keepProfile(file string) (stop func(), err error) {
	if file == "" {
		return func() {}, nil
	}
	f, err := os.Create(file)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() {
		pprof.StopCPUProfile()
		_ = f.Close()
	}, nil
}

// writeLocks writes the profile of the mutexes that were waited for.
func writeLocks(file string) error {
	if file == "" {
		return nil
	}
	runtime.SetMutexProfileFraction(0)
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	return errors.Join(pprof.Lookup("mutex").WriteTo(f, 0), f.Close())
}

// A moment is the state of both processes at one end of the window.
type moment struct {
	server        server.Snapshot
	cpu           time.Duration
	allocs, bytes uint64
	blocked       float64 // seconds
}

func take(mark string) (moment, error) {
	var m moment
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, mark, http.NoBody)
	if err != nil {
		return m, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return m, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return m, fmt.Errorf("marking: %s", resp.Status)
	}
	if err := json.NewDecoder(resp.Body).Decode(&m.server); err != nil {
		return m, fmt.Errorf("marking: %w", err)
	}
	m.cpu = server.CPU()
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:objects"}, {Name: "/gc/heap/tiny/allocs:objects"}, {Name: "/gc/heap/allocs:bytes"}, {Name: "/sync/mutex/wait/total:seconds"}}
	metrics.Read(sample)
	m.allocs = sample[0].Value.Uint64() + sample[1].Value.Uint64()
	m.bytes = sample[2].Value.Uint64()
	m.blocked = sample[3].Value.Float64()
	return m, nil
}

// probe returns the median time of a call.
func probe(client *sqs.Client, queueURL string) (time.Duration, error) {
	const calls = 15
	name := queueURL[strings.LastIndexByte(queueURL, '/')+1:]
	took := make([]time.Duration, calls)
	for i := range took {
		began := time.Now()
		if _, err := client.GetQueueUrl(context.Background(), &sqs.GetQueueUrlInput{QueueName: &name}); err != nil {
			return 0, fmt.Errorf("probing the latency: %w", err)
		}
		took[i] = time.Since(began)
	}
	slices.Sort(took)
	return took[calls/2], nil
}

// A Work is what every consumer's handler does.
type Work struct {
	spec     *Spec
	counting atomic.Bool
	calls    atomic.Int64
	spent    atomic.Int64 // nanoseconds in handler calls

	mu      sync.Mutex // guards toStart
	toStart []int64
}

// NewWork returns the work of a process with that spec.
func NewWork(spec *Spec) *Work { return &Work{spec: spec} }

func (w *Work) begin() { w.counting.Store(true) }

// Do is one handler call, for the messages with these bodies.
func (w *Work) Do(bodies ...string) {
	if w.spec.Stamped && w.counting.Load() {
		w.stamp(bodies)
	}
	if w.spec.Handling == 0 {
		return
	}
	began := time.Now()
	time.Sleep(w.spec.Handling)
	w.calls.Add(1)
	w.spent.Add(int64(time.Since(began)))
}

func (w *Work) stamp(bodies []string) {
	now := time.Now().UnixNano()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, body := range bodies {
		stamp, _, _ := strings.Cut(body, " ")
		if sent, err := strconv.ParseInt(stamp, 10, 64); err == nil {
			w.toStart = append(w.toStart, now-sent)
		}
	}
}

func (w *Work) report(res *Result) {
	if n := w.calls.Load(); n > 0 {
		res.Handling = time.Duration(w.spent.Load() / n)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	res.ToStart = thin(w.toStart)
}

// thin returns at most 201 of the figures, in order: the quantiles in steps of half a hundredth.
func thin(figures []int64) []int64 {
	const steps = 200
	figures = slices.Sorted(slices.Values(figures))
	if len(figures) <= steps+1 {
		return figures
	}
	few := make([]int64, steps+1)
	for i := range few {
		few[i] = figures[(i*(len(figures)-1)+steps/2)/steps]
	}
	return few
}

// peakRSS returns the most memory that this process had at once, in bytes. Linux's getrusage does
// not do: a process inherits that number from the one that started it.
func peakRSS() int {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		return int(stats.Sys)
	}
	for line := range strings.Lines(string(status)) {
		if kilobytes, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, _ := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(kilobytes), "kB")))
			return n << 10
		}
	}
	return 0
}

// NewClient returns the client that spec asks for. Peers in Go share sluice's own: with the ten idle
// connections of the SDK's it would be reconnecting that is compared. It also sends requests so that
// no answer is lost. All else is stock, retries included. The loop that one writes by hand is
// measured with the SDK's too.
func NewClient(spec *Spec) (*sqs.Client, error) {
	cfg := aws.Config{
		Region:       "us-east-1",
		Credentials:  aws.NewCredentialsCache(credentials.NewStaticCredentialsProvider("bench", "bench", "")), // as config.LoadDefaultConfig does
		BaseEndpoint: &spec.Endpoint,
	}
	if spec.CA != "" {
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM([]byte(spec.CA)) {
			return nil, errors.New("the spec's CA has no certificate")
		}
		cfg.HTTPClient = trusting(pool)
	}
	if spec.Client == SDKClient {
		return sqs.NewFromConfig(cfg), nil
	}
	return sluice.NewClient(cfg), nil
}

// trusting is the SDK's HTTP client as the SDK makes it for a CA bundle.
func trusting(pool *x509.CertPool) *awshttp.BuildableClient {
	return awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		if t.TLSClientConfig == nil {
			t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
		}
		t.TLSClientConfig.RootCAs = pool
	})
}
