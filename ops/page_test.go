package ops_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/ops"
	"github.com/sluice-go/sluice/sqstest"
)

// A sight is what the page shows a browser that opens it.
type sight struct {
	raw   string
	Hello struct {
		Process string
		Columns []string
		Kinds   []string
		Actions bool
		Queues  []struct {
			Name    string
			FIFO    bool
			Options map[string]any
		}
	}
	Samples []struct {
		T int64
		Q [][]int64
	}
	Now []struct {
		Kind, Label, Why, Error string
		Since                   int64
	}
	Failures [][]struct {
		Operation, Text, MessageID string
		Count                      int64
	}
}

// look opens a page.
func (w *world) look(page http.Handler) *sight {
	w.Helper()
	gone, leave := context.WithCancel(w.Context())
	leave() // after the first events
	answer := httptest.NewRecorder()
	page.ServeHTTP(answer, httptest.NewRequestWithContext(gone, http.MethodGet, "/events", nil))
	require.Equal(w, http.StatusOK, answer.Code)
	s := &sight{raw: answer.Body.String()}
	into := map[string]any{"hello": &s.Hello, "samples": &s.Samples, "now": &s.Now, "failures": &s.Failures}
	for event := range strings.SplitSeq(strings.TrimSuffix(s.raw, "\n\n"), "\n\n") {
		head, data, ok := strings.Cut(event, "\ndata: ")
		require.True(w, ok, event)
		name := strings.TrimPrefix(head, "event: ")
		require.Contains(w, into, name)
		require.NoError(w, json.Unmarshal([]byte(data), into[name]), data)
	}
	return s
}

// newest returns a number of the newest sample.
func (s *sight) newest(column string) int64 {
	for i, name := range s.Hello.Columns {
		if name == column {
			return s.Samples[len(s.Samples)-1].Q[0][i]
		}
	}
	panic("no column " + column)
}

func TestThePageShowsTheLastTenMinutes(t *testing.T) {
	inWorld(t, sluice.Options{BatchSize: 5}, succeed, func(w *world) {
		page := ops.Page(w.consumer)
		ctx, stop := context.WithCancel(w.Context())
		go page.Record(ctx)
		for range 25 * 60 {
			w.server.Send(w.url, "x")
			time.Sleep(time.Second)
		}
		time.Sleep(5500 * time.Millisecond) // all is settled, between two looks
		s := w.look(page)
		require.InDelta(w, 601, len(s.Samples), 1)
		for i, sample := range s.Samples {
			require.Len(w, sample.Q, 1)
			require.Len(w, sample.Q[0], len(s.Hello.Columns))
			if i > 0 {
				require.InDelta(w, 1000, sample.T-s.Samples[i-1].T, 500)
			}
		}
		stats := w.consumer.Stats()
		require.Equal(w, stats.Received, s.newest("received"))
		require.Equal(w, stats.Batches[sluice.ReasonFull], s.newest("batches.full"))
		require.Equal(w, stats.Batches[sluice.ReasonWaitTime], s.newest("batches.wait time"))
		require.Equal(w, stats.BatchMessages, s.newest("batchMessages"))
		require.Equal(w, stats.Calls["DeleteMessageBatch"], s.newest("calls.DeleteMessageBatch"))
		require.Equal(w, stats.ReceiveCounts[1], s.newest("receiveCount.1"))
		require.Equal(w, "receiving", s.Now[0].Kind)
		require.Equal(w, "orders", s.Hello.Queues[0].Name)
		require.InDelta(w, 10, s.Hello.Queues[0].Options["Concurrency"], 0)
		stop()
	})
}

