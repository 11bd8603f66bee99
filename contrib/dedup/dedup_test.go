package dedup_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/contrib/dedup"
	"github.com/sluice-go/sluice/sqstest"
)

var (
	errHandler = errors.New("the handler fails")
	errDown    = errors.New("the store is down")
)

// byBody is the key of messages in these tests.
func byBody(m *sluice.Message) (string, error) { return m.Body, nil }

func messages(bodies ...string) (batch []*sluice.Message) {
	for i, body := range bodies {
		batch = append(batch, &sluice.Message{ID: fmt.Sprint(i), Body: body, Attempt: 1})
	}
	return batch
}

func newDedup(t *testing.T, store dedup.Store, opts dedup.Options) *dedup.Dedup {
	t.Helper()
	if opts.Handler == "" {
		opts.Handler = "emails"
	}
	if opts.Key == nil {
		opts.Key = byBody
	}
	opts.Logger = slog.New(slog.DiscardHandler)
	d, err := dedup.New(store, opts)
	require.NoError(t, err)
	return d
}

// bubble runs a test in virtual time.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

// A troubled store fails as its function says: before or after a call has its effect.
type troubled struct {
	dedup.Store

	trouble func(op string) (before, after error)
}

// newTroubled returns a store that asks the function one call after the other: the claims of a
// batch are extended at the same time.
func newTroubled(store dedup.Store, trouble func(op string) (before, after error)) troubled {
	var mu sync.Mutex
	return troubled{store, func(op string) (before, after error) {
		mu.Lock()
		defer mu.Unlock()
		return trouble(op)
	}}
}

func (s troubled) Claim(ctx context.Context, key, owner string, ttl time.Duration) (dedup.Claim, error) {
	before, after := s.trouble("claim")
	if before != nil {
		return dedup.Claim{}, before
	}
	c, err := s.Store.Claim(ctx, key, owner, ttl)
	if after != nil {
		return dedup.Claim{}, after
	}
	return c, err
}

func (s troubled) Extend(ctx context.Context, key, owner string, ttl time.Duration) error {
	return s.call("extend", func() error { return s.Store.Extend(ctx, key, owner, ttl) })
}

func (s troubled) Done(ctx context.Context, key, owner string, keep time.Duration) error {
	return s.call("done", func() error { return s.Store.Done(ctx, key, owner, keep) })
}

func (s troubled) Release(ctx context.Context, key, owner string) error {
	return s.call("release", func() error { return s.Store.Release(ctx, key, owner) })
}

func (s troubled) call(op string, f func() error) error {
	before, after := s.trouble(op)
	if before != nil {
		return before
	}
	return errors.Join(f(), after)
}

// downFor returns what fails calls of some operations.
func downFor(ops string) func(string) (error, error) {
	return func(op string) (error, error) {
		if strings.Contains(ops, op) {
			return errDown, nil
		}
		return nil, nil
	}
}

func TestAllThatIsWrongIsSaidAtOnce(t *testing.T) {
	_, err := dedup.New(nil, dedup.Options{Handler: "e mails", TTL: time.Second, Keep: time.Second})
	require.EqualError(t, err, `dedup: store is nil, want one such as redisstore's
Handler is "e mails", want 1 to 100 letters, digits, dots, dashes and underscores, such as "emails"
TTL is 1s, want at least 2s
Keep is 1s, want at least 1m0s`)
	require.Nil(t, newDedup(t, new(dedup.Memory), dedup.Options{}).Middleware(nil))
}

func TestAMessageThatWasHandledIsNotHandledAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := newDedup(t, new(dedup.Memory), dedup.Options{})
		var got []string
		h := d.Middleware(func(_ context.Context, batch []*sluice.Message) error {
			for _, m := range batch {
				got = append(got, m.Body)
			}
			return nil
		})
		require.NoError(t, h(t.Context(), messages("a", "b", "a")))
		time.Sleep(29 * 24 * time.Hour)
		require.NoError(t, h(t.Context(), messages("c", "b", "a")))
		require.Equal(t, []string{"a", "b", "c"}, got)
		require.Equal(t, dedup.Stats{Handled: 3, Repeated: 3}, d.Stats())
		time.Sleep(2 * 24 * time.Hour)
		require.NoError(t, h(t.Context(), messages("a")))
		require.Equal(t, []string{"a", "b", "c", "a"}, got, "30 days are over")
	})
}

