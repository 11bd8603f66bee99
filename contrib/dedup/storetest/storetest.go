// Package storetest has the tests that a store of package dedup must pass.
//
//	for _, c := range storetest.Cases {
//		t.Run(c.Name, func(t *testing.T) {
//			if err := c.Run(t.Context(), store, pass); err != nil {
//				t.Error(err)
//			}
//		})
//	}
//
// pass makes time pass in the store, such as time.Sleep in a bubble of testing/synctest. The cases
// have different keys, so one store may be used for all of them.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sluice-go/sluice/contrib/dedup"
)

// A Case is a claim about stores. Run returns an error if it is not true of s.
type Case struct {
	Name string
	Run  func(ctx context.Context, s dedup.Store, pass func(time.Duration)) error
}

// A claim lasts for so long that a machine which stands still for a minute does not let it expire, since the
// clock of some stores is real.
const (
	ttl  = 10 * time.Minute
	keep = time.Hour
)

// Cases are all claims.
var Cases = []Case{
	{"a key that nobody has is claimed", script(
		claims("a", dedup.StateClaimed),
	)},
	{"a key that another owner has is busy", script(
		claims("a", dedup.StateClaimed), claims("b", dedup.StateBusy), claims("b", dedup.StateBusy),
	)},
	{"an owner may claim again, since an answer may be lost", script(
		claims("a", dedup.StateClaimed), passes(ttl*8/10), claims("a", dedup.StateClaimed),
		passes(ttl*8/10), claims("b", dedup.StateBusy),
	)},
	{"a claim expires", script(
		claims("a", dedup.StateClaimed), passes(ttl+2*time.Second), claims("b", dedup.StateClaimed), claims("a", dedup.StateBusy),
	)},
	{"an extended claim lasts longer", script(
		claims("a", dedup.StateClaimed), passes(ttl*8/10), extends("a", nil), extends("a", nil),
		passes(ttl*8/10), claims("b", dedup.StateBusy), passes(ttl), claims("b", dedup.StateClaimed),
	)},
	{"a claim of another owner cannot be extended", script(
		extends("b", dedup.ErrLost), claims("a", dedup.StateClaimed), extends("b", dedup.ErrLost),
		passes(ttl+2*time.Second), claims("b", dedup.StateClaimed), extends("a", dedup.ErrLost), extends("b", nil),
	)},
	{"a handled key is handled, for its owner too", script(
		claims("a", dedup.StateClaimed), finishes("a", nil), claims("b", dedup.StateHandled), claims("a", dedup.StateHandled),
		passes(keep/2), claims("b", dedup.StateHandled), extends("a", dedup.ErrLost),
	)},
	{"a handled key is forgotten after its time", script(
		claims("a", dedup.StateClaimed), finishes("a", nil), passes(keep+2*time.Second), claims("b", dedup.StateClaimed),
	)},
	{"a key may be finished twice, since an answer may be lost", script(
		claims("a", dedup.StateClaimed), finishes("a", nil), finishes("a", nil), claims("b", dedup.StateHandled),
	)},
	{"a claim of another owner cannot be finished", script(
		claims("a", dedup.StateClaimed), finishes("b", dedup.ErrLost), claims("c", dedup.StateBusy), finishes("a", nil),
		finishes("b", dedup.ErrLost), claims("c", dedup.StateHandled),
	)},
	{"a claim that another owner has taken over cannot be finished", script(
		claims("a", dedup.StateClaimed), passes(ttl+2*time.Second), claims("b", dedup.StateClaimed), finishes("a", dedup.ErrLost),
		claims("c", dedup.StateBusy), releases("b"), claims("c", dedup.StateClaimed),
	)},
	{"a claim that has expired and nobody has taken over can be finished", script(
		claims("a", dedup.StateClaimed), passes(ttl+2*time.Second), finishes("a", nil), claims("b", dedup.StateHandled),
	)},
	{"a released key is claimed at once", script(
		claims("a", dedup.StateClaimed), releases("a"), claims("b", dedup.StateClaimed), releases("a"), claims("c", dedup.StateBusy),
	)},
	{"a claim of another owner is not released", script(
		releases("b"), claims("a", dedup.StateClaimed), releases("b"), claims("c", dedup.StateBusy), extends("a", nil),
	)},
	{"a handled key is not released", script(
		claims("a", dedup.StateClaimed), finishes("a", nil), releases("a"), claims("b", dedup.StateHandled),
	)},
	{"keys have nothing to do with each other", keysAreSeparate},
	{"one of many that claim a key gets it", oneOfMany},
	{"one of many that take over a claim gets it", oneOfManyTakesOver},
	{"a context that has ended is an error and no answer", endedContext},
}

// A step is a part of a script. It is about one key.
type step func(ctx context.Context, s dedup.Store, key string, pass func(time.Duration)) error

