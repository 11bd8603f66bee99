package sluice_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
)

// errBad is what a handler returns.
var errBad = errors.New("bad")

// several is an error of several, as other packages make them.
type several []error

func (s several) Error() string   { return fmt.Sprintf("%d errors", len(s)) }
func (s several) Unwrap() []error { return s }

func messages(ids string) (batch []*sluice.Message) {
	for id := range strings.SplitSeq(ids, "") {
		batch = append(batch, &sluice.Message{ID: id})
	}
	return batch
}

// named returns the ids of the messages that failed.
func named(batch []*sluice.Message, err error) (ids string) {
	for m, err := range sluice.Outcomes(batch, err) {
		if err == nil {
			return "an outcome without an error"
		}
		ids += m.ID
	}
	return ids
}

func TestOutcomesAreThoseThatTheErrorNames(t *testing.T) {
	batch := messages("abc")
	a, b, c := batch[0], batch[1], batch[2]
	stranger, twin := &sluice.Message{ID: "x"}, new(*a)
	for name, tt := range map[string]struct {
		err  error
		want string
	}{
		"nil":                               {nil, ""},
		"a plain error":                     {errBad, "abc"},
		"one of them":                       {sluice.Failed(b, errBad), "b"},
		"none of them":                      {sluice.Failed(b, nil), ""},
		"two of them, in another order":     {errors.Join(sluice.Failed(c, errBad), sluice.Failed(a, errBad)), "ac"},
		"one of them twice":                 {errors.Join(sluice.Failed(c, errBad), sluice.Failed(c, errBad)), "c"},
		"one beside a plain error":          {errors.Join(sluice.Failed(c, errBad), errBad), "abc"},
		"a message of another batch":        {sluice.Failed(stranger, errBad), "abc"},
		"a copy of a message":               {sluice.Failed(twin, errBad), "abc"},
		"no message":                        {sluice.Failed(nil, errBad), "abc"},
		"one that is wrapped":               {fmt.Errorf("saving: %w", sluice.Failed(b, errBad)), "b"},
		"one that is wrapped with another":  {fmt.Errorf("saving: %w, %w", sluice.Failed(b, errBad), sluice.Failed(c, errBad)), "bc"},
		"one wrapped with a plain error":    {fmt.Errorf("saving: %w, %w", sluice.Failed(b, errBad), errBad), "abc"},
		"joins in joins":                    {errors.Join(errors.Join(sluice.Failed(a, errBad)), errors.Join(errors.Join(sluice.Failed(c, errBad)))), "ac"},
		"a plain error deep in joins":       {errors.Join(sluice.Failed(a, errBad), fmt.Errorf("%w", errors.Join(errBad))), "abc"},
		"joined and discarded":              {sluice.Discard(errors.Join(sluice.Failed(a, errBad), sluice.Failed(b, errBad))), "ab"},
		"two that are nil in one text":      {fmt.Errorf("writing: %w, closing: %w", error(nil), error(nil)), "abc"},
		"one and a nil in one text":         {fmt.Errorf("writing: %w, closing: %w", sluice.Failed(b, errBad), error(nil)), "b"},
		"several that are none":             {several{}, "abc"},
		"several that are nil":              {several{nil, nil}, "abc"},
		"several that are none, wrapped":    {fmt.Errorf("x: %w", several{}), "abc"},
		"one beside several that are none":  {errors.Join(sluice.Failed(b, errBad), several{}), "abc"},
		"one of several":                    {several{nil, sluice.Failed(b, errBad)}, "b"},
		"a message's error that is nil":     {&sluice.MessageError{Message: b}, "b"},
		"a message's error without message": {&sluice.MessageError{Err: errBad}, "abc"},
		"a panic":                           {&sluice.PanicError{Value: 1}, "abc"},
		"a panic with the error of one":     {&sluice.PanicError{Value: sluice.Failed(b, errBad)}, "b"},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, tt.want, named(batch, tt.err))
			alone := ""
			if tt.err != nil {
				alone = "a"
			}
			if !strings.Contains(tt.want, "a") && tt.want != "" {
				return // an error of others; what it means for a alone is the next test's
			}
			require.Equal(t, alone, named(batch[:1], tt.err))
		})
	}
}