func TestAMessageWhoseHandlerFailedIsHandledAgainAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := new(dedup.Memory)
		d := newDedup(t, store, dedup.Options{})
		batch := messages("a", "b", "c", "b")
		err := d.Middleware(func(_ context.Context, batch []*sluice.Message) error {
			return sluice.Failed(batch[1], sluice.RetryAfter(time.Second, errHandler))
		})(t.Context(), batch)
		var failed []*sluice.Message
		for m, err := range sluice.Outcomes(batch, err) {
			require.Equal(t, sluice.Outcome{Kind: sluice.OutcomeRetryAfter, Delay: time.Second}, sluice.OutcomeOf(err))
			failed = append(failed, m)
		}
		require.Equal(t, []*sluice.Message{batch[1], batch[3]}, failed)
		called := false
		other := newDedup(t, store, dedup.Options{})
		require.NoError(t, other.Middleware(func(_ context.Context, batch []*sluice.Message) error {
			called = true
			require.Len(t, batch, 1)
			return nil
		})(t.Context(), messages("b", "a", "c")))
		require.True(t, called)
	})
}

func TestAPanicReleasesTheClaimsAndGoesOn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := newDedup(t, new(dedup.Memory), dedup.Options{})
		require.PanicsWithValue(t, "the handler panics", func() {
			_ = d.Middleware(func(context.Context, []*sluice.Message) error { panic("the handler panics") })(t.Context(), messages("a"))
		})
		called := false
		require.NoError(t, d.Middleware(func(context.Context, []*sluice.Message) error {
			called = true
			return nil
		})(t.Context(), messages("a")))
		require.True(t, called)
	})
}

// The handler of one process takes an hour. Another process gets the message again and again.
func TestAClaimIsKeptWhileItsHandlerRuns(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := new(dedup.Memory)
		first, second := newDedup(t, store, dedup.Options{}), newDedup(t, store, dedup.Options{})
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := first.Middleware(func(context.Context, []*sluice.Message) error {
				time.Sleep(time.Hour)
				return nil
			})(t.Context(), messages("a")); err != nil {
				t.Error(err)
			}
		})
		h := second.Middleware(func(context.Context, []*sluice.Message) error { panic("both handle it") })
		for range 59 {
			time.Sleep(time.Minute)
			o := sluice.OutcomeOf(h(t.Context(), messages("a")))
			require.Equal(t, sluice.OutcomeRetryAfter, o.Kind)
			require.GreaterOrEqual(t, o.Delay, 15*time.Second)
			require.LessOrEqual(t, o.Delay, 30*time.Second)
		}
		wg.Wait()
		require.NoError(t, h(t.Context(), messages("a")))
		require.Equal(t, dedup.Stats{Repeated: 1, Busy: 59}, second.Stats())
	})
}

func TestABusyMessageIsReceivedLaterWithEachAttempt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := newDedup(t, busy{new(dedup.Memory)}, dedup.Options{})
		h := d.Middleware(func(context.Context, []*sluice.Message) error { panic("it is busy") })
		for attempt, want := range map[int]time.Duration{1: 20 * time.Second, 4: 20 * time.Second, 5: 32 * time.Second, 9: 512 * time.Second, 100: 512 * time.Second} {
			batch := messages("a")
			batch[0].Attempt = attempt
			require.Equal(t, want, sluice.OutcomeOf(h(t.Context(), batch)).Delay)
		}
	})
}

// A busy store has a claim of somebody else on each key.
type busy struct{ dedup.Store }

func (busy) Claim(context.Context, string, string, time.Duration) (dedup.Claim, error) {
	return dedup.Claim{State: dedup.StateBusy, Left: 20 * time.Second}, nil
}

