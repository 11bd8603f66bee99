package stories_test

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sqstest"
)

func TestADuplicateOfAMessageInHandIsAdopted(t *testing.T) {
	tellBoth(t, func(w *world) {
		w.send(0, 3)
		c := w.consumer(sluice.Options{})
		stop := w.run(c, w.handler(takes(time.Minute)))
		time.Sleep(20 * time.Second)
		for _, m := range w.left() {
			require.True(w, w.server.ExpireLease(w.url, m.ID))
		}
		time.Sleep(time.Minute)
		require.NoError(w, stop())
		require.Equal(w, 3, w.handled())
		require.EqualValues(w, 3, c.Stats().Duplicates)
		require.Empty(w, w.left(), "the newest handle deletes")
		require.Equal(w, 6, w.counts().Deliveries)
		w.agrees(c)
	})
}

func TestAMessageThatMayBeBackAlreadyIsNotTakenFromItsNextConsumer(t *testing.T) {
	for name, err := range map[string]error{"no answer": sqstest.Reset(), "an answer that knows nothing": sqstest.InternalError()} {
		t.Run(name, func(t *testing.T) {
			tell(t, func(w *world) {
				w.send(0, 1)
				w.server.Inject(sqstest.Fault{Op: opChange, Err: err, After: true, Lag: 10 * time.Millisecond, Times: 1})
				first := w.consumer(sluice.Options{MaxMessages: 1})
				stop := w.run(first, w.handler(func(context.Context, []*sluice.Message) error {
					time.Sleep(time.Second)
					return sluice.RetryAfter(0, errBad)
				}))
				time.Sleep(time.Second / 2)
				second := w.consumer(sluice.Options{MaxMessages: 1, ShutdownTimeout: time.Minute})
				stopSecond := w.run(second, w.handler(takes(time.Second)))
				third := w.consumer(sluice.Options{})
				stopThird := w.run(third, w.handler(nil))
				time.Sleep(time.Minute)
				require.NoError(w, stop())
				require.NoError(w, stopSecond())
				require.NoError(w, stopThird())
				require.Equal(w, 2, w.handled(), "by the first, and by one of the others")
				require.Equal(w, 2, w.counts().Deliveries)
				require.Empty(w, w.left())
				require.EqualValues(w, 1, first.Stats().Unsettled, "nobody has said that it was given back")
			})
		})
	}
}

func TestADuplicateThatArrivesWhileTheDeleteIsPendingIsDeletedWithItsNewHandle(t *testing.T) {
	tell(t, func(w *world) {
		w.send(0, 3)
		end := w.outage(sqstest.Unavailable(), opDelete)
		c := w.consumer(sluice.Options{})
		stop := w.run(c, w.handler(nil))
		time.Sleep(20 * time.Second)
		for _, m := range w.left() {
			require.True(w, w.server.ExpireLease(w.url, m.ID))
		}
		time.Sleep(10 * time.Second)
		end()
		time.Sleep(10 * time.Second)
		require.NoError(w, stop())
		require.Equal(w, 3, w.handled())
		require.Empty(w, w.left())
		w.agrees(c)
	})
}

func TestADuplicateThatArrivesWhileTheDeleteIsOnItsWayIsDeletedOnceMore(t *testing.T) {
	tell(t, func(w *world) {
		w.send(0, 1)
		w.server.Inject(sqstest.Fault{Op: opDelete, Wait: 2 * time.Second, Times: 1})
		c := w.consumer(sluice.Options{})
		stop := w.run(c, w.handler(nil))
		time.Sleep(time.Second)
		require.True(w, w.server.ExpireLease(w.url, w.left()[0].ID))
		time.Sleep(10 * time.Second)
		require.NoError(w, stop())
		require.Equal(w, 1, w.handled())
		require.Empty(w, w.left())
		require.Equal(w, 2, w.calls(opDelete))
	})
}

func TestDuplicatesThatArriveWhileTheirDeleteIsOnItsWayAreDeletedInOneCall(t *testing.T) {
	tell(t, func(w *world) {
		w.send(0, 10)
		w.server.Inject(sqstest.Fault{Op: opDelete, Wait: 2 * time.Second, Times: 1})
		stop := w.run(w.consumer(sluice.Options{BatchSize: 10}), w.handler(nil))
		time.Sleep(time.Second)
		for _, m := range w.left() {
			require.True(w, w.server.ExpireLease(w.url, m.ID))
		}
		time.Sleep(10 * time.Second)
		require.NoError(w, stop())
		require.Equal(w, 10, w.handled())
		require.Empty(w, w.left())
		require.Equal(w, 2, w.calls(opDelete))
	})
}