func TestAnyErrorOfABatchOfOneIsItsMessages(t *testing.T) {
	batch := messages("a")
	other := &sluice.Message{ID: "b"}
	for _, err := range []error{
		errBad, sluice.Failed(batch[0], errBad), sluice.Failed(other, errBad), errors.Join(errBad), errors.Join(sluice.Failed(other, errBad)),
		several{},
		several{nil},
		fmt.Errorf("%w%w", error(nil), error(nil)), &sluice.MessageError{Message: batch[0]}, &sluice.MessageError{},
	} {
		require.Equal(t, "a", named(batch, err), "%v", err)
	}
}

func TestWhatIsNilStaysNil(t *testing.T) {
	require.NoError(t, sluice.Failed(&sluice.Message{}, nil))
	require.NoError(t, sluice.RetryAfter(time.Second, nil))
	require.NoError(t, sluice.Discard(nil))
	require.NoError(t, sluice.DeadLetter(nil))
}

func TestErrorsCanBeSeenThroughDecisions(t *testing.T) {
	m := &sluice.Message{ID: "a"}
	for _, err := range []error{
		sluice.Failed(m, errBad), sluice.RetryAfter(time.Second, errBad), sluice.Discard(errBad), sluice.DeadLetter(errBad),
		&sluice.PanicError{Value: errBad}, sluice.Failed(m, sluice.Discard(errBad)),
	} {
		require.ErrorIs(t, err, errBad)
		require.Contains(t, err.Error(), "bad")
	}
	for m2, err := range sluice.Outcomes([]*sluice.Message{m, {}}, sluice.Failed(m, errBad)) {
		require.Same(t, m, m2)
		require.ErrorIs(t, err, errBad)
	}
}

func TestOutcomesCanBeLeftEarly(t *testing.T) {
	n := 0
	for range sluice.Outcomes(messages("abc"), errBad) {
		n++
		break
	}
	require.Equal(t, 1, n)
}

func TestEachFailsThoseForWhichItsFunctionFails(t *testing.T) {
	batch := messages("abcd")
	h := sluice.Each(func(_ context.Context, m *sluice.Message) error {
		switch m.ID {
		case "b":
			return errBad
		case "c":
			panic("c")
		}
		return nil
	})
	require.Equal(t, "bc", named(batch, h(t.Context(), batch)))
}

func TestEachFailsTheRestWhenItsContextEnds(t *testing.T) {
	batch := messages("abcd")
	ctx, cancel := context.WithCancelCause(t.Context())
	h := sluice.Each(func(_ context.Context, m *sluice.Message) error {
		if m.ID == "b" {
			cancel(sluice.ErrShutdown)
		}
		return nil
	})
	err := h(ctx, batch)
	require.Equal(t, "cd", named(batch, err))
	require.ErrorIs(t, err, sluice.ErrShutdown)
}

func TestEachStopsAGroupAtItsFirstFailureAndGoesOnWithTheOthers(t *testing.T) {
	var batch []*sluice.Message
	for i, id := range []string{"a0", "a1", "a2", "b0", "b1", "c0", "c1"} {
		batch = append(batch, &sluice.Message{ID: id, GroupID: id[:1], SequenceNumber: fmt.Sprint(i)})
	}
	var seen string
	h := sluice.Each(func(_ context.Context, m *sluice.Message) error {
		seen += m.ID
		switch m.ID {
		case "a1":
			return errBad
		case "c0":
			panic("no")
		}
		return nil
	})
	require.Equal(t, "a1a2c0c1", named(batch, h(t.Context(), batch)))
	require.Equal(t, "a0a1b0b1c0", seen)
}

func TestBatchJSONFailsWhatItCannotDecode(t *testing.T) {
	batch := messages("abcd")
	for i, body := range []string{"1", "secret", "3", ""} {
		batch[i].Body = body
	}
	var got []int
	h := func(result error) error {
		got = nil
		return sluice.BatchJSON(func(_ context.Context, items []sluice.Item[int]) error {
			for _, it := range items {
				got = append(got, it.Value)
			}
			if result == nil {
				return sluice.Failed(items[1].Message, errBad)
			}
			return result
		})(t.Context(), batch)
	}
	err := h(nil)
	require.Equal(t, []int{1, 3}, got)
	require.Equal(t, "bcd", named(batch, err))
	require.NotContains(t, err.Error(), "secret")
	require.Equal(t, "abcd", named(batch, h(errBad)))
	require.Equal(t, "abcd", named(batch, h(several{})))
}

