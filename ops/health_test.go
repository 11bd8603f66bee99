package ops_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"reflect"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/internal/seam"
	"github.com/sluice-go/sluice/ops"
	"github.com/sluice-go/sluice/sqstest"
)

// A world is a queue, a consumer of it, and time of its own.
type world struct {
	*testing.T

	server   *sqstest.Server
	url      string
	consumer *sluice.Consumer
	run      chan error // what Run returned
	stop     context.CancelFunc
}

// inWorld tells a story in a world whose consumer runs with h from the beginning; nil: it does not run.
func inWorld(t *testing.T, o sluice.Options, h sluice.Handler, story func(*world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t, server: sqstest.New(sqstest.Latency(sqstest.FixedDelay(10 * time.Millisecond)))}
		w.url = w.server.MustCreateQueue("orders", nil)
		o.Logger = slog.New(slog.DiscardHandler)
		var err error
		w.consumer, err = sluice.New(w.server, w.url, o)
		require.NoError(t, err)
		if h != nil {
			w.start(h)
		}
		defer func() {
			if w.stop != nil {
				w.stop()
			}
			time.Sleep(time.Hour) // all that goes on comes to its end, or the bubble finds it
		}()
		story(w)
	})
}

func (w *world) start(h sluice.Handler) {
	ctx, stop := context.WithCancel(w.Context())
	w.stop, w.run = stop, make(chan error, 1)
	go func() { w.run <- w.consumer.Run(ctx, h) }()
	synctest.Wait()
}

// refuse makes SQS answer an operation with an error, or all but sends if op is "".
func (w *world) refuse(op string, err error) (heal func()) {
	return w.server.Inject(sqstest.Fault{Op: op, Err: err, Match: func(c sqstest.Call) bool { return c.Op != "SendMessage" && c.Op != "SendMessageBatch" }})
}

func succeed(context.Context, []*sluice.Message) error { return nil }

// get asks a handler for a path.
func get(t *testing.T, h http.Handler, path string) (status int, body string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
	return w.Code, w.Body.String()
}

// The worlds of this test have all that may befall a consumer from outside.
func TestLivezIsNeverAboutWhatIsOutside(t *testing.T) {
	for seed := range uint64(40) {
		chance := rand.New(rand.NewPCG(seed, 1))
		var blocked atomic.Bool
		h := func(ctx context.Context, batch []*sluice.Message) error {
			for blocked.Load() && ctx.Err() == nil {
				time.Sleep(time.Second)
			}
			if batch[0].ID < "2" { // one in eight
				return errors.New("no stock")
			}
			return nil
		}
		o := sluice.Options{Concurrency: 1, BatchSize: 1 + chance.IntN(20), GiveUpAfter: time.Minute}
		inWorld(t, o, h, func(w *world) {
			health := ops.Health(w.consumer)
			for range 20 {
				undo := w.mishap(chance, &blocked)
				for end := time.Now().Add(time.Duration(chance.IntN(300)) * time.Second); time.Now().Before(end); {
					if chance.IntN(3) == 0 {
						w.server.Send(w.url, "x")
					}
					time.Sleep(time.Duration(1+chance.IntN(20)) * time.Second)
					status, body := get(w.T, health, "/livez")
					require.Equal(w, http.StatusOK, status, "seed %d: %s", seed, body)
				}
				undo()
			}
			blocked.Store(false)
		})
	}
}

// mishap lets something go wrong, or nothing.
func (w *world) mishap(chance *rand.Rand, blocked *atomic.Bool) (undo func()) {
	switch chance.IntN(12) {
	case 0:
		return w.refuse("", sqstest.Unavailable())
	case 1:
		return w.refuse("ReceiveMessage", sqstest.AccessDenied()) // after a minute of it the run ends
	case 2:
		return w.refuse("DeleteMessageBatch", sqstest.AccessDenied())
	case 3:
		return w.refuse("", sqstest.Throttled())
	case 4:
		return w.refuse("", sqstest.Reset())
	case 5:
		return w.refuse("ReceiveMessage", sqstest.NoSuchQueue())
	case 6: // no answer comes
		return w.server.Inject(sqstest.Fault{Op: "ReceiveMessage", Wait: time.Hour})
	case 7:
		return w.server.Inject(sqstest.Fault{Lag: time.Duration(chance.IntN(20_000)) * time.Millisecond, Op: "DeleteMessageBatch"})
	case 8:
		w.consumer.Pause()
		return w.consumer.Resume
	case 9:
		blocked.Store(true)
		return func() { blocked.Store(false) }
	case 10:
		return w.refuse("ReceiveMessage", sqstest.ExpiredToken())
	default:
		return func() {}
	}
}

func TestLivezFailsWhileTheLoopHangs(t *testing.T) {
	var hangs atomic.Bool
	o := sluice.Options{}
	seam.Set(&o, seam.Seams{WallClock: func(time.Time) time.Duration {
		for hangs.Load() { // in a turn of the loop
			time.Sleep(time.Second)
		}
		return 0
	}})
	inWorld(t, o, succeed, func(w *world) {
		health := ops.Health(w.consumer)
		hangs.Store(true)
		w.server.Send(w.url, "x")
		var statuses []int
		for range 4 {
			time.Sleep(15 * time.Second)
			status, _ := get(w.T, health, "/livez")
			statuses = append(statuses, status)
		}
		require.Equal(w, []int{200, 200, 200, 503}, statuses)
		_, body := get(w.T, health, "/livez")
		require.Equal(w, "orders: the run has given no sign of life for 45s\n", body)
		hangs.Store(false)
		time.Sleep(2 * time.Second)
		status, body := get(w.T, health, "/livez")
		require.Equal(w, http.StatusOK, status)
		require.Equal(w, "ok\n", body)
	})
}