func TestAProcessThatDiedHoldsItsMessageUntilTheClaimExpires(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := new(dedup.Memory)
		d := newDedup(t, store, dedup.Options{TTL: time.Minute})
		dead := newDedup(t, newTroubled(store, downFor("done release extend")), dedup.Options{TTL: time.Minute})
		require.Error(t, dead.Middleware(func(context.Context, []*sluice.Message) error { return errHandler })(t.Context(), messages("a")))
		h := d.Middleware(func(context.Context, []*sluice.Message) error { return nil })
		require.Error(t, h(t.Context(), messages("a")))
		time.Sleep(time.Minute)
		require.NoError(t, h(t.Context(), messages("a")))
		require.EqualValues(t, 1, d.Stats().Handled)
	})
}

func TestAStoreThatIsDownFailsTheMessage(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := newDedup(t, newTroubled(new(dedup.Memory), downFor("claim extend done release")), dedup.Options{})
		began := time.Now()
		err := d.Middleware(func(context.Context, []*sluice.Message) error { panic("handled blind") })(t.Context(), messages("a", "b"))
		require.ErrorIs(t, err, errDown)
		require.ErrorContains(t, err, "dedup: claiming a message: ")
		require.Zero(t, time.Since(began), "and does not hold up the others")
	})
}

func TestAStoreThatIsDownIsPassedByOnlyIfAskedTo(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := newDedup(t, newTroubled(new(dedup.Memory), downFor("claim extend done release")), dedup.Options{FailOpen: true})
		called := 0
		h := d.Middleware(func(ctx context.Context, batch []*sluice.Message) error {
			time.Sleep(time.Hour)
			called += len(batch)
			return ctx.Err()
		})
		began := time.Now()
		require.NoError(t, h(t.Context(), messages("a", "b")))
		require.Equal(t, time.Hour, time.Since(began), "and is not waited for")
		require.Equal(t, 2, called)
		require.EqualValues(t, 2, d.Stats().Blind)
	})
}

// The message is deleted all the same: if it came again, it would be handled again for certain.
func TestASuccessThatCannotBeMarkedIsASuccess(t *testing.T) {
	bubble(t, func(t *testing.T) {
		tries := 0
		store := newTroubled(new(dedup.Memory), func(op string) (error, error) {
			if op != "done" {
				return nil, nil
			}
			tries++
			return errDown, nil
		})
		d := newDedup(t, store, dedup.Options{})
		h := d.Middleware(func(context.Context, []*sluice.Message) error { return nil })
		require.NoError(t, h(t.Context(), messages("a")))
		require.Equal(t, 5, tries)
		require.EqualValues(t, 1, d.Stats().Unmarked)
	})
}

func TestAClaimThatIsTakenOverEndsTheHandlersContext(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := new(dedup.Memory)
		d := newDedup(t, newTroubled(store, func(op string) (error, error) {
			if op == "extend" {
				return dedup.ErrLost, nil
			}
			return nil, nil
		}), dedup.Options{})
		began := time.Now()
		err := d.Middleware(func(ctx context.Context, _ []*sluice.Message) error {
			<-ctx.Done()
			return context.Cause(ctx)
		})(t.Context(), messages("a"))
		require.ErrorIs(t, err, dedup.ErrLost)
		require.Equal(t, 15*time.Second, time.Since(began))
		require.EqualValues(t, 1, d.Stats().Lost)
	})
}

func TestAClaimThatCannotBeExtendedIsTriedUntilItExpires(t *testing.T) {
	bubble(t, func(t *testing.T) {
		tries := 0
		d := newDedup(t, newTroubled(new(dedup.Memory), func(op string) (error, error) {
			if op == "extend" {
				tries++
				return errDown, nil
			}
			return nil, nil
		}), dedup.Options{TTL: 20 * time.Second})
		began := time.Now()
		err := d.Middleware(func(ctx context.Context, _ []*sluice.Message) error {
			<-ctx.Done()
			return context.Cause(ctx)
		})(t.Context(), messages("a", "b"))
		require.ErrorIs(t, err, dedup.ErrLost)
		require.ErrorContains(t, err, errDown.Error())
		require.Equal(t, 20*time.Second, time.Since(began))
		require.GreaterOrEqual(t, tries, 10)
	})
}