// FuzzOutcomes builds error trees and checks that each message is judged, that
// nothing panics, and that no error, however it is built, means success for all.
func FuzzOutcomes(f *testing.F) {
	f.Add([]byte{0, 1, 2}, uint8(3))
	f.Add([]byte{9, 1, 8, 2, 7, 3}, uint8(1))
	f.Add([]byte{7, 0}, uint8(2))
	f.Fuzz(func(t *testing.T, program []byte, size uint8) {
		batch := messages("abcdefghij"[:1+size%10])
		err, blamed := build(program, batch)
		got := map[*sluice.Message]error{}
		for m, err := range sluice.Outcomes(batch, err) {
			require.Error(t, err)
			require.NotContains(t, got, m)
			got[m] = err
		}
		if err != nil {
			require.NotEmpty(t, got, "%v", err)
		}
		for _, m := range blamed {
			require.Contains(t, got, m)
		}
	})
}

// build makes an error by a small stack machine, and says whom it blames.
func build(program []byte, batch []*sluice.Message) (err error, blamed []*sluice.Message) { //nolint:revive,staticcheck // the error is what is built

	for _, op := range program {
		m := batch[int(op/16)%len(batch)]
		switch op % 12 {
		case 0:
			err = errors.Join(err, sluice.Failed(m, errBad))
			blamed = append(blamed, m)
		case 1:
			err = sluice.Discard(err)
		case 2:
			err = sluice.DeadLetter(err)
		case 3:
			err = sluice.RetryAfter(time.Duration(op), err)
		case 4:
			if err != nil {
				err = fmt.Errorf("x: %w", err)
			}
		case 5:
			err = fmt.Errorf("%w, %w", err, error(nil))
		case 6:
			err = errors.Join(several{}, err)
		case 7:
			err = several{err, nil}
		case 8:
			err = errors.Join(err, &sluice.MessageError{Message: m})
			blamed = append(blamed, m)
		case 9:
			if err != nil {
				err = &sluice.PanicError{Value: err}
			}
		case 10:
			err = errors.Join(err, errBad)
			blamed = append(blamed, batch...)
		case 11:
			err = errors.Join(err, sluice.Failed(&sluice.Message{}, errBad))
			blamed = append(blamed, batch...)
		}
	}
	return err, blamed
}

// leaky is a value whose decoder repeats it, in an error around one of encoding/json or beside others.
type leaky struct{}

func (*leaky) UnmarshalJSON(text []byte) error {
	var number int
	err := json.Unmarshal(text, &number)
	switch {
	case strings.Contains(string(text), "wraps"):
		return fmt.Errorf("bad %s: %w", text, err)
	case strings.Contains(string(text), "dead"):
		return sluice.DeadLetter(fmt.Errorf("bad %s", text))
	case strings.Contains(string(text), "shown"):
		return shown{}
	default:
		return errors.Join(fmt.Errorf("bad %s", text), errBad)
	}
}

// shown is an error that repeats nothing.
type shown struct{}

func (shown) Error() string  { return "of another version" }
func (shown) Redacted() bool { return true }

func TestErrorsOfDecodersRepeatNothingOfTheBody(t *testing.T) {
	h := sluice.JSON(func(context.Context, leaky) error { return nil })
	for body, want := range map[string]sluice.OutcomeKind{
		`"secret wraps"`: sluice.OutcomeRetry, `"secret joins"`: sluice.OutcomeRetry, `"secret dead"`: sluice.OutcomeDeadLetter, `"secret shown"`: sluice.OutcomeRetry,
	} {
		batch := []*sluice.Message{{ID: "1", Body: body}}
		n := 0
		for _, err := range sluice.Outcomes(batch, h(t.Context(), batch)) {
			n++
			require.NotContains(t, err.Error(), "secret", body)
			require.Contains(t, err.Error(), "decoding the body as sluice_test.leaky", body)
			require.Equal(t, want, sluice.OutcomeOf(err).Kind, body)
			require.Equal(t, strings.Contains(body, "shown"), strings.Contains(err.Error(), "of another version"))
		}
		require.Equal(t, 1, n, body)
	}
}