// Columns are made of the keys that Stats has. A reason or a field that is new must be there too.
func TestSamplesHaveAllThatStatsCount(t *testing.T) {
	inWorld(t, sluice.Options{}, succeed, func(w *world) {
		columns := strings.Join(w.look(ops.Page(w.consumer)).Hello.Columns, "\n")
		stats := w.consumer.Stats()
		for reason := range stats.Batches {
			require.Contains(w, columns, "batches."+reason.String())
		}
		for op := range stats.Calls {
			require.Contains(w, columns, "calls."+op)
			require.Contains(w, columns, "errors."+op)
		}
		for n := range stats.ReceiveCounts {
			require.Contains(w, columns, fmt.Sprint("receiveCount.", n))
		}
	})
}

func TestEachStateHasItsWordsAndItsReason(t *testing.T) {
	inWorld(t, sluice.Options{Concurrency: 2, GiveUpAfter: 5 * time.Minute, PollTime: time.Second}, nil, func(w *world) {
		page := ops.Page(w.consumer)
		ctx, stop := context.WithCancel(w.Context())
		defer stop()
		go page.Record(ctx)
		var seen []string
		expect := func(kind, label, why string) {
			w.Helper()
			s := w.look(page)
			require.Equal(w, kind, s.Now[0].Kind)
			require.Equal(w, label, s.Now[0].Label)
			require.Contains(w, s.Now[0].Why, why)
			require.Equal(w, kind, s.Hello.Kinds[s.newest("state")])
			seen = append(seen, kind)
		}
		var takes atomic.Int64
		expect("stopped", "Stopped", "No run has begun")
		w.start(func(context.Context, []*sluice.Message) error {
			time.Sleep(time.Duration(takes.Load()))
			return nil
		})
		time.Sleep(time.Minute)
		expect("idle", "Idle", "The queue is empty. 1 long poll waits for the next message.")
		w.server.Send(w.url, "x")
		time.Sleep(2 * time.Second)
		expect("receiving", "Receiving", "Messages have waited up to")
		takes.Store(int64(time.Minute))
		for range 40 {
			w.server.Send(w.url, "x")
		}
		time.Sleep(20 * time.Second)
		expect("waiting", "Waiting for room", "All 2 handler slots are busy.")
		takes.Store(int64(time.Millisecond))
		time.Sleep(3 * time.Minute)
		w.consumer.Pause()
		time.Sleep(3 * time.Second)
		expect("paused", "Paused", "Nothing is received until Resume is called. 0 messages are held.")
		w.consumer.Resume()
		heal := w.refuse("ReceiveMessage", sqstest.Unavailable())
		time.Sleep(time.Minute)
		expect("backing-off", "Backing off", "The last receive that succeeded was ")
		require.Contains(w, w.look(page).Now[0].Error, "ServiceUnavailable")
		heal()
		time.Sleep(time.Minute)
		heal = w.refuse("ReceiveMessage", sqstest.AccessDenied())
		time.Sleep(time.Minute)
		expect("refused", "Refused", "The run ends when that has lasted for 5 min.")
		heal()
		time.Sleep(time.Minute)
		takes.Store(int64(400 * time.Millisecond))
		for i := 0; w.look(page).Now[0].Kind != "behind"; i++ {
			require.Less(w, i, 600, "seconds")
			for range 7 {
				w.server.Send(w.url, "x")
				time.Sleep(time.Second / 7)
			}
		}
		expect("behind", "Falling behind", "All 2 handler slots are busy: raise Concurrency")
		takes.Store(int64(10 * time.Second))
		time.Sleep(3 * time.Second)
		w.stop()
		time.Sleep(2 * time.Second)
		expect("stopping", "Stopping", "are still held")
		time.Sleep(time.Minute)
		expect("stopped", "Stopped", "The run has ended: nothing is received.")
		require.NotZero(w, w.look(page).Now[0].Since)
		require.Subset(w, seen, w.look(page).Hello.Kinds)
	})
}

