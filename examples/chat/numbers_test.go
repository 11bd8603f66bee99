package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sqstest"
)

// numbers returns what a page is told now, when nothing is under way at this very instant: a
// receive that ends, say.
func (w *world) numbers() (n numbers) {
	w.Helper()
	time.Sleep(time.Microsecond)
	synctest.Wait()
	answer := w.ask(http.MethodGet, "/queue", nil)
	require.Equal(w, http.StatusOK, answer.Code)
	require.NoError(w, json.Unmarshal(answer.Body.Bytes(), &n))
	return n
}

// adds checks the numbers against what the queue itself has counted.
func (w *world) adds(n numbers) {
	w.Helper()
	stats := w.account.Stats()
	queue := stats.Queues["chat.fifo"]
	require.EqualValues(w, queue.Sent, n.Sent)
	require.EqualValues(w, queue.Deleted, n.Deleted)
	require.EqualValues(w, queue.Redeliveries(), n.Again)
	require.Equal(w, n.Sent, n.Deleted+n.InFlight+n.Waiting)
	states := map[sqstest.MessageState]int64{}
	for _, m := range w.account.Messages(w.queue.url) {
		states[m.State]++
	}
	require.Equal(w, n.InFlight, states[sqstest.InFlight])
	require.EqualValues(w, stats.Calls["SendMessage"].Started, n.Calls.SendMessage)
	require.EqualValues(w, stats.Calls["DeleteMessageBatch"].Started, n.Calls.DeleteMessageBatch)
	require.EqualValues(w, stats.Calls["ChangeMessageVisibilityBatch"].Started, n.Calls.ChangeMessageVisibilityBatch)
	require.EqualValues(w, queue.EmptyReceives, n.Empty)
	require.LessOrEqual(w, n.Calls.ReceiveMessage, int64(stats.Calls["ReceiveMessage"].Started), "those that are out have not ended yet")
}

func TestNumbersAreZeroUntilSomethingIsSent(t *testing.T) {
	tell(t, func(w *world) {
		w.start("relay", "pusher")
		time.Sleep(10500 * time.Millisecond)
		n := w.numbers()
		require.Equal(w, n.Calls.ReceiveMessage, n.Empty, "long polls that found nothing")
		require.EqualValues(w, 10, n.Empty, "one a second")
		w.adds(n)
		n.At, n.Calls, n.Empty = 0, calls{}, 0
		require.Zero(w, n)
	})
}

func TestNumbersAddUpAtRest(t *testing.T) {
	tell(t, func(w *world) {
		w.start("relay")
		w.send("ada", "ben", counting("to ben", 7)...)
		time.Sleep(time.Second)
		n := w.numbers()
		require.EqualValues(w, 7, n.Sent)
		require.EqualValues(w, 7, n.Waiting)
		w.adds(n)

		w.start("pusher")
		w.send("ben", "ada", counting("to ada", 43)...)
		time.Sleep(10500 * time.Millisecond)
		n = w.numbers()
		require.EqualValues(w, 50, n.Sent)
		require.EqualValues(w, 50, n.Deleted)
		require.Zero(w, n.Waiting+n.InFlight+n.Failed+n.Again)
		w.adds(n)
	})
}

func TestEventsAreInFlightWhileTheHandlerPushes(t *testing.T) {
	tell(t, func(w *world) {
		notify := w.pusher.notify
		push := make(chan struct{})
		w.pusher.notify = func(ctx context.Context, id string) (string, error) {
			<-push
			return notify(ctx, id)
		}
		w.start("relay", "pusher")
		w.send("ada", "ben", "to ben")
		w.send("ada", "eve", "to eve")
		time.Sleep(500 * time.Millisecond)
		n := w.numbers()
		require.EqualValues(w, 2, n.InFlight)
		require.Zero(w, n.Deleted+n.Waiting)
		w.adds(n)

		close(push)
		time.Sleep(10 * time.Second)
		n = w.numbers()
		require.EqualValues(w, 2, n.Deleted)
		w.adds(n)
	})
}

