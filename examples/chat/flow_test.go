package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/sqstest"
)

func TestMessageReachesTheOtherAtOnce(t *testing.T) {
	tell(t, func(w *world) {
		w.start("relay", "pusher")
		ben := w.device("ben")
		ben.online()
		time.Sleep(time.Minute)

		w.send("ada", "ben", "Hello")
		time.Sleep(100 * time.Millisecond)
		require.Equal(w, []string{"Hello"}, ben.shows())
		require.LessOrEqual(w, ben.times[0], 10*time.Millisecond)
		require.Zero(w, w.waiting("ben"))
	})
}

func TestWhatIsSentToADeviceThatIsOfflineWaitsAndArrivesInOrderOnce(t *testing.T) {
	tell(t, func(w *world) {
		w.start("relay", "pusher")
		ben := w.device("ben")
		ben.online()
		w.send("ada", "ben", "before")
		time.Sleep(time.Second)
		ben.offline()

		w.send("ada", "ben", counting("waits", 250)...)
		time.Sleep(time.Hour)
		require.Equal(w, []string{"before"}, ben.shows())
		require.Equal(w, 250, w.waiting("ben"))

		ben.online()
		require.Equal(w, append([]string{"before"}, counting("waits", 250)...), ben.shows())
		require.Zero(w, w.waiting("ben"))
	})
}

func TestComingAndGoingLosesNothingAndShowsNothingTwice(t *testing.T) {
	tell(t, func(w *world) {
		w.start("relay", "pusher")
		ben := w.device("ben")
		var sent []string
		for i := range 20 {
			ben.online()
			texts := counting(fmt.Sprintf("round %d message", i), 7)
			sent = append(sent, texts...)
			w.send("ada", "ben", texts...)
			time.Sleep(time.Duration(i) * time.Millisecond)
			ben.offline()
		}
		time.Sleep(time.Minute)
		ben.online()
		require.Equal(w, sent, ben.shows())
	})
}

func TestMessageThatWasStreamedButNotShownIsStreamedAgain(t *testing.T) {
	tell(t, func(w *world) {
		w.start("relay", "pusher")
		ben := w.device("ben")
		ben.mute = true // as if the connection had died with the message in it
		ben.online()
		w.send("ada", "ben", "Hello")
		time.Sleep(time.Second)
		ben.offline()
		require.Equal(w, 1, w.waiting("ben"))

		again := w.device("ben") // it knows nothing of what was streamed
		again.online()
		require.Equal(w, []string{"Hello"}, again.shows())
		require.Zero(w, w.waiting("ben"))
	})
}

func TestComingBackAcknowledgesWhatWasShown(t *testing.T) {
	tell(t, func(w *world) {
		w.start("relay", "pusher")
		ben := w.device("ben")
		ben.mute = true
		ben.online()
		w.send("ada", "ben", "one", "two")
		time.Sleep(time.Second)
		ben.offline()
		require.Equal(w, 2, w.waiting("ben"))

		ben.online()
		require.Zero(w, w.waiting("ben"))
		require.Equal(w, []string{"one", "two"}, ben.shows())
	})
}

func TestAcknowledgementIsForAMessageAndThoseBeforeIt(t *testing.T) {
	tell(t, func(w *world) {
		w.start("relay", "pusher")
		ids := w.send("ada", "ben", "one", "two", "three")
		time.Sleep(time.Second)
		require.Equal(w, 3, w.waiting("ben"))
		for _, id := range []string{ids[1], ids[0], ids[1]} { // in whatever order they come
			require.Equal(w, http.StatusNoContent, w.ask(http.MethodPost, "/users/ben/shown", map[string]string{"id": id}).Code)
			require.Equal(w, 1, w.waiting("ben"))
		}
		require.Equal(w, http.StatusNotFound, w.ask(http.MethodPost, "/users/ada/shown", map[string]string{"id": ids[2]}).Code, "it is not Ada's")
		require.Equal(w, 1, w.waiting("ben"))
	})
}

func TestTwoTabsOfOnePhoneBothShowEverythingOnce(t *testing.T) {
	tell(t, func(w *world) {
		w.start("relay", "pusher")
		first, second := w.device("ben"), w.device("ben")
		first.online()
		second.online()
		w.send("ada", "ben", "both see it")
		time.Sleep(time.Second)

		second.offline()
		w.send("ada", "ben", "the first acknowledges it")
		time.Sleep(time.Second)
		require.Zero(w, w.waiting("ben"))
		second.online()

		for _, tab := range []*device{first, second} {
			require.Equal(w, []string{"both see it", "the first acknowledges it"}, tab.shows())
		}
	})
}