func TestTimesOfStatesGoBackToTheirBeginning(t *testing.T) {
	inWorld(t, sluice.Options{}, succeed, func(w *world) {
		page := ops.Page(w.consumer)
		require.Zero(w, w.look(page).Now[0].Since, "nobody knows when the last message came")
		ctx, stop := context.WithCancel(w.Context())
		defer stop()
		go page.Record(ctx)
		time.Sleep(time.Minute)
		began := time.Now()
		for range 60 {
			w.server.Send(w.url, "x")
			time.Sleep(time.Second)
		}
		s := w.look(page)
		require.Equal(w, "receiving", s.Now[0].Kind)
		require.InDelta(w, began.UnixMilli(), s.Now[0].Since, 1001)
		ended := time.Now()
		time.Sleep(time.Minute)
		s = w.look(page)
		require.Equal(w, "idle", s.Now[0].Kind)
		require.InDelta(w, ended.UnixMilli(), s.Now[0].Since, 1001)
	})
}

func TestWhatFailedIsOnThePageWithoutBodies(t *testing.T) {
	const evil = "no stock of <script>alert(1)</script>\n\nevent: now\ndata: []"
	h := func(context.Context, []*sluice.Message) error { return sluice.RetryAfter(time.Hour, errors.New(evil)) }
	inWorld(t, sluice.Options{}, h, func(w *world) {
		ids := w.server.Send(w.url, "a body")
		time.Sleep(time.Second)
		s := w.look(ops.Page(w.consumer))
		require.Len(w, s.Failures[0], 1)
		require.Equal(w, evil, s.Failures[0][0].Text, "as it is, since it is shown as text")
		require.Equal(w, "Handler", s.Failures[0][0].Operation)
		require.Equal(w, ids[0], s.Failures[0][0].MessageID)
		require.NotContains(w, s.raw, "<script>")
		require.NotContains(w, s.raw, "a body")
		require.NotContains(w, s.raw, "000000000000", "no account")
		for _, d := range w.server.Deliveries(w.url, ids[0]) {
			require.NotContains(w, s.raw, d.ReceiptHandle)
		}
	})
}

// A mute error is one whose text nobody can have.
type mute struct{}

func (mute) Error() string { panic("no text") }

func TestAnErrorWhoseTextPanicsBreaksNothing(t *testing.T) {
	inWorld(t, sluice.Options{}, nil, func(w *world) {
		c, err := sluice.New(muted{w.server}, w.url, sluice.Options{Logger: slog.New(slog.DiscardHandler)})
		require.NoError(w, err)
		ctx, stop := context.WithTimeout(w.Context(), time.Minute)
		defer stop()
		go func() { _ = c.Run(ctx, succeed) }()
		time.Sleep(30 * time.Second)
		s := w.look(ops.Page(c))
		require.Equal(w, "backing-off", s.Now[0].Kind)
		require.Equal(w, "the client panicked: no text", s.Now[0].Error)
		status, _ := get(w.T, ops.Health(c), "/statusz")
		require.Equal(w, http.StatusOK, status)
		time.Sleep(time.Minute)
	})
}

// muted is a client whose receives fail with such an error.
type muted struct{ *sqstest.Server }

func (muted) ReceiveMessage(context.Context, *sqs.ReceiveMessageInput, ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	return nil, mute{}
}

// A look must cost next to nothing: a program may record all the time.
func BenchmarkLook(b *testing.B) {
	s := sqstest.New()
	c, err := sluice.New(s, s.MustCreateQueue("orders", nil), sluice.Options{})
	require.NoError(b, err)
	gone, leave := context.WithCancel(b.Context())
	leave()
	b.ReportAllocs()
	for b.Loop() {
		ops.Page(c).Record(gone) // the first look of a page, since it looks once a second
	}
}

// A browser is one that reads events, and leaves when its context ends.
type browser struct {
	header http.Header

	mu       sync.Mutex
	read     bytes.Buffer
	stuck    bool // it reads nothing
	deadline time.Time
	status   int
}

func (b *browser) Header() http.Header { return b.header }
func (b *browser) WriteHeader(s int)   { b.status = s }
func (b *browser) Flush()              {}

