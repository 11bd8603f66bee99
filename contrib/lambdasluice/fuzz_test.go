package lambdasluice_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/contrib/lambdasluice"
)

// A chaos is a handler that returns anything that one can return. It notes which messages it named
// in no failure.
type chaos struct {
	mu       sync.Mutex // guards the fields below
	random   *rand.Rand
	admitted map[string]bool // ids of messages of which it said that they failed, or of which nobody can tell
}

func (c *chaos) handle(_ context.Context, batch []*sluice.Message) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := func(err error) error {
		for _, m := range batch {
			c.admitted[m.ID] = true
		}
		return err
	}
	switch c.random.IntN(12) {
	case 0:
		panic(all(errBad))
	case 1:
		_ = all(nil)
		runtime.Goexit()
	case 2:
		return all(panicking{})
	case 3:
		return all(sluice.Failed(&sluice.Message{ID: "stranger"}, errBad))
	case 4:
		return all(errBad)
	case 5:
		return nil
	}
	var errs []error
	for _, m := range batch {
		err := []error{nil, nil, errBad, sluice.RetryAfter(time.Second, errBad), sluice.Discard(errBad), sluice.DeadLetter(errBad)}[c.random.IntN(6)]
		if k := sluice.OutcomeOf(err).Kind; k != sluice.OutcomeSuccess && k != sluice.OutcomeDiscard {
			c.admitted[m.ID] = true
		}
		errs = append(errs, sluice.Failed(m, err))
		if c.random.IntN(10) == 0 {
			m.ID = "changed"
		}
	}
	return fmt.Errorf("wrapped: %w", errors.Join(errors.Join(errs...), nil))
}

// An id that is not in the event would make Lambda count the whole batch as failed. One that is
// missing would make it delete a message that failed.
func FuzzReportsNameWhatFailedAndNothingElse(f *testing.F) {
	f.Add([]byte(recordedFIFO), uint64(1))
	for i := range uint64(30) {
		ids := []string{"a1", "a2", "b1", "a1", "b2", "", "c1", "a3", "b3", "b1"}
		event := standard(ids...)
		if i%2 == 0 {
			event = fifo("a1", "a2", "b1", "a1", "b2", "c1", "a3", "b3", "b1")
		}
		text, err := json.Marshal(event)
		require.NoError(f, err)
		f.Add(text, i)
	}
	f.Fuzz(func(t *testing.T, text []byte, seed uint64) {
		var event events.SQSEvent
		if json.Unmarshal(text, &event) != nil {
			return // Lambda calls no function with it
		}
		ids := map[string]bool{}
		for _, r := range event.Records {
			ids[r.MessageId] = true
		}
		for round := range uint64(4) {
			c := &chaos{random: rand.New(rand.NewPCG(seed, round)), admitted: map[string]bool{}}
			o := quiet(lambdasluice.Options{BatchSize: 1 + int(seed%4), Concurrency: 1 + int(round), ReportAllFailed: round%2 == 0})
			out, err := lambdasluice.Handler(c.handle, o)(t.Context(), event)
			if err != nil {
				require.Empty(t, out)
				continue
			}
			failed := map[string]bool{}
			for _, f := range out.BatchItemFailures {
				require.True(t, ids[f.ItemIdentifier] && f.ItemIdentifier != "", "an id that is not in the event: %q", f.ItemIdentifier)
				require.False(t, failed[f.ItemIdentifier], "reported twice")
				failed[f.ItemIdentifier] = true
			}
			for id := range c.admitted {
				require.True(t, failed[id], "%q failed and is not reported", id)
			}
			requireOrder(t, event, failed)
		}
	})
}

// requireOrder checks that in each message group of a FIFO queue all behind the first failed message
// has failed.
func requireOrder(t *testing.T, event events.SQSEvent, failed map[string]bool) {
	t.Helper()
	ordered, halted, seen := false, map[string]bool{}, map[string]bool{}
	for _, r := range event.Records {
		ordered = ordered || r.Attributes["SequenceNumber"] != ""
	}
	for _, r := range event.Records {
		if !ordered || seen[r.MessageId] && r.MessageId != "" {
			continue
		}
		seen[r.MessageId] = true
		group := r.Attributes["MessageGroupId"]
		require.False(t, halted[group] && !failed[r.MessageId], "%q stands behind a failed message of its group", r.MessageId)
		halted[group] = halted[group] || failed[r.MessageId]
	}
}