func TestAStoreThatIsDownForAMomentCostsNoClaim(t *testing.T) {
	bubble(t, func(t *testing.T) {
		extends := 0
		d := newDedup(t, newTroubled(new(dedup.Memory), func(op string) (error, error) {
			if op == "extend" {
				if extends++; extends%5 != 0 {
					return errDown, nil
				}
			}
			return nil, nil
		}), dedup.Options{})
		require.NoError(t, d.Middleware(func(ctx context.Context, _ []*sluice.Message) error {
			time.Sleep(time.Hour)
			return ctx.Err()
		})(t.Context(), messages("a")))
		require.Equal(t, dedup.Stats{Handled: 1}, d.Stats())
	})
}

func TestAHandlerThatReturnsDoesNotWaitForAnExtension(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := newDedup(t, slowExtend{new(dedup.Memory)}, dedup.Options{})
		began := time.Now()
		require.NoError(t, d.Middleware(func(context.Context, []*sluice.Message) error {
			time.Sleep(16 * time.Second)
			return nil
		})(t.Context(), messages("a")))
		require.Equal(t, 16*time.Second, time.Since(began))
		require.Equal(t, dedup.Stats{Handled: 1}, d.Stats())
	})
}

// A slowExtend is a store whose extensions take until their context ends.
type slowExtend struct{ dedup.Store }

func (slowExtend) Extend(ctx context.Context, _, _ string, _ time.Duration) error {
	<-ctx.Done()
	return ctx.Err()
}

// A claim whose answer is lost would keep its message until it expires.
func TestAClaimWhoseAnswerIsLostIsReleased(t *testing.T) {
	bubble(t, func(t *testing.T) {
		lost := true
		d := newDedup(t, newTroubled(new(dedup.Memory), func(op string) (error, error) {
			if op == "claim" && lost {
				lost = false
				return nil, errDown
			}
			return nil, nil
		}), dedup.Options{})
		h := d.Middleware(func(context.Context, []*sluice.Message) error { return nil })
		require.ErrorIs(t, h(t.Context(), messages("a")), errDown)
		require.NoError(t, h(t.Context(), messages("a")))
	})
}

func TestAHandlerWhoseContextHasEndedIsMarkedAndReleasedAllTheSame(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := newDedup(t, new(dedup.Memory), dedup.Options{})
		for _, result := range []error{errHandler, nil} {
			ctx, cancel := context.WithCancelCause(t.Context())
			_ = d.Middleware(func(context.Context, []*sluice.Message) error {
				cancel(sluice.ErrLeaseLost)
				return result
			})(ctx, messages("a"))
		}
		require.Equal(t, dedup.Stats{Handled: 1}, d.Stats())
		require.NoError(t, d.Middleware(func(context.Context, []*sluice.Message) error { panic("handled again") })(t.Context(), messages("a")))
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(sluice.ErrLeaseLost)
		require.ErrorIs(t, d.Middleware(func(context.Context, []*sluice.Message) error { panic("the lease is lost") })(ctx, messages("b")), sluice.ErrLeaseLost)
	})
}

func TestMessagesBehindABusyOneOfTheirGroupWait(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := new(dedup.Memory)
		d := newDedup(t, store, dedup.Options{})
		batch := messages("a1", "b1", "a2", "b2", "a3")
		for i, m := range batch {
			m.GroupID, m.SequenceNumber = m.Body[:1], fmt.Sprint(i)
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			_ = newDedup(t, store, dedup.Options{}).Middleware(func(context.Context, []*sluice.Message) error {
				time.Sleep(time.Second)
				return errHandler
			})(t.Context(), messages("a1"))
		})
		synctest.Wait()
		var got []string
		note := func(_ context.Context, batch []*sluice.Message) error {
			for _, m := range batch {
				got = append(got, m.Body)
			}
			return nil
		}
		var failed []*sluice.Message
		for m := range sluice.Outcomes(batch, d.Middleware(note)(t.Context(), batch)) {
			failed = append(failed, m)
		}
		require.Equal(t, []*sluice.Message{batch[0], batch[2], batch[4]}, failed)
		wg.Wait()
		require.NoError(t, d.Middleware(note)(t.Context(), failed), "their claims are released")
		require.Equal(t, []string{"b1", "b2", "a1", "a2", "a3"}, got)
	})
}