func TestEventThatFailsAndIsReceivedAgainCountsSoAndIsDeletedOnce(t *testing.T) {
	for name, story := range map[string]struct{ fails, again int64 }{
		"tried again in place":                 {fails: 1, again: 0},
		"given back, and received once more":   {fails: 10, again: 1},
		"given back twice, and received again": {fails: 20, again: 2},
	} {
		t.Run(name, func(t *testing.T) {
			tell(t, func(w *world) {
				id := w.send("ada", "ben", "Hello")[0]
				fail := &failing{notify: w.pusher.notify, left: map[string]int{id: int(story.fails)}}
				w.pusher.notify = fail.call
				w.start("relay", "pusher")
				time.Sleep(500 * time.Millisecond)
				n := w.numbers()
				require.EqualValues(w, 1, n.Failed)
				require.EqualValues(w, 1, n.InFlight, "it is kept until it is tried again")
				w.adds(n)

				time.Sleep(10 * time.Minute)
				n = w.numbers()
				require.Equal(w, story.fails, n.Failed)
				require.Equal(w, story.again, n.Again)
				require.EqualValues(w, 1, n.Sent)
				require.EqualValues(w, 1, n.Deleted)
				require.EqualValues(w, 1, n.Calls.DeleteMessageBatch)
				require.GreaterOrEqual(w, n.Calls.ChangeMessageVisibilityBatch, story.again)
				w.adds(n)
			})
		})
	}
}

func TestSendsThatFailAreCallsAndNotSent(t *testing.T) {
	tell(t, func(w *world) {
		heal := w.account.Inject(sqstest.Fault{Op: "SendMessage", Err: sqstest.Unavailable()})
		w.start("relay", "pusher")
		synctest.Wait() // else the relay may find the message when it starts, and try once more when it is woken
		w.send("ada", "ben", "patient")
		time.Sleep(3 * time.Second) // tries at 0, 0.1, 0.3, 0.7 and 1.5 s
		n := w.numbers()
		require.EqualValues(w, 5, n.Calls.SendMessage)
		require.Zero(w, n.Sent+n.Waiting)
		w.adds(n)

		heal()
		time.Sleep(10 * time.Second)
		n = w.numbers()
		require.EqualValues(w, 6, n.Calls.SendMessage)
		require.EqualValues(w, 1, n.Sent)
		require.EqualValues(w, 1, n.Deleted)
		w.adds(n)
	})
}

func TestSendWhoseAnswerIsLostIsSentOnce(t *testing.T) {
	tell(t, func(w *world) {
		w.account.Inject(sqstest.Fault{Op: "SendMessage", Err: sqstest.Reset(), After: true, Times: 1})
		w.start("relay", "pusher")
		synctest.Wait() // as above
		w.send("ada", "ben", "Hello")
		time.Sleep(10 * time.Second)
		n := w.numbers()
		require.EqualValues(w, 1, n.Calls.SendMessage, "the event arrives before the relay tries again")
		require.EqualValues(w, 1, n.Sent)
		require.EqualValues(w, 1, n.Deleted)
		w.adds(n)
	})
}

func TestTallyCountsEachEventOnceWhicheverComesFirst(t *testing.T) {
	var sent tally
	sent.arrive("of another process")
	sent.begin("confirmed")
	sent.confirm("confirmed")
	sent.arrive("confirmed")
	require.EqualValues(t, 1, sent.count())
	sent.begin("arrives before its answer")
	sent.arrive("arrives before its answer")
	sent.arrive("arrives before its answer")
	require.EqualValues(t, 2, sent.count())
	sent.confirm("arrives before its answer")
	require.EqualValues(t, 2, sent.count())
	sent.begin("answer lost, tried again")
	sent.begin("answer lost, tried again")
	sent.arrive("answer lost, tried again")
	sent.begin("answer lost, tried again")
	sent.confirm("answer lost, tried again")
	require.EqualValues(t, 3, sent.count())
	sent.begin("answer lost, arrives late")
	sent.begin("next")
	sent.confirm("next")
	sent.arrive("answer lost, arrives late")
	require.EqualValues(t, 5, sent.count())
	sent.begin("last")
	require.Len(t, sent.open, 1, "nothing is kept that needs not be")
}

func TestLastMessageSaysHowLongItTookUnlessItWaited(t *testing.T) {
	tell(t, func(w *world) {
		w.account.Inject(sqstest.Fault{Op: "SendMessage", Wait: 7 * time.Millisecond})
		w.start("relay", "pusher")
		w.send("ada", "ben", "waits for Ben")
		time.Sleep(time.Second)
		ben := w.device("ben")
		ben.online()
		require.Zero(w, w.numbers().Pushed)
		time.Sleep(time.Second)

		w.send("ada", "ben", "Hello")
		time.Sleep(time.Second)
		require.InDelta(w, 7000, w.numbers().Pushed, 3000)
	})
}

// A transcript is an answer that may be read while it is written.
type transcript struct {
	header http.Header

	mu   sync.Mutex // guards text
	text strings.Builder
}

func (a *transcript) Header() http.Header { return a.header }
func (a *transcript) WriteHeader(int)     {}
func (a *transcript) Flush()              {}

func (a *transcript) Write(b []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.text.Write(b)
}

func (a *transcript) read() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.text.String()
}