func TestReadyzIsAboutTheFirstReceiveAndTheEnd(t *testing.T) {
	slow := func(context.Context, []*sluice.Message) error {
		time.Sleep(10 * time.Second)
		return nil
	}
	inWorld(t, sluice.Options{PollTime: time.Second}, nil, func(w *world) {
		health := ops.Health(w.consumer)
		want := func(status int, body string) {
			w.Helper()
			got, said := get(w.T, health, "/readyz")
			require.Equal(w, body, said)
			require.Equal(w, status, got)
		}
		want(503, "orders: no run has begun\n")
		heal := w.refuse("ReceiveMessage", sqstest.Unavailable())
		w.start(slow)
		time.Sleep(time.Minute)
		want(503, "orders: no receive has succeeded yet\n")
		heal()
		time.Sleep(time.Minute)
		want(200, "ok\n")
		heal = w.refuse("ReceiveMessage", sqstest.AccessDenied())
		time.Sleep(time.Minute)
		want(200, "ok\n") // another version would be refused too
		heal()
		time.Sleep(time.Minute)
		w.consumer.Pause()
		want(200, "ok\n")
		w.consumer.Resume()
		w.server.Send(w.url, "x")
		time.Sleep(time.Second)
		w.stop()
		time.Sleep(time.Second)
		want(503, "orders: the run is ending\n")
		time.Sleep(time.Minute)
		want(503, "orders: the run has ended\n")
	})
}

func TestReadyzIsAboutAllConsumers(t *testing.T) {
	inWorld(t, sluice.Options{}, succeed, func(w *world) {
		w.server.Send(w.url, "x")
		time.Sleep(time.Second)
		other, err := sluice.New(w.server, w.server.MustCreateQueue("refunds", nil), sluice.Options{})
		require.NoError(w, err)
		same, err := sluice.New(w.server, w.url, sluice.Options{})
		require.NoError(w, err)
		status, body := get(w.T, ops.Health(w.consumer, other, same), "/readyz")
		require.Equal(w, http.StatusServiceUnavailable, status)
		require.Equal(w, "refunds: no run has begun\norders #2: no run has begun\n", body)
	})
}

func TestStatuszIsJSONOfAllThatIsKnown(t *testing.T) {
	inWorld(t, sluice.Options{BatchSize: 7, DeadLetterQueueURL: "http://sqs.us-east-1.localhost/000000000000/dead"}, succeed, func(w *world) {
		w.server.Send(w.url, "a body")
		time.Sleep(10 * time.Second)
		h := http.StripPrefix("/internal", ops.Health(w.consumer))
		status, body := get(w.T, h, "/internal/statusz")
		require.Equal(w, http.StatusOK, status)
		var said struct {
			Queues []struct {
				Queue         string
				Health, Stats map[string]any
				Options       map[string]any
			}
		}
		require.NoError(w, json.Unmarshal([]byte(body), &said)) //nolint:musttag // the names are the fields'
		require.Len(w, said.Queues, 1)
		q := said.Queues[0]
		require.Equal(w, "orders", q.Queue)
		require.Equal(w, "receiving", q.Health["State"])
		require.InDelta(w, 1, q.Stats["Deleted"], 0)
		require.InDelta(w, 7, q.Options["BatchSize"], 0)
		require.Equal(w, "30s", q.Options["VisibilityTimeout"], "the effective one")
		require.Equal(w, "dead", q.Options["DeadLetterQueueURL"])
		require.NotContains(w, body, "000000000000", "no account")
		require.NotContains(w, body, "a body")
	})
}

// A new option must be shown, or it must be said here why it is not.
func TestStatuszHasEachOptionThatJSONCanSay(t *testing.T) {
	c, err := sluice.New(sqstest.New(), "http://localhost/1/q", sluice.Options{})
	require.NoError(t, err)
	_, body := get(t, ops.Health(c), "/statusz")
	var said struct {
		Queues []struct{ Options map[string]any }
	}
	require.NoError(t, json.Unmarshal([]byte(body), &said)) //nolint:musttag // the names are the fields'
	code := map[string]bool{"RetryDelay": true, "Logger": true, "Hooks": true, "Middleware": true}
	for field := range reflect.TypeFor[sluice.Options]().Fields() {
		if _, shown := said.Queues[0].Options[field.Name]; field.IsExported() && !code[field.Name] {
			require.True(t, shown, "Options.%s", field.Name)
		}
	}
}

func TestHealthHasNoOtherPathsAndOnlyAnswersGET(t *testing.T) {
	c, err := sluice.New(sqstest.New(), "http://localhost/1/q", sluice.Options{})
	require.NoError(t, err)
	h := ops.Health(c)
	status, _ := get(t, h, "/")
	require.Equal(t, http.StatusNotFound, status)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/livez", nil))
	require.Equal(t, http.StatusMethodNotAllowed, w.Code)
}

func TestConsumersThatAreMissingPanicWithTheReason(t *testing.T) {
	require.PanicsWithValue(t, "ops: there are no consumers, want at least one", func() { ops.Health() })
	require.PanicsWithValue(t, "ops: consumer 0 is nil, want one made by sluice.New", func() { ops.Page(nil) })
}