func TestAMessageWithoutAKeyFailsAlone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := newDedup(t, new(dedup.Memory), dedup.Options{Key: func(m *sluice.Message) (string, error) {
			switch m.Body {
			case "error":
				return "", errHandler
			case "panic":
				panic(errHandler)
			default:
				return m.Body, nil
			}
		}})
		batch := messages("a", "error", "", "panic", "b")
		var failed []string
		for m, err := range sluice.Outcomes(batch, d.Middleware(func(_ context.Context, batch []*sluice.Message) error {
			require.Len(t, batch, 2)
			return nil
		})(t.Context(), batch)) {
			require.ErrorContains(t, err, "dedup: the key of a message")
			failed = append(failed, m.Body)
		}
		require.Equal(t, []string{"error", "", "panic"}, failed)
	})
}

func TestTwoHandlersDoNotHideEachOthersMessages(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store, called := new(dedup.Memory), 0
		for _, name := range []string{"emails", "labels"} {
			d := newDedup(t, store, dedup.Options{Handler: name})
			require.NoError(t, d.Middleware(func(context.Context, []*sluice.Message) error {
				called++
				return nil
			})(t.Context(), messages("a")))
		}
		require.Equal(t, 2, called)
	})
}

// A world has producers that send twice, deletes that are lost, messages that come twice, leases that
// end, handlers that fail, take long and ignore their contexts, and a store that fails for moments. No
// process dies. Each key must be handled successfully once, and by one handler at a time.
func TestEachKeyIsHandledOnceAndByOneAtATime(t *testing.T) {
	for seed := range uint64(100) {
		bubble(t, func(t *testing.T) {
			w := &world{dice: rand.New(rand.NewPCG(seed, 7)), running: map[string]int{}, done: map[string]int{}}
			w.live(t)
			require.Empty(t, w.problems, "seed %d", seed)
		})
	}
}

// Worlds with a store that is wrong must show it.
func TestAWorldNoticesAWrongStore(t *testing.T) {
	for name, wrong := range map[string]func(dedup.Store) dedup.Store{
		"marks before handling": func(s dedup.Store) dedup.Store { return marksFirst{s.(*dedup.Memory)} },
		"claims nothing":        func(s dedup.Store) dedup.Store { return claimsAll{s} },
		"extends nothing":       func(s dedup.Store) dedup.Store { return extendsNothing{s} },
		"ownerless Release":     func(s dedup.Store) dedup.Store { return ownerlessRelease{s.(*dedup.Memory)} },
	} {
		t.Run(name, func(t *testing.T) {
			noticed := false
			for seed := uint64(0); seed < 100 && !noticed; seed++ {
				bubble(t, func(t *testing.T) {
					w := &world{dice: rand.New(rand.NewPCG(seed, 7)), running: map[string]int{}, done: map[string]int{}, wrong: wrong}
					w.live(t)
					noticed = len(w.problems) > 0
				})
			}
			require.True(t, noticed)
		})
	}
}

type (
	claimsAll      struct{ dedup.Store }
	extendsNothing struct{ dedup.Store }
)

func (claimsAll) Claim(context.Context, string, string, time.Duration) (dedup.Claim, error) {
	return dedup.Claim{State: dedup.StateClaimed}, nil
}

func (extendsNothing) Extend(context.Context, string, string, time.Duration) error { return nil }

type world struct {
	wrong func(dedup.Store) dedup.Store // nil: the store is right
	calm  atomic.Bool

	mu       sync.Mutex // guards the fields below
	dice     *rand.Rand
	running  map[string]int // handlers, by key
	done     map[string]int // successes, by key
	problems []string
}

