package stories_test

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
)

// A numbering client gives sequence numbers of its own kind.
type numbering struct {
	sluice.Client

	number func(n int) string // of the message with the body "a n"; "": none
}

func (c numbering) ReceiveMessage(ctx context.Context, in *sqs.ReceiveMessageInput, opts ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	out, err := c.Client.ReceiveMessage(ctx, in, opts...)
	if err != nil {
		return nil, err
	}
	for i := range out.Messages {
		m := &out.Messages[i]
		var n int
		_, _ = fmt.Sscanf(*m.Body, "a %d", &n)
		delete(m.Attributes, "SequenceNumber")
		if s := c.number(n); s != "" {
			m.Attributes["SequenceNumber"] = s
		}
	}
	return out, nil
}

// numberings are sequence numbers that queues and their stand-ins give, or could.
var numberings = map[string]func(n int) string{
	"short":        strconv.Itoa,
	"of 20 digits": func(n int) string { return fmt.Sprintf("%020d", n) },
	"of 40 digits": func(n int) string { return "9" + fmt.Sprintf("%039d", n) },
	"none":         func(int) string { return "" },
	"some":         func(n int) string { return []string{"", strconv.Itoa(n)}[n%2] },
	"all the same": func(int) string { return "1" },
	"words":        func(n int) string { return fmt.Sprintf("%c%d", 'z'-n, n) },
	"decreasing":   func(n int) string { return strconv.Itoa(1000 - n) },
}

// begun returns the bodies of group a in the order in which handler calls began. The
// first call for body "a 1" fails.
func begun(t *testing.T, number func(int) string, n int, opts sluice.Options, each bool) (order []string) {
	tell(t, func(w *world) {
		w.groups()
		w.client = numbering{w.server, number}
		want := []string{}
		for i := 1; i <= n; i++ {
			w.sendGroup("a", fmt.Sprint("a ", i))
			want = append(want, fmt.Sprint("a ", i))
		}
		failed := false
		one := func(_ context.Context, m *sluice.Message) error {
			order = append(order, m.Body)
			if m.Body == "a 1" && !failed {
				failed = true
				return errBad
			}
			return nil
		}
		h := sluice.Each(one)
		if !each {
			h = func(ctx context.Context, batch []*sluice.Message) error { return one(ctx, batch[0]) }
		}
		stop := w.run(w.consumer(opts), h)
		time.Sleep(30 * time.Minute)
		require.NoError(w, stop())
		require.Empty(w, w.left())
		require.Equal(w, append([]string{"a 1"}, want...), order)
	})
	return order
}

func TestAGroupKeepsItsOrderWhateverItsSequenceNumbers(t *testing.T) {
	for name, number := range numberings {
		t.Run(name, func(t *testing.T) {
			for _, failure := range []sluice.GroupFailure{sluice.GroupRetryInPlace, sluice.GroupRelease} {
				begun(t, number, 12, sluice.Options{OnGroupFailure: failure}, false)
				begun(t, number, 12, sluice.Options{OnGroupFailure: failure}, true)
				begun(t, number, 12, sluice.Options{OnGroupFailure: failure, BatchSize: 12}, true)
			}
		})
	}
}

func TestBatchJSONHaltsAGroupAlsoWithoutSequenceNumbers(t *testing.T) {
	tell(t, func(w *world) {
		w.groups()
		w.client = anonymous{w.server, "SequenceNumber"}
		for _, body := range []string{`{"n":1`, `{"n":2}`, `{"n":3}`} {
			w.sendGroup("a", body)
		}
		var seen []int
		c := w.consumer(sluice.Options{BatchSize: 3, InPlaceTries: 2})
		stop := w.run(c, sluice.BatchJSON(func(_ context.Context, batch []sluice.Item[struct{ N int }]) error {
			for _, i := range batch {
				seen = append(seen, i.Value.N)
			}
			return nil
		}))
		time.Sleep(30 * time.Minute)
		require.NoError(w, stop())
		require.Empty(w, seen, "what is behind a message that cannot be decoded waits for it")
		require.Len(w, w.left(), 3)
	})
}

// A standard queue has no order, whatever a stand-in gives its messages.
func TestEachGoesOnInAGroupOfAStandardQueueWithSequenceNumbers(t *testing.T) {
	tell(t, func(w *world) {
		w.client = numbering{w.server, strconv.Itoa}
		for i := 1; i <= 3; i++ {
			w.sendGroup("a", fmt.Sprint("a ", i))
		}
		var seen []string
		stop := w.run(w.consumer(sluice.Options{BatchSize: 3}), sluice.Each(func(_ context.Context, m *sluice.Message) error {
			seen = append(seen, m.Body)
			return errBad
		}))
		time.Sleep(10 * time.Second)
		require.NoError(w, stop())
		require.ElementsMatch(w, []string{"a 1", "a 2", "a 3"}, seen)
	})
}