func TestBothDirectionsAndOtherPeopleDoNotMix(t *testing.T) {
	tell(t, func(w *world) {
		w.start("relay", "pusher")
		phones := map[string]*device{}
		for _, user := range []string{"ada", "ben", "eve"} {
			phones[user] = w.device(user)
			phones[user].online()
		}
		for i := range 30 {
			w.send("ada", "ben", fmt.Sprintf("from ada %d", i+1))
			w.send("ben", "ada", fmt.Sprintf("from ben %d", i+1))
			w.send("ben", "eve", fmt.Sprintf("from ben to eve %d", i+1))
		}
		time.Sleep(time.Minute)
		require.Equal(w, counting("from ada", 30), phones["ben"].shows())
		require.Equal(w, counting("from ben", 30), phones["ada"].shows())
		require.Equal(w, counting("from ben to eve", 30), phones["eve"].shows())
	})
}

func TestPostThatIsRepeatedIsOneMessage(t *testing.T) {
	tell(t, func(w *world) {
		w.start("relay", "pusher")
		ben := w.device("ben")
		ben.online()
		for range 3 { // the answers were lost
			w.posts = 0
			w.send("ada", "ben", "Hello")
			time.Sleep(10 * time.Minute) // longer than the queue remembers
		}
		require.Equal(w, []string{"Hello"}, ben.shows())
	})
}

func TestEventThatArrivesTwiceMakesOneNotification(t *testing.T) {
	tell(t, func(w *world) {
		w.start("relay", "pusher")
		ben := w.device("ben")
		ben.online()
		w.send("ada", "ben", "one", "two")
		for range 3 {
			time.Sleep(6 * time.Minute) // a deduplication id is remembered for five
			for _, m := range w.stored("ada") {
				require.NoError(w, w.app.relay.fireOne(w.Context(), m))
			}
		}
		time.Sleep(time.Minute)
		require.Equal(w, 8, w.account.Stats().Queues["chat.fifo"].Deleted, "events that the pusher has handled")
		require.Equal(w, []string{"one", "two"}, ben.shows())
	})
}

func TestEventThatFailsIsHandledAgainBeforeTheNext(t *testing.T) {
	tell(t, func(w *world) {
		ben, eve := w.device("ben"), w.device("eve")
		ids := w.send("ada", "ben", counting("to ben", 5)...)
		w.send("ada", "eve", "to eve")
		fail := &failing{notify: w.pusher.notify, left: map[string]int{ids[0]: 1, ids[2]: 3}}
		w.pusher.notify = fail.call
		w.start("relay", "pusher")
		ben.online()
		eve.online()

		time.Sleep(500 * time.Millisecond)
		require.Empty(w, ben.shows())
		require.Equal(w, []string{"to eve"}, eve.shows(), "another conversation does not wait")
		time.Sleep(5 * time.Minute)
		require.Equal(w, counting("to ben", 5), ben.shows())
		require.Zero(w, fail.left[ids[0]]+fail.left[ids[2]])
	})
}

// failing fails notifications of a message as often as left says.
type failing struct {
	notify func(ctx context.Context, id string) (string, error)

	mu   sync.Mutex // guards left
	left map[string]int
}

func (f *failing) call(ctx context.Context, id string) (string, error) {
	f.mu.Lock()
	fails := f.left[id] > 0
	if fails {
		f.left[id]--
	}
	f.mu.Unlock()
	if fails {
		return "", errors.New("the database is away")
	}
	return f.notify(ctx, id)
}

func TestPusherThatStartsAgainGoesOnWhereItWas(t *testing.T) {
	tell(t, func(w *world) {
		w.start("relay", "pusher")
		ben := w.device("ben")
		ben.online()
		var sent []string
		for i := range 5 {
			texts := counting(fmt.Sprintf("round %d message", i), 20)
			sent = append(sent, texts...)
			w.send("ada", "ben", texts[:10]...)
			w.stop("pusher") // in the middle of it
			w.send("ada", "ben", texts[10:]...)
			time.Sleep(10 * time.Second)
			w.start("pusher")
		}
		time.Sleep(2 * time.Minute)
		require.Equal(w, sent, ben.shows())
	})
}