func (b *browser) SetWriteDeadline(t time.Time) error {
	b.deadline = t
	return nil
}

func (b *browser) Write(p []byte) (int, error) {
	b.mu.Lock()
	stuck := b.stuck
	b.mu.Unlock()
	if stuck {
		time.Sleep(time.Until(b.deadline))
		return 0, os.ErrDeadlineExceeded
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.read.Write(p)
}

func (b *browser) hang(on bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stuck = on
}

// text returns what was read since it was asked last.
func (b *browser) text() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	text := b.read.String()
	b.read.Reset()
	return text
}

// watch lets a browser watch a page, until leave is called or the page ends it.
func (w *world) watch(page http.Handler) (b *browser, leave func(), gone chan struct{}) {
	ctx, leave := context.WithCancel(w.Context())
	b, gone = &browser{header: http.Header{}}, make(chan struct{})
	go func() {
		defer close(gone)
		page.ServeHTTP(b, httptest.NewRequestWithContext(ctx, http.MethodGet, "/events", nil))
	}()
	return b, leave, gone
}

func TestEachSecondHasItsEvents(t *testing.T) {
	inWorld(t, sluice.Options{}, succeed, func(w *world) {
		b, leave, gone := w.watch(ops.Page(w.consumer))
		time.Sleep(1500 * time.Millisecond)
		synctest.Wait()
		require.Equal(w, "text/event-stream", b.header.Get("Content-Type"))
		require.Equal(w, "no", b.header.Get("X-Accel-Buffering"))
		require.Equal(w, "no-store", b.header.Get("Cache-Control"))
		b.text()
		for range 30 {
			time.Sleep(time.Second)
			text := b.text()
			require.Equal(w, 1, strings.Count(text, "event: samples"))
			require.Equal(w, 1, strings.Count(text, `{"t":`))
			require.Equal(w, 1, strings.Count(text, "event: now"))
			require.NotContains(w, text, "event: failures", "they are as before")
		}
		leave()
		<-gone
	})
}

func TestAThousandListenersShareALookAndLeaveNothing(t *testing.T) {
	inWorld(t, sluice.Options{}, succeed, func(w *world) {
		page := ops.Page(w.consumer)
		memory := heap()
		require.Zero(w, atWork())
		for range 2 {
			var all sync.WaitGroup
			ctx, leave := context.WithCancel(w.Context())
			var read atomic.Int64
			for i := range 1000 {
				all.Go(func() {
					time.Sleep(time.Duration(i) * time.Millisecond / 2)
					page.ServeHTTP(&discarding{header: http.Header{}, n: &read}, httptest.NewRequestWithContext(ctx, http.MethodGet, "/events", nil))
				})
			}
			time.Sleep(31 * time.Second)
			s := w.look(page)
			require.LessOrEqual(w, len(s.Samples), 70, "one look a second, whoever watches")
			require.Greater(w, read.Load(), int64(1000*30*100), "all have read")
			require.GreaterOrEqual(w, atWork(), 1000)
			leave()
			all.Wait()
		}
		synctest.Wait()
		require.Zero(w, atWork())
		require.Less(w, heap(), memory+4<<20, "bytes")
	})
}

// atWork returns how many goroutines this package has. Their stacks are counted, since runtime.NumGoroutine includes,
// for a moment, dozens that have ended.
func atWork() (n int) {
	stacks := make([]byte, 16<<20)
	for stack := range bytes.SplitSeq(stacks[:runtime.Stack(stacks, true)], []byte("\n\n")) {
		if bytes.Contains(stack, []byte("sluice/ops.")) {
			n++
		}
	}
	return n
}

// heap returns the bytes that are in use.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// discarding counts what is written.
type discarding struct {
	header http.Header
	n      *atomic.Int64
}

func (d *discarding) Header() http.Header { return d.header }
func (d *discarding) WriteHeader(int)     {}
func (d *discarding) Flush()              {}
func (d *discarding) Write(p []byte) (int, error) {
	d.n.Add(int64(len(p)))
	return len(p), nil
}

