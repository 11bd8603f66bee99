package sluice_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sqstest"
)

// fifo returns messages with the given ids, each of the message group that its id begins with.
func fifo(ids ...string) (batch []*sluice.Message) {
	for i, id := range ids {
		batch = append(batch, &sluice.Message{ID: id, GroupID: id[:1], SequenceNumber: fmt.Sprint(i)})
	}
	return batch
}

// idsOf returns the ids of messages, with spaces between them.
func idsOf(batch []*sluice.Message) string {
	ids := make([]string, len(batch))
	for i, m := range batch {
		ids[i] = m.ID
	}
	return strings.Join(ids, " ")
}

// errorsOf returns the messages that failed, with their errors.
func errorsOf(batch []*sluice.Message, err error) map[string]string {
	failed := map[string]string{}
	for m, err := range sluice.Outcomes(batch, err) {
		failed[m.ID] = sluice.OutcomeOf(err).Kind.String()
	}
	return failed
}

// change returns a copy of m with a body.
func change(m *sluice.Message, body string) *sluice.Message {
	changed := *m
	changed.Body = body
	return &changed
}

func TestTransformPassesOnWhatItsFunctionMakes(t *testing.T) {
	batch := messages("abcde")
	var got []string
	h := sluice.Transform(func(_ context.Context, batch []*sluice.Message) error {
		for _, m := range batch {
			got = append(got, m.ID+m.Body)
		}
		second, third := batch[1], batch[2]
		clear(batch)
		return errors.Join(sluice.Failed(second, sluice.Discard(errBad)), sluice.Failed(third, sluice.RetryAfter(time.Hour, errBad)))
	}, func(_ context.Context, m *sluice.Message) (*sluice.Message, error) {
		if m.ID == "a" {
			return m, nil
		}
		return change(m, "!"), nil
	})
	err := h(t.Context(), batch)
	require.Equal(t, []string{"a", "b!", "c!", "d!", "e!"}, got)
	require.Equal(t, map[string]string{"b": "discard", "c": "retry after"}, errorsOf(batch, err))
	for _, m := range batch {
		require.Empty(t, m.Body, "the originals stay as they are")
	}
}

func TestTransformFailsOnlyTheMessageThatCannotBeTransformed(t *testing.T) {
	same := &sluice.Message{ID: "shared"}
	h := sluice.Transform(func(_ context.Context, batch []*sluice.Message) error {
		require.Len(t, batch, 3)
		return sluice.Failed(batch[2], errBad)
	}, func(_ context.Context, m *sluice.Message) (*sluice.Message, error) {
		switch m.ID {
		case "a":
			return nil, sluice.DeadLetter(errBad)
		case "b":
			panic("bad")
		case "c":
			return nil, nil //nolint:nilnil // what is tested
		case "d", "e":
			return same, nil
		default:
			return m, nil
		}
	})
	batch := messages("abcdef")
	require.Equal(t, map[string]string{"a": "dead letter", "b": "retry", "c": "retry", "f": "retry"}, errorsOf(batch, h(t.Context(), batch)))
	batch = messages("fed")
	require.Equal(t, map[string]string{"d": "retry"}, errorsOf(batch, h(t.Context(), batch)), "a copy that two messages share names the right one")
}

func TestTransformHaltsTheGroupOfAMessageThatFails(t *testing.T) {
	h := sluice.Transform(func(_ context.Context, batch []*sluice.Message) error {
		require.Equal(t, "a1 b1", idsOf(batch))
		return nil
	}, func(_ context.Context, m *sluice.Message) (*sluice.Message, error) {
		if m.ID == "a2" {
			return nil, errBad
		}
		return &sluice.Message{ID: m.ID}, nil
	})
	batch := fifo("a1", "a2", "b1", "a3")
	require.Equal(t, map[string]string{"a2": "retry", "a3": "unhandled"}, errorsOf(batch, h(t.Context(), batch)))
}

