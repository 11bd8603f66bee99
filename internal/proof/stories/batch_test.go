package stories_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
)

func TestAThousandMessagesAreTenFullBatches(t *testing.T) {
	tellBoth(t, func(w *world) {
		w.send(0, 1000)
		stop := w.run(w.consumer(sluice.Options{BatchSize: 100, WaitTime: time.Minute}), w.handler(nil))
		synctest.Wait()
		require.NoError(w, stop())
		require.Len(w, w.seen(), 10)
		for _, s := range w.seen() {
			require.Len(w, s.bodies, 100)
		}
		w.eachOnce(1000)
	})
}

func TestATrickleIsHandedOverWhenItsWaitTimeIsOver(t *testing.T) {
	tellBoth(t, func(w *world) {
		stop := w.run(w.consumer(sluice.Options{BatchSize: 10, WaitTime: 3 * time.Second}), w.handler(nil))
		time.Sleep(time.Second / 2)
		for i := range 20 {
			w.send(i, 1)
			time.Sleep(time.Second)
		}
		time.Sleep(5 * time.Second)
		require.NoError(w, stop())
		first := time.Second / 2 // when the first message of the next batch was sent
		for _, s := range w.seen() {
			require.Equal(w, first+3*time.Second, s.at)
			first += time.Duration(len(s.bodies)) * time.Second
		}
		w.eachOnce(20)
	})
}

func TestEachEventIsHandledAsSoonAsItArrives(t *testing.T) {
	tellBoth(t, func(w *world) {
		stop := w.run(w.consumer(sluice.Options{}), w.handler(nil))
		for i := range 50 {
			time.Sleep(time.Duration(37*i) * time.Millisecond)
			w.send(i, 1)
			sent := time.Since(w.began)
			synctest.Wait()
			require.Len(w, w.seen(), i+1)
			require.LessOrEqual(w, w.seen()[i].at-sent, time.Millisecond)
		}
		require.NoError(w, stop())
		w.eachOnce(50)
	})
}

func TestALargeBatchFillsForMinutesUnderShortLeases(t *testing.T) {
	tellBoth(t, func(w *world) {
		c := w.consumer(sluice.Options{BatchSize: 5000, WaitTime: 5 * time.Minute, VisibilityTimeout: 30 * time.Second})
		stop := w.run(c, w.handler(nil))
		for i := range 300 {
			w.send(10*i, 10)
			time.Sleep(time.Second)
		}
		time.Sleep(time.Minute)
		require.NoError(w, stop())
		require.Len(w, w.seen(), 1)
		require.Equal(w, 5*time.Minute, w.seen()[0].at)
		w.eachOnce(3000)
	})
}

func TestRunReportsAQueueThatDoesNotExist(t *testing.T) {
	tellBoth(t, func(w *world) {
		w.url += "-of-nobody"
		err := w.consumer(sluice.Options{}).Run(w.Context(), w.handler(nil))
		require.ErrorContains(w, err, "orders-of-nobody")
		require.ErrorContains(w, err, "does not exist")
		require.Zero(w, time.Since(w.began))
	})
}
