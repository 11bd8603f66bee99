package stories_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sqstest"
)

// refusals are what SQS refuses and may allow again.
func refusals() map[string]error {
	return map[string]error{"access": sqstest.AccessDenied(), "key": sqstest.KMSAccessDenied(), "queue": sqstest.NoSuchQueue()}
}

// incomplete is an error that no call can cure.
var incomplete = &smithy.GenericAPIError{Code: "IncompleteSignature", Message: "no"}

// each runs a story for each refusal, at the seam and with the SDK.
func each(t *testing.T, story func(w *world, err error)) {
	t.Helper()
	for name, err := range refusals() {
		t.Run(name, func(t *testing.T) {
			tellBoth(t, func(w *world) { story(w, err) })
		})
	}
}

func TestARefusalBeforeTheFirstReceiveEndsTheRunAtOnce(t *testing.T) {
	each(t, func(w *world, err error) {
		w.outage(err)
		got := w.consumer(sluice.Options{GiveUpAfter: -1}).Run(w.Context(), w.handler(nil))
		require.Zero(w, time.Since(w.began))
		require.ErrorContains(w, got, w.url)
		require.ErrorContains(w, got, opReceive)
		if w.client != sluice.Client(w.server) {
			require.ErrorContains(w, got, "region us-east-1")
		}
		require.Equal(w, 1, w.all())
	})
}

func TestARefusalOfAReceiveThatPassesCostsNothing(t *testing.T) {
	each(t, func(w *world, err error) {
		c := w.consumer(sluice.Options{})
		stop := w.run(c, w.handler(nil))
		w.send(0, 5)
		time.Sleep(time.Minute)
		w.server.Inject(sqstest.Fault{Op: opReceive, Err: err, Times: 1})
		time.Sleep(time.Minute)
		w.send(5, 5)
		time.Sleep(time.Minute)
		require.NoError(w, c.Health().Err)
		require.Equal(w, sluice.StateReceiving, c.Health().State)
		require.NoError(w, stop())
		w.eachOnce(10)
	})
}

func TestRefusedReceivesBackOffUntilTheRunGivesUp(t *testing.T) {
	each(t, func(w *world, err error) {
		c := w.consumer(sluice.Options{Receivers: 8})
		e := w.watch()
		ended := make(chan error, 1)
		go func() { ended <- c.Run(w.Context(), w.handler(nil)) }()
		time.Sleep(time.Minute)
		w.outage(err, opReceive)
		w.send(0, 1) // ends the receive that is out
		synctest.Wait()
		began := time.Now()
		got := <-ended
		require.ErrorContains(w, got, w.url)
		require.ErrorContains(w, got, opReceive)
		require.ErrorContains(w, got, "refused for 5m")
		require.Equal(w, 1, strings.Count(got.Error(), "sluice:"))
		require.GreaterOrEqual(w, time.Since(began), 5*time.Minute-20*time.Second, "the receive that was out may have been refused when it was sent")
		require.LessOrEqual(w, time.Since(began), 5*time.Minute+time.Minute)
		at := e.calls(opReceive)
		last := time.Time{}
		for _, moment := range at {
			if moment.After(began.Add(5*time.Second)) && !last.IsZero() {
				require.GreaterOrEqual(w, moment.Sub(last), time.Second)
				require.LessOrEqual(w, moment.Sub(last), 30*time.Second+time.Millisecond)
			}
			last = moment
		}
		w.silent()
	})
}

func TestARunThatDoesNotGiveUpOutlivesARefusalOfHours(t *testing.T) {
	for name, after := range map[string]time.Duration{"never": -1, "after a day": 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			tellBoth(t, func(w *world) {
				c := w.consumer(sluice.Options{GiveUpAfter: after})
				stop := w.run(c, w.handler(nil))
				time.Sleep(time.Second)
				end := w.outage(sqstest.AccessDenied())
				time.Sleep(10 * time.Hour)
				require.Equal(w, sluice.StateRefused, c.Health().State)
				end()
				w.send(0, 10)
				time.Sleep(31 * time.Second)
				require.NoError(w, c.Health().Err)
				require.NoError(w, stop())
				w.eachOnce(10)
			})
		})
	}
}