func TestTransformOfNothingCallsNobody(t *testing.T) {
	never := func(context.Context, []*sluice.Message) error { panic("called") }
	h := sluice.Transform(never, func(context.Context, *sluice.Message) (*sluice.Message, error) { return nil, errBad })
	batch := messages("ab")
	require.Equal(t, "ab", named(batch, h(t.Context(), batch)))
	ended, end := context.WithCancelCause(t.Context())
	end(sluice.ErrLeaseLost)
	err := h(ended, batch)
	require.ErrorIs(t, err, sluice.ErrLeaseLost)
	require.Nil(t, sluice.Transform(nil, func(context.Context, *sluice.Message) (*sluice.Message, error) { return nil, errBad }))
	require.Nil(t, sluice.Transform(never, nil))
}

func TestMuxGivesEachHandlerItsMessages(t *testing.T) {
	calls := []string{}
	handler := func(name string) sluice.Handler {
		return func(_ context.Context, batch []*sluice.Message) error {
			calls = append(calls, name+": "+idsOf(batch))
			if name == "b" {
				return sluice.Failed(batch[0], errBad)
			}
			return nil
		}
	}
	mux := sluice.Mux{Key: func(m *sluice.Message) (string, error) {
		if m.ID[0] == 'x' {
			return "", errBad
		}
		return m.ID[:1], nil
	}, Handlers: map[string]sluice.Handler{"a": handler("a"), "b": handler("b"), "n": nil}}
	batch := []*sluice.Message{{ID: "a1"}, {ID: "b1"}, {ID: "x1"}, {ID: "a2"}, {ID: "c1"}, {ID: "b2"}, {ID: "n1"}, {ID: "d1"}}
	require.Equal(t, map[string]string{"b1": "retry", "x1": "retry", "c1": "retry", "n1": "retry", "d1": "retry"}, errorsOf(batch, mux.Handle(t.Context(), batch)))
	require.Equal(t, []string{"a: a1 a2", "b: b1 b2"}, calls)
	require.ErrorIs(t, mux.Handle(t.Context(), batch[4:5]), sluice.ErrUnknownType)

	calls, mux.Unknown = nil, handler("unknown")
	require.Equal(t, map[string]string{"b1": "retry", "x1": "retry", "n1": "retry"}, errorsOf(batch, mux.Handle(t.Context(), batch)))
	require.Equal(t, []string{"a: a1 a2", "b: b1 b2", "unknown: c1 d1"}, calls)
}

func TestMuxKeepsTheOrderOfGroups(t *testing.T) {
	// An id is the group, the type, and a number.
	var calls []string
	fails := ""
	handler := func(_ context.Context, batch []*sluice.Message) error {
		calls = append(calls, idsOf(batch))
		var errs []error
		for _, m := range batch {
			if m.ID == fails {
				errs = append(errs, sluice.Failed(m, errBad))
			}
		}
		return errors.Join(errs...)
	}
	mux := sluice.Mux{
		Key:      func(m *sluice.Message) (string, error) { return m.ID[1:2], nil },
		Handlers: map[string]sluice.Handler{"x": handler, "y": handler},
	}
	batch := fifo("ax1", "bx1", "ay2", "ay3", "by2", "ax4", "cy1", "by3")
	require.NoError(t, mux.Handle(t.Context(), batch))
	require.Equal(t, []string{"ax1 bx1", "cy1", "ay2 ay3 by2 by3", "ax4"}, calls)

	calls, fails = nil, "ay2"
	require.Equal(t, map[string]string{"ay2": "retry", "ax4": "unhandled"}, errorsOf(batch, mux.Handle(t.Context(), batch)))
	require.Equal(t, []string{"ax1 bx1", "cy1", "ay2 ay3 by2 by3"}, calls)
}

func TestMuxWithoutAKeyFailsAll(t *testing.T) {
	batch := messages("ab")
	err := sluice.Mux{}.Handle(t.Context(), batch)
	require.ErrorContains(t, err, "Mux.Key is nil")
	require.Equal(t, "ab", named(batch, err))
}

