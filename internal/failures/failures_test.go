package failures_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/failures"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func at(seconds int) time.Time { return noon.Add(time.Duration(seconds) * time.Second) }

func TestFailuresWithOneTextAreOne(t *testing.T) {
	var l failures.Log
	require.Empty(t, l.All())
	l.Add(failures.Failure{Operation: "Handler", Text: "no stock", MessageID: "a", Count: 3, First: at(0), Last: at(0)})
	l.Add(failures.Failure{Operation: "ReceiveMessage", Text: "no stock", Count: 1, First: at(1), Last: at(1)})
	l.Add(failures.Failure{Operation: "Handler", Text: "no money", MessageID: "b", Count: 1, First: at(2), Last: at(2)})
	l.Add(failures.Failure{Operation: "Handler", Text: "no stock", MessageID: "c", Count: 2, First: at(3), Last: at(3)})
	require.Equal(t, []failures.Failure{
		{Operation: "Handler", Text: "no stock", MessageID: "c", Count: 5, First: at(0), Last: at(3)},
		{Operation: "Handler", Text: "no money", MessageID: "b", Count: 1, First: at(2), Last: at(2)},
		{Operation: "ReceiveMessage", Text: "no stock", Count: 1, First: at(1), Last: at(1)},
	}, l.All())
}

func TestAnOutageDoesNotPushOutTheFailuresOfHandlers(t *testing.T) {
	var l failures.Log
	l.Add(failures.Failure{Operation: "Handler", Text: "no stock", Count: 1, Last: at(0)})
	for i := range 100 {
		l.Add(failures.Failure{Operation: "ReceiveMessage", Text: fmt.Sprint("no route ", i), Count: 1, Last: at(i)})
	}
	all := l.All()
	require.Len(t, all, 9)
	require.Equal(t, "no route 99", all[0].Text)
	require.Equal(t, "no stock", all[8].Text)
}

func TestOfManyFailuresSomeAreOnlyCounted(t *testing.T) {
	var l failures.Log
	require.True(t, l.Take("Handler", 1, at(0)))
	require.False(t, l.Take("Handler", 10, at(0)), "the first is not added yet")
	l.Add(failures.Failure{Operation: "Handler", Text: "no stock", Count: 1, Last: at(0)})
	require.False(t, l.Take("Handler", 100, at(0).Add(99*time.Millisecond)))
	require.True(t, l.Take("ReceiveMessage", 1, at(0)), "each operation for itself")
	require.EqualValues(t, 111, l.All()[0].Count)
	require.False(t, l.Take("Handler", 1000, at(0).Add(99*time.Millisecond)))
	require.True(t, l.Take("Handler", 1, at(1)))
	l.Add(failures.Failure{Operation: "Handler", Text: "no money", Count: 1, Last: at(1)})
	all := l.All()
	require.EqualValues(t, 1, all[0].Count)
	require.EqualValues(t, 1111, all[1].Count, "those before it are like the one before them")
}
