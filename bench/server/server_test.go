package server

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/sqstest"
)

func TestMeterCountsWhatIsInFlight(t *testing.T) {
	m := newMeter()
	now := time.Unix(1, 0)
	m.happened(sqstest.Event{Kind: sqstest.Delivered, MessageID: "a", ReceiveCount: 1, Time: now})
	m.happened(sqstest.Event{Kind: sqstest.Delivered, MessageID: "b", ReceiveCount: 2, Time: now})
	m.happened(sqstest.Event{Kind: sqstest.Deleted, MessageID: "a", Time: now.Add(time.Second)})
	s := m.mark()
	require.Equal(t, 2, s.Received)
	require.Equal(t, 1, s.Again)
	require.Equal(t, 1, s.Deleted)
	require.Equal(t, 2, s.PeakInFlight)
	require.Equal(t, time.Second, s.HeldP50)
	require.Equal(t, 1, m.mark().PeakInFlight, "a mark begins the peaks anew")
}

func TestMeterCountsCallsThatAreOut(t *testing.T) {
	m := newMeter()
	m.begin(opReceive)
	m.begin(opReceive)
	m.end(opReceive, true)
	m.begin(opDeleteBatch)
	s := m.mark()
	require.Equal(t, map[string]int{opReceive: 2, opDeleteBatch: 1}, s.Calls)
	require.Equal(t, map[string]int{opReceive: 1}, s.Failed)
	require.Equal(t, 2, s.PeakReceives)
	require.Equal(t, 1, s.PeakDeletes)
}

func TestPacerWakesTheEarliestFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pacer{alarm: still{}}
		done := make(chan int, 2)
		for _, d := range []int{2, 1} {
			go func() {
				p.sleep(time.Duration(d) * time.Hour)
				done <- d
			}()
		}
		synctest.Wait() // both sleep
		p.fire(time.Now().Add(90 * time.Minute))
		require.Equal(t, 1, <-done)
		synctest.Wait()
		require.Empty(t, done)
		p.fire(time.Now().Add(3 * time.Hour))
		require.Equal(t, 2, <-done)
	})
}

// still is an alarm that never goes off.
type still struct{}

func (still) set(time.Duration) {}
func (still) wait() error       { select {} }