func TestRefusalsThatAreFarApartAreNotOne(t *testing.T) {
	tellBoth(t, func(w *world) {
		c := w.consumer(sluice.Options{GiveUpAfter: 3 * time.Minute})
		stop := w.run(c, w.handler(nil))
		time.Sleep(time.Second)
		for _, err := range []error{sqstest.AccessDenied(), sqstest.Unavailable(), sqstest.AccessDenied()} {
			end := w.outage(err)
			time.Sleep(150 * time.Second)
			end()
		}
		w.send(0, 10)
		time.Sleep(time.Minute)
		require.NoError(w, stop())
		w.eachOnce(10)
	})
}

func TestAPauseIsNoRefusal(t *testing.T) {
	tell(t, func(w *world) {
		c := w.consumer(sluice.Options{GiveUpAfter: 3 * time.Minute})
		stop := w.run(c, w.handler(nil))
		time.Sleep(time.Second)
		end := w.outage(sqstest.AccessDenied(), opReceive)
		time.Sleep(time.Minute)
		c.Pause()
		time.Sleep(time.Hour)
		c.Resume()
		time.Sleep(time.Minute)
		end()
		w.send(0, 10)
		time.Sleep(time.Minute)
		require.NoError(w, stop())
		w.eachOnce(10)
	})
}

func TestRefusedDeletesAreTriedAgainWhileTheLeaseLasts(t *testing.T) {
	for _, op := range []string{opDelete, opChange} {
		for _, d := range []time.Duration{0, time.Second, 20 * time.Second, 4 * time.Minute} {
			if op == opChange && d > 10*time.Second {
				continue // longer than the lease lasts without them
			}
			t.Run(fmt.Sprint(op, " for ", d), func(t *testing.T) {
				each(t, func(w *world, err error) {
					w.send(0, 10)
					c := w.consumer(sluice.Options{})
					stop := w.run(c, w.handler(takes(20*time.Second)))
					time.Sleep(14 * time.Second) // just before the first renewal
					if d == 0 {
						w.server.Inject(sqstest.Fault{Op: op, Err: err, Times: 1})
					} else {
						end := w.outage(err, op)
						time.AfterFunc(6*time.Second+d, end) // from the end of the handlers for d
					}
					time.Sleep(5 * time.Minute)
					require.NoError(w, stop())
					w.eachOnce(10)
					require.Zero(w, c.Stats().Unsettled)
				})
			})
		}
	}
}

func TestRefusedEntriesAreTriedAgain(t *testing.T) {
	tellBoth(t, func(w *world) {
		w.send(0, 10)
		w.server.Inject(sqstest.Fault{Op: opDelete, Err: sqstest.AccessDenied(), Entries: func(i int) bool { return i%2 == 0 }, Times: 3})
		c := w.consumer(sluice.Options{})
		stop := w.run(c, w.handler(nil))
		time.Sleep(time.Minute)
		require.NoError(w, stop())
		w.eachOnce(10)
	})
}

func TestDeletesThatAreNeverAllowedEndTheRun(t *testing.T) {
	tellBoth(t, func(w *world) {
		w.send(0, 10)
		w.outage(sqstest.AccessDenied(), opDelete)
		c := w.consumer(sluice.Options{})
		began := time.Now()
		err := c.Run(w.Context(), w.handler(nil))
		require.ErrorContains(w, err, "deleting messages of "+w.url+" (DeleteMessageBatch")
		require.InDelta(w, 5*time.Minute, time.Since(began), float64(40*time.Second))
		require.Equal(w, 10, w.handled(), "under their leases, which are renewed")
	})
}

func TestReleasesThatAreRefusedAreTriedAgain(t *testing.T) {
	each(t, func(w *world, err error) {
		w.send(0, 10)
		c := w.consumer(sluice.Options{RetryDelay: func(*sluice.Message, error) time.Duration { return 10 * time.Second }})
		end := w.outage(err, opChange)
		failed := map[string]bool{}
		stop := w.run(c, w.handler(func(_ context.Context, batch []*sluice.Message) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			if failed[batch[0].ID] {
				return nil
			}
			failed[batch[0].ID] = true
			return errBad
		}))
		time.Sleep(5 * time.Second)
		end()
		time.Sleep(time.Minute)
		require.NoError(w, stop())
		require.Equal(w, 20, w.handled())
		require.EqualValues(w, 10, c.Stats().GivenBack)
		require.Zero(w, c.Stats().Unsettled)
		require.Empty(w, w.left())
	})
}