func (w *world) chance(percent int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.dice.IntN(100) < percent
}

func (w *world) upTo(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.dice.IntN(n)
}

func (w *world) live(t *testing.T) {
	server := sqstest.New()
	url := server.MustCreateQueue("emails", nil)
	spoiled := func(percent int) func(sqstest.Call) bool {
		return func(sqstest.Call) bool { return !w.calm.Load() && w.chance(percent) }
	}
	server.Inject(sqstest.Fault{Op: "DeleteMessageBatch", Match: spoiled(20), Err: sqstest.Reset()})
	server.Inject(sqstest.Fault{Op: "DeleteMessageBatch", Match: spoiled(20), NoEffect: true})
	server.Inject(sqstest.Fault{Op: "DeleteMessageBatch", Match: spoiled(10), Again: true})
	server.Inject(sqstest.Fault{Op: "ReceiveMessage", Match: spoiled(20), Again: true})
	var memory dedup.Store = new(dedup.Memory)
	if w.wrong != nil {
		memory = w.wrong(memory)
	}
	store := newTroubled(memory, w.trouble)
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for i := range 2 {
		d := newDedup(t, store, dedup.Options{})
		opts := sluice.Options{Concurrency: 2, Logger: slog.New(slog.DiscardHandler), Middleware: []func(sluice.Handler) sluice.Handler{d.Middleware}}
		if i == 1 {
			opts.BatchSize, opts.WaitTime = 5, time.Second
		}
		c, err := sluice.New(server, url, opts)
		require.NoError(t, err)
		wg.Go(func() { _ = c.Run(ctx, w.handle) })
	}
	const keys = 20
	for i := range keys {
		for ok := true; ok; ok = w.chance(30) {
			server.Send(url, fmt.Sprint("key ", i))
			time.Sleep(time.Duration(w.upTo(5000)) * time.Millisecond)
		}
	}
	for range 100 {
		time.Sleep(5 * time.Second)
		for _, m := range server.Messages(url) {
			if w.chance(10) {
				server.ExpireLease(url, m.ID)
			}
		}
	}
	w.calm.Store(true)
	for range 3 * 3600 {
		if time.Sleep(time.Second); len(server.Messages(url)) == 0 {
			break
		}
	}
	if n := len(server.Messages(url)); n > 0 {
		w.problems = append(w.problems, fmt.Sprint("messages are left: ", n))
	}
	stop()
	wg.Wait()
	for i := range keys {
		if n := w.done[fmt.Sprint("key ", i)]; n != 1 {
			w.problems = append(w.problems, fmt.Sprintf("key %d was handled %d times", i, n))
		}
	}
}

// trouble fails calls for moments, before or after their effect.
func (w *world) trouble(op string) (before, after error) {
	if w.calm.Load() || op == "done" && w.chance(70) { // a mark that five tries do not make may be a second handling
		return nil, nil
	}
	switch w.upTo(20) {
	case 0:
		return errDown, nil
	case 1:
		return nil, errDown
	default:
		return nil, nil
	}
}

// handle handles messages one by one. Some it fails, and some take longer than a claim.
func (w *world) handle(ctx context.Context, batch []*sluice.Message) error {
	return sluice.Each(w.one)(ctx, batch)
}

func (w *world) one(ctx context.Context, m *sluice.Message) error {
	w.enter(m.Body, 1)
	defer w.enter(m.Body, -1)
	ended := ctx.Done()
	if w.chance(50) {
		ended = nil
	}
	if w.chance(30) {
		select {
		case <-time.After(time.Duration(w.upTo(100)) * time.Second):
		case <-ended:
			return context.Cause(ctx)
		}
	}
	if !w.calm.Load() && w.chance(20) {
		if w.chance(20) {
			panic(errHandler)
		}
		return errHandler
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.done[m.Body]++
	return nil
}

func (w *world) enter(key string, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.running[key] += n
	if w.running[key] > 1 {
		w.problems = append(w.problems, key+" is handled by two at a time")
	}
}