func TestProcessThatDiedBeforeItFiredFiresWhenItStarts(t *testing.T) {
	tell(t, func(w *world) {
		w.send("ada", "ben", counting("written", 150)...) // and then it died: there is no relay
		require.Empty(w, w.account.Messages(w.queue.url))
		w.reopen()

		ben := w.device("ben")
		ben.online()
		w.send("ada", "ben", "and a new one")
		w.start("relay", "pusher")
		time.Sleep(time.Minute)
		require.Equal(w, append(counting("written", 150), "and a new one"), ben.shows())
	})
}

func TestProcessThatDiedAfterItFiredFiresAgainAndNothingIsShownTwice(t *testing.T) {
	for _, away := range []time.Duration{time.Second, time.Hour} {
		t.Run(fmt.Sprint("away for ", away), func(t *testing.T) {
			tell(t, func(w *world) {
				w.start("relay")
				w.send("ada", "ben", "one", "two", "three")
				time.Sleep(time.Second)
				w.stop("relay") // the events are in the queue, and not handled
				time.Sleep(away)
				w.reopen()

				ben := w.device("ben")
				ben.online()
				w.start("relay", "pusher")
				time.Sleep(time.Minute)
				require.Equal(w, []string{"one", "two", "three"}, ben.shows())
				require.Empty(w, w.account.Messages(w.queue.url))
			})
		})
	}
}

func TestQueueThatIsAwayDelaysButLosesNothing(t *testing.T) {
	tell(t, func(w *world) {
		heal := w.account.Inject(sqstest.Fault{Err: sqstest.Unavailable()})
		w.start("relay", "pusher")
		ben := w.device("ben")
		ben.online()
		w.send("ada", "ben", counting("patient", 12)...)
		time.Sleep(10 * time.Minute)
		require.Empty(w, ben.shows())
		heal()
		time.Sleep(time.Minute)
		require.Equal(w, counting("patient", 12), ben.shows())
	})
}

func TestEventOfAnotherDatabaseDoesNotHoldUpTheConversation(t *testing.T) {
	tell(t, func(w *world) {
		require.NoError(w, w.app.relay.fireOne(w.Context(), message{ID: "of-yesterday", From: "ada", To: "ben"}))
		w.send("ada", "ben", "of today")
		w.start("relay", "pusher")
		ben := w.device("ben")
		ben.online()
		time.Sleep(10 * time.Second)
		require.Equal(w, []string{"of today"}, ben.shows())
		require.Empty(w, w.account.Messages(w.queue.url))
	})
}

func TestDeviceThatRemembersAnotherDatabaseGetsEverything(t *testing.T) {
	tell(t, func(w *world) {
		w.start("relay", "pusher")
		w.send("ada", "ben", "one", "two")
		time.Sleep(time.Second)
		ben := w.device("ben")
		ben.last = "of-yesterday"
		ben.online()
		require.Equal(w, []string{"one", "two"}, ben.shows())
	})
}

func TestHistoryIsWhatWasSentAndShownAndTheStreamBringsTheRest(t *testing.T) {
	tell(t, func(w *world) {
		w.start("relay", "pusher")
		ben := w.device("ben")
		ben.online()
		w.send("ada", "ben", "shown")
		time.Sleep(time.Second)
		ben.offline()
		w.send("ben", "ada", "sent")
		w.send("ada", "ben", "waits")
		time.Sleep(time.Second)

		history, err := w.store.history(w.Context(), "ben")
		require.NoError(w, err)
		require.Len(w, history, 2)
		require.Equal(w, "shown", history[0].Text)
		require.Equal(w, "sent", history[1].Text)
		reloaded := w.device("ben")
		reloaded.online()
		require.Equal(w, []string{"waits"}, reloaded.shows())
	})
}

func TestStreamEndsWhenTheDeviceGoesOrTheServerStops(t *testing.T) {
	tell(t, func(w *world) {
		ben := w.device("ben")
		ben.online()
		time.Sleep(time.Hour) // heartbeats
		ben.offline()
		synctest.Wait()
		require.Empty(w, w.app.server.hub.streams)
		require.Equal(w, http.StatusOK, w.ask(http.MethodGet, "/users/ben/waiting", nil).Code)
	})
}

// reopen makes a new process of the world, with the database as the last one left
// it, and the queue.
func (w *world) reopen() {
	w.Helper()
	var file string
	require.NoError(w, w.store.db.QueryRowContext(w.Context(), `select file from pragma_database_list where name = 'main'`).Scan(&file))
	require.NoError(w, w.store.close())
	w.open(filepath.Clean(file))
}

// stored returns what a user has sent.
func (w *world) stored(user string) []message {
	w.Helper()
	sent, err := w.store.history(w.Context(), user)
	require.NoError(w, err)
	return sent
}
