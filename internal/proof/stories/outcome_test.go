package stories_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sqstest"
)

// several is an error of several, as other packages make them.
type several []error

func (s several) Error() string   { return fmt.Sprintf("%d errors", len(s)) }
func (s several) Unwrap() []error { return s }

// fate is what becomes of messages.
type fate string

const (
	deleted fate = "deleted"
	buried  fate = "buried"
	hidden  fate = "hidden for ten minutes" // by RetryAfter
	retried fate = "hidden for five minutes"
)

// fates returns what becomes of each message of one batch for which a handler
// returns err.
func fates(w *world, n int, make func(batch []*sluice.Message) error) (got []fate) {
	dead := w.server.MustCreateQueue("dead", nil)
	w.send(0, n)
	ids := map[string]int{}
	for i, m := range w.left() {
		ids[m.ID] = i
	}
	c := w.consumer(sluice.Options{
		BatchSize: n, MaxMessages: n, DeadLetterQueueURL: dead, RetryDelay: func(*sluice.Message, error) time.Duration { return 5 * time.Minute },
	})
	require.NoError(w, c.Run(w.Context(), func(_ context.Context, batch []*sluice.Message) error { return make(batch) }))
	for range n {
		got = append(got, deleted)
	}
	for _, m := range w.left() {
		got[ids[m.ID]] = retried
		if time.Until(m.Until) > 6*time.Minute {
			got[ids[m.ID]] = hidden
		}
	}
	for _, m := range w.server.Messages(dead) {
		for i := range n {
			if m.Body == fmt.Sprint(i) {
				got[i] = buried
			}
		}
	}
	return got
}

func TestOfTwoDecisionsOnAMessageTheMoreCautiousCounts(t *testing.T) {
	later := func(err error) error { return sluice.RetryAfter(10*time.Minute, err) }
	one := func(err error) func([]*sluice.Message) error {
		return func(batch []*sluice.Message) error { return sluice.Failed(batch[0], err) }
	}
	all := func(err error) func([]*sluice.Message) error {
		return func([]*sluice.Message) error { return err }
	}
	for name, tt := range map[string]struct {
		err  func([]*sluice.Message) error
		want []fate
	}{
		"discarded":                          {all(sluice.Discard(errBad)), []fate{deleted, deleted}},
		"one discarded":                      {one(sluice.Discard(errBad)), []fate{deleted, deleted}},
		"buried":                             {all(sluice.DeadLetter(errBad)), []fate{buried, buried}},
		"one buried":                         {one(sluice.DeadLetter(errBad)), []fate{buried, deleted}},
		"later":                              {all(later(errBad)), []fate{hidden, hidden}},
		"one later":                          {one(later(errBad)), []fate{hidden, deleted}},
		"discarded beside an error":          {all(errors.Join(sluice.Discard(errBad), errBad)), []fate{retried, retried}},
		"an error beside discarded":          {all(errors.Join(errBad, sluice.Discard(errBad))), []fate{retried, retried}},
		"one discarded beside its own error": {one(errors.Join(sluice.Discard(errBad), errBad)), []fate{retried, deleted}},
		"one with its own error wrapped":     {one(fmt.Errorf("%w: %w", sluice.Discard(errBad), errBad)), []fate{retried, deleted}},
		"one buried beside one discarded":    {one(errors.Join(sluice.Discard(errBad), sluice.DeadLetter(errBad))), []fate{buried, deleted}},
		"one later beside one buried":        {one(errors.Join(sluice.DeadLetter(errBad), later(errBad))), []fate{hidden, deleted}},
		"one discarded and all failed": {func(b []*sluice.Message) error {
			return errors.Join(sluice.Failed(b[0], sluice.Discard(errBad)), errBad)
		}, []fate{retried, retried}},
		"one failed and all discarded": {func(b []*sluice.Message) error {
			return errors.Join(sluice.Failed(b[0], errBad), sluice.Discard(errBad))
		}, []fate{retried, deleted}},
		"the outermost decision counts": {all(later(sluice.Discard(errBad))), []fate{hidden, hidden}},
		"the outermost of a message":    {one(later(sluice.Discard(errBad))), []fate{hidden, deleted}},
		"around the message":            {func(b []*sluice.Message) error { return later(sluice.Failed(b[0], sluice.Discard(errBad))) }, []fate{hidden, deleted}},
		"around a join": {func(b []*sluice.Message) error {
			return sluice.Discard(errors.Join(sluice.Failed(b[0], errBad), sluice.Failed(b[1], later(errBad))))
		}, []fate{deleted, deleted}},
		"wrapped":                             {all(fmt.Errorf("x: %w", sluice.Discard(errBad))), []fate{deleted, deleted}},
		"wrapped with an error":               {all(fmt.Errorf("x: %w, %w", sluice.Discard(errBad), errBad)), []fate{retried, retried}},
		"a discard of nothing beside a panic": {all(&sluice.PanicError{Value: "x"}), []fate{retried, retried}},
		"several that are none":               {all(several{}), []fate{retried, retried}},
		"a stranger that is discarded":        {all(sluice.Failed(&sluice.Message{}, sluice.Discard(errBad))), []fate{deleted, deleted}},
	} {
		t.Run(name, func(t *testing.T) {
			tell(t, func(w *world) { require.Equal(w, tt.want, fates(w, 2, tt.err)) })
			tell(t, func(w *world) {
				require.Equal(w, tt.want[:1], fates(w, 1, func(b []*sluice.Message) error { return tt.err(append(b, &sluice.Message{})) }))
			})
		})
	}
}

func TestHandlersCanBeWrapped(t *testing.T) {
	tell(t, func(w *world) {
		w.send(0, 10)
		var failed []string
		watch := func(h sluice.Handler) sluice.Handler {
			return func(ctx context.Context, batch []*sluice.Message) error {
				err := h(ctx, batch)
				for m := range sluice.Outcomes(batch, err) {
					failed = append(failed, m.Body)
				}
				return err
			}
		}
		stop := w.run(w.consumer(sluice.Options{BatchSize: 10}), watch(sluice.Each(func(_ context.Context, m *sluice.Message) error {
			if m.Body == "4" {
				return errBad
			}
			return nil
		})))
		time.Sleep(time.Second)
		require.NoError(w, stop())
		require.Equal(w, []string{"4"}, failed)
		require.Len(w, w.left(), 1)
		require.Equal(w, sqstest.InFlight, w.left()[0].State)
	})
}

// explosive is a type whose decoder panics.
type explosive struct{}

func (*explosive) UnmarshalJSON(body []byte) error {
	if string(body) == "1" {
		panic(errBad)
	}
	return nil
}

func TestABodyWhoseDecoderPanicsFailsAlone(t *testing.T) {
	tell(t, func(w *world) {
		w.send(0, 3)
		c := w.consumer(sluice.Options{BatchSize: 3})
		require.NoError(w, c.Drain(w.Context(), sluice.BatchJSON(func(context.Context, []sluice.Item[explosive]) error { return nil })))
		require.EqualValues(w, 1, c.Stats().Failed)
		require.Len(w, w.left(), 1)
	})
}