func TestKeysOfMessages(t *testing.T) {
	text, attribute := "paid", sluice.ByAttribute("type")
	m := &sluice.Message{Body: `{"type":"created","meta":{"type":"deep","n":1},"none":null,"n":12,"list":["secret"]}`}
	_, err := attribute(m)
	require.EqualError(t, err, "the message has no attribute type of the type String")
	m.Attributes = map[string]types.MessageAttributeValue{"type": {DataType: new("String"), StringValue: &text}}
	got, err := attribute(m)
	require.NoError(t, err)
	require.Equal(t, text, got)

	for path, want := range map[string]string{"type": "created", "meta.type": "deep"} {
		got, err := sluice.ByField(strings.Split(path, ".")...)(m)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	for _, path := range [][]string{{"none"}, {"n"}, {"list"}, {"meta"}, {"missing"}, {"meta", "missing"}, {"n", "type"}, {}} {
		_, err := sluice.ByField(path...)(m)
		require.ErrorContains(t, err, "the body has no string at", path)
		require.NotContains(t, err.Error(), "secret")
	}
	_, err = sluice.ByField("type")(&sluice.Message{Body: "secret"})
	require.NotContains(t, err.Error(), "secret")
}

func TestOutcomeOfSaysWhatBecomesOfAMessage(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want sluice.Outcome
		name string
	}{
		{nil, sluice.Outcome{}, "success"},
		{errBad, sluice.Outcome{Kind: sluice.OutcomeRetry}, "retry"},
		{fmt.Errorf("wrapped: %w", sluice.RetryAfter(time.Minute, errBad)), sluice.Outcome{Kind: sluice.OutcomeRetryAfter, Delay: time.Minute}, "retry after"},
		{sluice.Discard(errBad), sluice.Outcome{Kind: sluice.OutcomeDiscard}, "discard"},
		{sluice.DeadLetter(errBad), sluice.Outcome{Kind: sluice.OutcomeDeadLetter}, "dead letter"},
		{errors.Join(sluice.Discard(errBad), errBad), sluice.Outcome{Kind: sluice.OutcomeRetry}, "retry"},
		{sluice.Failed(&sluice.Message{}, sluice.Discard(errBad)), sluice.Outcome{Kind: sluice.OutcomeDiscard}, "discard"},
	} {
		require.Equal(t, tt.want, sluice.OutcomeOf(tt.err), "%v", tt.err)
		text, err := sluice.OutcomeOf(tt.err).Kind.MarshalText()
		require.NoError(t, err)
		require.Equal(t, tt.name, string(text))
	}
	require.Equal(t, "OutcomeKind(9)", sluice.OutcomeKind(9).String())
}

func TestMiddlewareWrapsTheHandlerOfEachRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := sqstest.New()
		queue := server.MustCreateQueue("orders", nil)
		var order []string
		wrap := func(name string) func(sluice.Handler) sluice.Handler {
			return func(next sluice.Handler) sluice.Handler {
				order = append(order, "wrap "+name)
				return func(ctx context.Context, batch []*sluice.Message) error {
					order = append(order, name)
					return next(ctx, batch)
				}
			}
		}
		middleware := []func(sluice.Handler) sluice.Handler{wrap("outer"), wrap("inner")}
		c, err := sluice.New(server, queue, sluice.Options{Middleware: middleware})
		require.NoError(t, err)
		middleware[0] = nil // New keeps a copy
		server.Send(queue, "x")
		handler := func(context.Context, []*sluice.Message) error {
			order = append(order, "handler")
			return nil
		}
		require.NoError(t, c.Drain(t.Context(), handler))
		require.Equal(t, []string{"wrap inner", "wrap outer", "outer", "inner", "handler"}, order)
		require.NoError(t, c.Drain(t.Context(), handler))
		require.Len(t, order, 7, "each run wraps anew")
	})
}

func TestMiddlewareThatIsNilIsRefused(t *testing.T) {
	_, err := sluice.New(sqstest.New(), anyQueue, sluice.Options{Middleware: []func(sluice.Handler) sluice.Handler{nil}})
	require.ErrorContains(t, err, "Middleware[0] is nil, want a function")
	none := func(sluice.Handler) sluice.Handler { return nil }
	c, err := sluice.New(sqstest.New(), anyQueue, sluice.Options{Middleware: []func(sluice.Handler) sluice.Handler{none}})
	require.NoError(t, err)
	require.ErrorContains(t, c.Run(t.Context(), func(context.Context, []*sluice.Message) error { return nil }), "Middleware[0] returned a handler that is nil")
}
