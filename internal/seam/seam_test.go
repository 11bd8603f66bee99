package seam_test

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/internal/seam"
	"github.com/sluice-go/sluice/sqstest"
)

func TestAConsumerAsksWhatIsSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sqstest.New()
		url := s.MustCreateQueue("q", nil)
		s.Send(url, "1")
		var draws, looks atomic.Int64
		o := sluice.Options{MaxMessages: 1, Logger: slog.New(slog.DiscardHandler)}
		seam.Set(&o, seam.Seams{
			Rand:      func() float64 { draws.Add(1); return 0 },
			WallClock: func(time.Time) time.Duration { looks.Add(1); return 0 },
		})
		c, err := sluice.New(s, url, o)
		require.NoError(t, err)
		fails := func(context.Context, []*sluice.Message) error { return errors.New("no") } // its delay has jitter
		require.NoError(t, c.Run(t.Context(), fails))
		require.Positive(t, draws.Load())
		require.Positive(t, looks.Load())
	})
}

func TestSetPanicsForWhatIsNoPointerToOptions(t *testing.T) {
	for _, options := range []any{nil, sluice.Options{}, new(int)} {
		require.Panics(t, func() { seam.Set(options, seam.Seams{}) }, "%T", options)
	}
}