// script returns a function that takes steps, with a key of its own.
func script(steps ...step) func(context.Context, dedup.Store, func(time.Duration)) error {
	return func(ctx context.Context, s dedup.Store, pass func(time.Duration)) error {
		key := newKey()
		for i, take := range steps {
			if err := take(ctx, s, key, pass); err != nil {
				return fmt.Errorf("step %d: %w", i+1, err)
			}
		}
		return nil
	}
}

var (
	mu   sync.Mutex // guards the field below
	keys int
)

// newKey returns a key as package dedup makes them.
func newKey() string {
	mu.Lock()
	defer mu.Unlock()
	keys++
	return fmt.Sprintf("storetest#%064d", keys)
}

// claims is a claim of the key, and what its answer must be.
func claims(owner string, want dedup.State) step {
	return func(ctx context.Context, s dedup.Store, key string, _ func(time.Duration)) error {
		got, err := s.Claim(ctx, key, owner, ttl)
		switch {
		case err != nil:
			return fmt.Errorf("claim by %s: %w", owner, err)
		case got.State != want:
			return fmt.Errorf("claim by %s: the key is %v, want %v", owner, got.State, want)
		case want == dedup.StateBusy && (got.Left <= 0 || got.Left > ttl+2*time.Second):
			return fmt.Errorf("claim by %s: the other claim lasts for %v, want up to %v", owner, got.Left, ttl)
		default:
			return nil
		}
	}
}

func extends(owner string, want error) step {
	return func(ctx context.Context, s dedup.Store, key string, _ func(time.Duration)) error {
		return wants("extend by "+owner, s.Extend(ctx, key, owner, ttl), want)
	}
}

func finishes(owner string, want error) step {
	return func(ctx context.Context, s dedup.Store, key string, _ func(time.Duration)) error {
		return wants("done by "+owner, s.Done(ctx, key, owner, keep), want)
	}
}

func releases(owner string) step {
	return func(ctx context.Context, s dedup.Store, key string, _ func(time.Duration)) error {
		return wants("release by "+owner, s.Release(ctx, key, owner), nil)
	}
}

func passes(d time.Duration) step {
	return func(_ context.Context, _ dedup.Store, _ string, pass func(time.Duration)) error {
		pass(d)
		return nil
	}
}

func wants(what string, got, want error) error {
	if !errors.Is(got, want) {
		return fmt.Errorf("%s: the error is %w, want %s", what, orNone(got), orNone(want).Error())
	}
	return nil
}

func orNone(err error) error {
	if err == nil {
		return errors.New("nil")
	}
	return err
}

func keysAreSeparate(ctx context.Context, s dedup.Store, pass func(time.Duration)) error {
	first, second := newKey(), newKey()
	for _, take := range []error{
		claims("a", dedup.StateClaimed)(ctx, s, first, pass), claims("b", dedup.StateClaimed)(ctx, s, second, pass),
		finishes("a", nil)(ctx, s, first, pass), claims("a", dedup.StateBusy)(ctx, s, second, pass),
		releases("b")(ctx, s, second, pass), claims("b", dedup.StateHandled)(ctx, s, first, pass),
	} {
		if take != nil {
			return take
		}
	}
	return nil
}

func oneOfMany(ctx context.Context, s dedup.Store, _ func(time.Duration)) error {
	return race(ctx, s, newKey())
}

func oneOfManyTakesOver(ctx context.Context, s dedup.Store, pass func(time.Duration)) error {
	key := newKey()
	if err := claims("a", dedup.StateClaimed)(ctx, s, key, pass); err != nil {
		return err
	}
	pass(ttl + 2*time.Second)
	return race(ctx, s, key)
}

// race lets several owners claim a key at once. Exactly one must get it.
func race(ctx context.Context, s dedup.Store, key string) error {
	const owners = 20
	answers := make([]dedup.Claim, owners)
	errs := make([]error, owners)
	var wg sync.WaitGroup
	for i := range owners {
		wg.Go(func() { answers[i], errs[i] = s.Claim(ctx, key, fmt.Sprint("racer ", i), ttl) })
	}
	wg.Wait()
	got := 0
	for i := range owners {
		if errs[i] == nil && answers[i].State == dedup.StateClaimed {
			got++
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if got != 1 {
		return fmt.Errorf("%d of %d owners have the claim, want 1", got, owners)
	}
	return nil
}

func endedContext(ctx context.Context, s dedup.Store, _ func(time.Duration)) error {
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	key := newKey()
	if c, err := s.Claim(ctx, key, "a", ttl); err == nil {
		return fmt.Errorf("claim: the key is %v, want an error", c.State)
	}
	if err := s.Extend(ctx, key, "a", ttl); err == nil || errors.Is(err, dedup.ErrLost) {
		return fmt.Errorf("extend: the error is %w, want the context's", orNone(err))
	}
	if err := s.Done(ctx, key, "a", keep); err == nil || errors.Is(err, dedup.ErrLost) {
		return fmt.Errorf("done: the error is %w, want the context's", orNone(err))
	}
	if err := s.Release(ctx, key, "a"); err == nil {
		return errors.New("release: there is no error, want the context's")
	}
	return nil
}