func TestABrowserThatReadsNothingIsLeftAndHoldsUpNobody(t *testing.T) {
	inWorld(t, sluice.Options{}, succeed, func(w *world) {
		page := ops.Page(w.consumer)
		slow, _, gone := w.watch(page)
		other, leave, left := w.watch(page)
		time.Sleep(5500 * time.Millisecond)
		slow.hang(true)
		other.text()
		began := time.Now()
		<-gone
		require.InDelta(w, 10, time.Since(began).Seconds(), 1.1)
		require.InDelta(w, 10, strings.Count(other.text(), "event: now"), 1, "each second")
		leave()
		<-left
	})
}

func TestCloseEndsThoseWhoWatchAndThoseToCome(t *testing.T) {
	inWorld(t, sluice.Options{}, succeed, func(w *world) {
		page := ops.Page(w.consumer)
		recorded := make(chan struct{})
		go func() {
			defer close(recorded)
			page.Record(w.Context())
		}()
		_, _, gone := w.watch(page)
		time.Sleep(10 * time.Second)
		began := time.Now()
		page.Close()
		page.Close()
		<-gone
		<-recorded
		require.Zero(w, time.Since(began))
		status, _ := get(w.T, page, "/events")
		require.Equal(w, http.StatusServiceUnavailable, status)
	})
}

func TestWhileNobodyLooksThereIsNoHistoryUnlessItIsRecorded(t *testing.T) {
	inWorld(t, sluice.Options{}, succeed, func(w *world) {
		page := ops.Page(w.consumer)
		_, leave, gone := w.watch(page)
		time.Sleep(time.Minute)
		leave()
		<-gone
		time.Sleep(5 * time.Minute)
		require.InDelta(w, 62, len(w.look(page).Samples), 1, "what was seen before is kept")
		time.Sleep(time.Hour)
		require.Len(w, w.look(page).Samples, 1)
	})
}

func TestAMiddlewareThatHidesFlushIsSaid(t *testing.T) {
	inWorld(t, sluice.Options{}, succeed, func(w *world) {
		answer := httptest.NewRecorder()
		ops.Page(w.consumer).ServeHTTP(struct{ http.ResponseWriter }{answer}, httptest.NewRequestWithContext(w.Context(), http.MethodGet, "/events", nil))
		require.Equal(w, http.StatusInternalServerError, answer.Code)
		require.Contains(w, answer.Body.String(), "hides http.Flusher")
	})
}

// newPage returns a page of a consumer that does not run.
func newPage(t *testing.T) (*ops.LivePage, *sluice.Consumer) {
	t.Helper()
	c, err := sluice.New(sqstest.New(), "https://sqs.eu-central-1.amazonaws.com/123456789012/orders.fifo", sluice.Options{})
	require.NoError(t, err)
	return ops.Page(c), c
}

func TestThePageIsOfFilesUnderAStrictPolicy(t *testing.T) {
	page, _ := newPage(t)
	for path, contentType := range map[string]string{
		"/": "text/html; charset=utf-8", "/app.js": "text/javascript; charset=utf-8", "/style.css": "text/css; charset=utf-8", "/icon.svg": "image/svg+xml",
	} {
		w := httptest.NewRecorder()
		http.StripPrefix("/a/prefix", page).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/a/prefix"+path, nil))
		require.Equal(t, http.StatusOK, w.Code, path)
		require.Equal(t, contentType, w.Header().Get("Content-Type"))
		require.Equal(t, "nosniff", w.Header().Get("X-Content-Type-Options"))
		policy := w.Header().Get("Content-Security-Policy")
		require.Contains(t, policy, "default-src 'none'")
		require.NotContains(t, policy, "unsafe")
	}
	for _, path := range []string{"/web/index.html", "/index.html", "/../page.go", "/pause"} {
		status, _ := get(t, page, path)
		require.NotEqual(t, http.StatusOK, status, path)
	}
}