func TestDeadLettersThatAreRefusedAreSentAgain(t *testing.T) {
	each(t, func(w *world, err error) {
		dead := w.server.MustCreateQueue("dead", nil)
		w.send(0, 3)
		end := w.outage(err, opSend)
		c := w.consumer(sluice.Options{DeadLetterQueueURL: dead})
		stop := w.run(c, w.handler(fails(sluice.DeadLetter(errBad))))
		time.Sleep(2 * time.Minute)
		require.Equal(w, sluice.StateRefused, c.Health().State)
		require.ErrorContains(w, c.Health().Err, "SendMessage")
		end()
		time.Sleep(10 * time.Second)
		require.NoError(w, c.Health().Err)
		require.NoError(w, stop())
		require.Equal(w, 3, w.handled(), "once each")
		require.Len(w, w.server.Messages(dead), 3)
		require.Empty(w, w.left())
	})
}

func TestDeadLettersThatAreRefusedForLongAreGivenBackAndTheRunGoesOn(t *testing.T) {
	tellBoth(t, func(w *world) {
		w.send(0, 3)
		c := w.consumer(sluice.Options{DeadLetterQueueURL: "http://sqs.us-east-1.localhost/000000000000/nowhere"})
		stop := w.run(c, w.handler(fails(sluice.DeadLetter(errBad))))
		time.Sleep(4 * time.Minute)
		require.Equal(w, 3, w.handled())
		require.Zero(w, c.Stats().GivenBack)
		time.Sleep(75 * time.Second)
		require.EqualValues(w, 3, c.Stats().GivenBack)
		time.Sleep(time.Hour)
		require.Greater(w, w.handled(), 3)
		require.NoError(w, stop())
		require.Len(w, w.left(), 3)
	})
}

func TestHealthHooksAndTheLogTellOfARefusal(t *testing.T) {
	for _, op := range []string{opReceive, opDelete} {
		t.Run(op, func(t *testing.T) {
			tellBoth(t, func(w *world) {
				var out bytes.Buffer
				var states []sluice.State
				c := w.consumer(sluice.Options{Logger: lines(&out), Hooks: sluice.Hooks{Health: func(h sluice.Health) {
					states = append(states, h.State)
					if h.State == sluice.StateRefused {
						require.ErrorContains(w, h.Err, op)
					}
				}}})
				stop := w.run(c, w.handler(nil))
				time.Sleep(time.Second)
				end := w.outage(sqstest.AccessDenied(), op)
				w.send(0, 5)
				time.Sleep(21 * time.Second)
				require.Equal(w, sluice.StateRefused, c.Health().State)
				require.ErrorContains(w, c.Health().Err, op)
				require.ErrorContains(w, c.Health().Err, w.url)
				require.ErrorContains(w, c.Health().Err, "AccessDenied")
				time.Sleep(4*time.Minute - 21*time.Second)
				end()
				time.Sleep(31 * time.Second)
				require.NoError(w, c.Health().Err)
				require.NoError(w, stop())
				require.Contains(w, []int{4, 5}, strings.Count(out.String(), "SQS refuses a call"), "one at once, and one a minute: %s", out.String())
				require.Equal(w, []sluice.State{sluice.StateReceiving, sluice.StateRefused, sluice.StateReceiving, sluice.StateStopping, sluice.StateStopped}, states)
				w.eachOnce(5)
			})
		})
	}
}

func TestAQueueThatIsReplacedIsConsumedAgain(t *testing.T) {
	tellBoth(t, func(w *world) {
		w.send(0, 5)
		c := w.consumer(sluice.Options{})
		stop := w.run(c, w.handler(nil))
		time.Sleep(time.Second)
		_, err := w.server.DeleteQueue(w.Context(), &sqs.DeleteQueueInput{QueueUrl: &w.url})
		require.NoError(w, err)
		time.Sleep(61 * time.Second)
		w.server.MustCreateQueue("orders", nil)
		w.send(5, 5)
		time.Sleep(31 * time.Second)
		require.Equal(w, 10, w.handled())
		require.NoError(w, stop())
	})
}

func TestAnErrorThatNoCallCanCureEndsTheRunAtOnce(t *testing.T) {
	tellBoth(t, func(w *world) {
		c := w.consumer(sluice.Options{GiveUpAfter: -1})
		ended := make(chan error, 1)
		go func() { ended <- c.Run(w.Context(), w.handler(nil)) }()
		time.Sleep(time.Second)
		w.outage(incomplete, opReceive)
		w.send(0, 1)
		require.ErrorContains(w, <-ended, "IncompleteSignature")
		require.LessOrEqual(w, time.Since(w.began), 2*time.Second)
	})
}
