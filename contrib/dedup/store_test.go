package dedup_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/contrib/dedup"
	"github.com/sluice-go/sluice/contrib/dedup/storetest"
)

func TestMemoryIsAStore(t *testing.T) {
	for _, c := range storetest.Cases {
		t.Run(c.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { require.NoError(t, c.Run(t.Context(), new(dedup.Memory), time.Sleep)) })
		})
	}
}

func TestMemoryForgetsWhatHasExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m dedup.Memory
		for i := range 10_000 {
			_, err := m.Claim(t.Context(), fmt.Sprint(i), "a", time.Second)
			require.NoError(t, err)
			time.Sleep(time.Millisecond)
		}
		require.LessOrEqual(t, m.Len(), 2001)
	})
}

// The cases must notice stores that are wrong.
func TestWrongStoresAreNoticed(t *testing.T) {
	for name, wrong := range map[string]dedup.Store{
		"marks before handling":       marksFirst{new(dedup.Memory)},
		"does not release":            releasesNothing{new(dedup.Memory)},
		"ownerless Done":              ownerlessDone{new(dedup.Memory)},
		"ownerless Extend":            ownerlessExtend{new(dedup.Memory)},
		"ownerless Release":           ownerlessRelease{new(dedup.Memory)},
		"claims never expire":         neverExpires{new(dedup.Memory)},
		"busy for its own owner too":  ownerPerCall{new(dedup.Memory)},
		"marks that last as claims":   shortMarks{new(dedup.Memory)},
		"a second Done is lost":       &losesSecondDone{Memory: new(dedup.Memory), done: map[string]bool{}},
		"Done of an expired is lost":  losesExpired{new(dedup.Memory)},
		"all keys are one":            oneKey{new(dedup.Memory)},
		"a lost context is no reason": deaf{new(dedup.Memory)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				noticed := 0
				for _, c := range storetest.Cases {
					if c.Run(t.Context(), wrong, time.Sleep) != nil {
						noticed++
					}
				}
				require.Positive(t, noticed)
			})
		})
	}
}

type (
	marksFirst       struct{ *dedup.Memory }
	releasesNothing  struct{ *dedup.Memory }
	ownerlessDone    struct{ *dedup.Memory }
	ownerlessExtend  struct{ *dedup.Memory }
	ownerlessRelease struct{ *dedup.Memory }
	neverExpires     struct{ *dedup.Memory }
	ownerPerCall     struct{ *dedup.Memory }
	shortMarks       struct{ *dedup.Memory }
	losesExpired     struct{ *dedup.Memory }
	oneKey           struct{ *dedup.Memory }
	deaf             struct{ *dedup.Memory }
	losesSecondDone  struct {
		*dedup.Memory
		done map[string]bool
	}
)

func (s marksFirst) Claim(ctx context.Context, key, owner string, ttl time.Duration) (dedup.Claim, error) {
	c, err := s.Memory.Claim(ctx, key, owner, ttl)
	if c.State == dedup.StateClaimed {
		err = s.Memory.Done(ctx, key, owner, time.Hour)
	}
	return c, err
}

func (releasesNothing) Release(ctx context.Context, _, _ string) error { return ctx.Err() }

func (s ownerlessDone) Done(ctx context.Context, key, owner string, keep time.Duration) error {
	return s.Memory.Done(ctx, key, s.Owner(key, owner), keep)
}

func (s ownerlessExtend) Extend(ctx context.Context, key, owner string, ttl time.Duration) error {
	return s.Memory.Extend(ctx, key, s.Owner(key, owner), ttl)
}

func (s ownerlessRelease) Release(ctx context.Context, key, owner string) error {
	return s.Memory.Release(ctx, key, s.Owner(key, owner))
}

func (s neverExpires) Claim(ctx context.Context, key, owner string, _ time.Duration) (dedup.Claim, error) {
	return s.Memory.Claim(ctx, key, owner, 1000*time.Hour)
}

func (s ownerPerCall) Claim(ctx context.Context, key, owner string, ttl time.Duration) (dedup.Claim, error) {
	if c, err := s.Memory.Claim(ctx, key, "somebody else", time.Nanosecond); err != nil || c.State != dedup.StateClaimed {
		return c, err
	}
	time.Sleep(time.Nanosecond)
	return s.Memory.Claim(ctx, key, owner, ttl)
}

func (s shortMarks) Done(ctx context.Context, key, owner string, _ time.Duration) error {
	return s.Memory.Done(ctx, key, owner, 10*time.Second)
}

func (s *losesSecondDone) Done(ctx context.Context, key, owner string, keep time.Duration) error {
	if s.done[key] {
		return dedup.ErrLost
	}
	err := s.Memory.Done(ctx, key, owner, keep)
	s.done[key] = err == nil
	return err
}

func (s losesExpired) Done(ctx context.Context, key, owner string, keep time.Duration) error {
	if s.Expired(key) {
		return dedup.ErrLost
	}
	return s.Memory.Done(ctx, key, owner, keep)
}

func (s oneKey) Claim(ctx context.Context, _, owner string, ttl time.Duration) (dedup.Claim, error) {
	return s.Memory.Claim(ctx, "one", owner, ttl)
}

func (s deaf) Claim(_ context.Context, key, owner string, ttl time.Duration) (dedup.Claim, error) {
	return s.Memory.Claim(context.Background(), key, owner, ttl)
}