func TestAllFilesThatThePageNamesAreServed(t *testing.T) {
	page, _ := newPage(t)
	files, err := os.ReadDir("web")
	require.NoError(t, err)
	for _, f := range files {
		path := "/" + f.Name()
		if path == "/index.html" {
			path = "/"
		}
		status, text := get(t, page, path)
		require.Equal(t, http.StatusOK, status, path)
		require.NotContains(t, text, "style=\"", "the policy forbids it")
		require.NotRegexp(t, `(src|href)="(/|http)`, text, "it must be relative, for prefixes")
	}
}

func TestAPrefixWithoutItsSlashLeadsToThePage(t *testing.T) {
	page, _ := newPage(t)
	server := httptest.NewServer(http.StripPrefix("/a/prefix", page))
	defer server.Close()
	answer, err := http.Get(server.URL + "/a/prefix?x=y")
	require.NoError(t, err)
	defer answer.Body.Close()
	require.Equal(t, http.StatusOK, answer.StatusCode)
	require.Equal(t, "/a/prefix/", answer.Request.URL.Path)
}

// post sends a form as a browser does.
func post(t *testing.T, page http.Handler, path, site string, form url.Values) int {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", site)
	w := httptest.NewRecorder()
	page.ServeHTTP(w, r)
	return w.Code
}

func TestOnlyThePageItselfCanActAndOnlyIfItMay(t *testing.T) {
	inWorld(t, sluice.Options{}, succeed, func(w *world) {
		page := ops.Page(w.consumer)
		s := w.look(page)
		require.False(w, s.Hello.Actions)
		form := url.Values{"queue": {"0"}, "process": {s.Hello.Process}}
		state := func() sluice.State {
			synctest.Wait()
			return w.consumer.Health().State
		}
		require.Equal(w, http.StatusForbidden, post(w.T, page, "/pause", "same-origin", form), "it only shows")
		page.Actions = true
		require.True(w, w.look(page).Hello.Actions)
		for _, site := range []string{"cross-site", "same-site"} {
			require.Equal(w, http.StatusForbidden, post(w.T, page, "/pause", site, form), site)
		}
		require.Equal(w, http.StatusConflict, post(w.T, page, "/pause", "same-origin", url.Values{"queue": {"0"}, "process": {"another"}}))
		for _, queue := range []string{"", "1", "-1", "x"} {
			require.Equal(w, http.StatusBadRequest, post(w.T, page, "/pause", "same-origin", url.Values{"queue": {queue}, "process": {s.Hello.Process}}), queue)
		}
		large := url.Values{"queue": {"0"}, "process": {s.Hello.Process}, "x": {strings.Repeat("x", 2048)}}
		require.NotEqual(w, http.StatusNoContent, post(w.T, page, "/pause", "same-origin", large))
		status, _ := get(w.T, page, "/pause")
		require.NotEqual(w, http.StatusOK, status)
		require.Equal(w, sluice.StateReceiving, state())
		require.Equal(w, http.StatusNoContent, post(w.T, page, "/pause", "same-origin", form))
		require.Equal(w, sluice.StatePaused, state())
		require.Equal(w, http.StatusNoContent, post(w.T, page, "/resume", "same-origin", form))
		require.Equal(w, sluice.StateReceiving, state())
	})
}

func TestAServerWithAWriteTimeoutShutsDownAtOnce(t *testing.T) {
	page, _ := newPage(t)
	server := httptest.NewUnstartedServer(page)
	server.Config.WriteTimeout = 20 * time.Second
	server.Config.RegisterOnShutdown(page.Close)
	server.Start()
	answer, err := http.Get(server.URL + "/events")
	require.NoError(t, err)
	defer answer.Body.Close()
	require.NoError(t, server.Config.Shutdown(t.Context()), "it does not wait for who watches")
}