func TestADeleteMadeOnceMoreHasTheWholeLeaseForItsTries(t *testing.T) {
	tellBoth(t, func(w *world) {
		w.send(0, 1)
		w.server.Inject(sqstest.Fault{Op: opDelete, Wait: 9 * time.Second, NoEffect: true, Times: 1})
		w.server.Inject(sqstest.Fault{Op: opDelete, Err: sqstest.Unavailable(), Skip: 1, Times: 1})
		c := w.consumer(sluice.Options{VisibilityTimeout: 4 * time.Second})
		stop := w.run(c, w.handler(nil))
		time.Sleep(time.Second)
		require.True(w, w.server.ExpireLease(w.url, w.left()[0].ID), "received once more while its delete is on its way")
		time.Sleep(time.Minute)
		require.NoError(w, stop())
		require.Equal(w, 3, w.calls(opDelete), "of the old receipt, of the new one, and that again")
		require.Equal(w, 1, w.handled(), "its lease was renewed all the time")
		require.Empty(w, w.left())
		require.Zero(w, c.Stats().Unsettled)
	})
}

func TestAMessageReceivedOnceMoreAsItsLeaseEndsIsNotForgotten(t *testing.T) {
	for range 50 { // the loss and the receive are at one instant: either may be the first
		tell(t, func(w *world) {
			w.send(0, 50)
			end := w.outage(sqstest.Unavailable(), opChange)
			c := w.consumer(sluice.Options{VisibilityTimeout: 3 * time.Second, PollTime: 2 * time.Second, BatchSize: 100, WaitTime: 10 * time.Second})
			stop := w.run(c, w.handler(nil))
			time.Sleep(3100 * time.Millisecond)
			end()
			time.Sleep(time.Minute)
			require.Empty(w, w.left())
			require.NoError(w, stop())
			w.adds(c)
		})
	}
}

func TestAMessageRedeliveredAfterItsDeleteIsHandledAgain(t *testing.T) {
	tell(t, func(w *world) {
		w.server.Inject(sqstest.Fault{Op: opDelete, Again: true, Times: 1})
		w.server.Inject(sqstest.Fault{Op: opReceive, Lag: 20 * time.Millisecond}) // the answer of the delete comes first: else it is a duplicate of what is in hand
		w.send(0, 3)
		c := w.consumer(sluice.Options{BatchSize: 3})
		stop := w.run(c, w.handler(nil))
		time.Sleep(time.Minute)
		require.NoError(w, stop())
		require.Equal(w, 6, w.handled(), "a redelivery is not swallowed")
		require.Empty(w, w.left())
	})
}

func TestDuplicatesInOneDeleteDoNotSpoilTheOthers(t *testing.T) {
	tell(t, func(w *world) {
		random := rand.New(rand.NewPCG(1, 2))
		w.send(0, 300)
		w.slow(8 * time.Millisecond)
		w.server.Inject(sqstest.Fault{Op: opReceive, Twice: true, Match: func(sqstest.Call) bool { return random.IntN(2) == 0 }})
		stop := w.run(w.consumer(sluice.Options{Concurrency: 50}), w.handler(takes(20*time.Millisecond)))
		time.Sleep(20 * time.Second)
		require.NoError(w, stop())
		require.Empty(w, w.left())
		require.Equal(w, 300, w.handled())
		require.Zero(w, w.server.Stats().Calls[opDelete].Failed)
	})
}

func TestDuplicatesInOneAnswerAreHandledOnce(t *testing.T) {
	tellBoth(t, func(w *world) {
		w.send(0, 20)
		w.server.Inject(sqstest.Fault{Op: opReceive, Twice: true})
		c := w.consumer(sluice.Options{BatchSize: 20})
		stop := w.run(c, w.handler(takes(time.Minute)))
		time.Sleep(2 * time.Minute)
		require.NoError(w, stop())
		require.Equal(w, 20, w.handled())
		require.EqualValues(w, 20, c.Stats().Duplicates)
		require.Empty(w, w.left())
		w.adds(c)
	})
}

func TestAnAnswerThatIsOvertakenTakesNoLeaseAway(t *testing.T) {
	tell(t, func(w *world) {
		w.slow(8 * time.Millisecond)
		w.send(0, 100)
		w.server.Inject(sqstest.Fault{Op: opReceive, Lag: 5 * time.Second, Skip: 2, Times: 1}) // longer than its leases last
		c := w.consumer(sluice.Options{Concurrency: 5000, VisibilityTimeout: 4 * time.Second})
		stop := w.run(c, w.handler(heeds(20*time.Second)))
		for i := range 100 { // so that others are out meanwhile
			time.Sleep(50 * time.Millisecond)
			w.send(100+10*i, 10)
		}
		time.Sleep(time.Minute)
		require.NoError(w, stop())
		require.Equal(w, 1100, w.handled())
		require.Zero(w, c.Stats().LeasesLost)
		require.Positive(w, c.Stats().Duplicates)
		require.Empty(w, w.left())
	})
}