// watch opens a stream that asks for the numbers, and returns what reads those told so far, and
// what ends it.
func (w *world) watch(user, shown string) (told func() []numbers, leave func()) {
	w.Helper()
	ctx, cancel := context.WithCancel(w.Context())
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/users/"+user+"/stream?queue=1&after="+shown, nil)
	answer := &transcript{header: http.Header{}}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.web.ServeHTTP(answer, r)
	}()
	leave = func() {
		cancel()
		<-ended
	}
	w.Cleanup(leave)
	return func() (all []numbers) {
		w.Helper()
		synctest.Wait()
		for event := range strings.SplitSeq(answer.read(), "\n\n") {
			data, ok := strings.CutPrefix(event, "event: queue\ndata: ")
			if !ok {
				continue
			}
			var n numbers
			require.NoError(w, json.Unmarshal([]byte(data), &n))
			all = append(all, n)
		}
		return all
	}, leave
}

func TestStreamTellsTheNumbersWhenTheyChangeAndIsQuietElse(t *testing.T) {
	tell(t, func(w *world) {
		told, _ := w.watch("ada", "")
		require.Len(w, told(), 1, "those of now, at once")
		time.Sleep(time.Hour)
		require.Len(w, told(), 1, "nothing has changed")
		time.Sleep(glance / 2) // so that no look falls on the send

		w.start("relay")
		w.send("ada", "ben", "Hello")
		time.Sleep(glance)
		require.Len(w, told(), 2)
		time.Sleep(time.Hour)
		require.Len(w, told(), 2)
		require.EqualValues(w, 1, told()[1].Waiting)
	})
}

func TestStreamComesToRestWithTheNumbersOfTheQueue(t *testing.T) {
	tell(t, func(w *world) {
		w.start("relay", "pusher")
		told, _ := w.watch("ada", "")
		for i := range 50 {
			w.send("ada", "ben", fmt.Sprint("message ", i))
			time.Sleep(time.Duration(i) * time.Millisecond)
		}
		time.Sleep(time.Minute)
		all := told()
		last := all[len(all)-1]
		require.EqualValues(w, 50, last.Sent)
		require.EqualValues(w, 50, last.Deleted)
		require.Zero(w, last.Waiting+last.InFlight)
		for i, n := range all[1:] {
			was := all[i]
			require.Greater(w, n.At, was.At)
			require.True(w, n.Sent >= was.Sent && n.Deleted >= was.Deleted && n.Waiting >= 0, "%+v after %+v", n, was)
		}
		now := w.numbers()
		require.Equal(w, now.Sent, last.Sent)
	})
}

func TestStreamThatComesBackTellsTheSameNumbers(t *testing.T) {
	tell(t, func(w *world) {
		w.start("relay", "pusher")
		ids := w.send("ada", "ben", counting("Hello", 5)...)
		told, leave := w.watch("ben", "")
		time.Sleep(10500 * time.Millisecond)
		before := told()
		leave()

		again, _ := w.watch("ben", ids[4])
		after := again()
		require.Len(w, after, 1)
		require.EqualValues(w, 5, after[0].Deleted)
		last := before[len(before)-1]
		require.False(w, after[0].differ(last), "%+v after %+v", after[0], last)
		require.Greater(w, after[0].At, last.At)
	})
}

func TestNumbersOfAProcessThatStartsAgainAreNewerAndBeginAtZero(t *testing.T) {
	tell(t, func(w *world) {
		w.start("relay", "pusher")
		w.send("ada", "ben", "Hello")
		time.Sleep(10 * time.Second)
		before := w.numbers()
		w.stop("relay")
		w.stop("pusher")
		w.reopen()
		after := w.numbers()
		require.Zero(w, after.Sent+after.Deleted)
		require.GreaterOrEqual(w, after.At, before.At)
	})
}

func TestDeviceThatDoesNotAskIsToldNoNumbers(t *testing.T) {
	tell(t, func(w *world) {
		w.start("relay", "pusher")
		ctx, cancel := context.WithTimeout(w.Context(), time.Minute)
		defer cancel()
		answer := httptest.NewRecorder()
		w.web.ServeHTTP(answer, httptest.NewRequestWithContext(ctx, http.MethodGet, "/users/ben/stream", nil))
		require.NotContains(w, answer.Body.String(), "queue")
	})
}

func TestRetriesInPlaceWaitLongerEachTimeUpTo16Seconds(t *testing.T) {
	for attempt, seconds := range map[int]float64{1: 1, 2: 2, 3: 4, 4: 8, 5: 16, 9: 16} {
		require.InDelta(t, seconds, retryDelay(&sluice.Message{Attempt: attempt, ReceiveCount: 1}, nil).Seconds(), 0)
	}
}
