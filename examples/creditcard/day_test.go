package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/big"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/sqstest"
)

var update = flag.Bool("update", false, "write the golden files of testdata")

// golden checks text against a file of testdata.
func golden(t require.TestingT, file, text string) {
	name := filepath.Join("testdata", file)
	if *update {
		require.NoError(t, os.WriteFile(name, []byte(text), 0o644))
	}
	want, err := os.ReadFile(name)
	require.NoError(t, err)
	require.Equal(t, string(want), text)
}

func TestADayReconcilesToTheCent(t *testing.T) {
	tell(t, func(w *world) {
		report := w.play()
		golden(w, "report.golden", report)
		require.Contains(w, report, "\nreconciled: ")
		require.Equal(w, w.n, w.number(`SELECT COUNT(*) FROM staged`))
		require.Equal(w, w.n, w.number(`SELECT COUNT(*) FROM outcomes`))
		w.empty()
	})
}

// The sums are made once more, from what the terminals made, with fractions
// instead of roundings, by nothing that the program uses.
func TestPayoutsAreWhatTheTransactionsAreWorth(t *testing.T) {
	tell(t, func(w *world) {
		w.play()
		want := map[string]int64{}
		for _, tx := range w.made() {
			if w.number(`SELECT COUNT(*) FROM review WHERE id = ?`, tx.ID) == 1 {
				continue
			}
			value := rounded(tx.Amount*currencies[tx.Currency].rate, 1_000_000)
			if tx.Kind == Refund {
				want[tx.Merchant] -= value
				continue
			}
			want[tx.Merchant] += value - rounded(value*merchants[tx.Merchant].fee, 10_000)
		}
		for id := range merchants {
			require.EqualValues(w, want[id], w.number(`SELECT gross - refunds - fees FROM payouts WHERE merchant = ?`, id), id)
		}
	})
}

// rounded returns n/d rounded half to even, by the rules of printing a fraction.
func rounded(n, d int64) int64 {
	value := new(big.Rat).SetFrac64(n, d)
	below := new(big.Int).Quo(value.Num(), value.Denom()).Int64()
	switch rest := new(big.Rat).Sub(value, new(big.Rat).SetInt64(below)); rest.Cmp(big.NewRat(1, 2)) {
	case 1:
		return below + 1
	case 0:
		return below + below%2
	default:
		return below
	}
}

func TestADayThatIsRunTwiceIsSettledOnce(t *testing.T) {
	tell(t, func(w *world) {
		report, rows := w.play(), w.dump()
		require.Equal(w, report, w.play(), "in the same process")
		w.restart()
		require.Equal(w, report, w.play(), "in another one")
		require.Equal(w, rows, w.dump())
		w.empty()
	})
}

// The process stops at some moments and its queues in memory are gone. The next one
// has only the database, and the terminals' receipts.
func TestADayThatIsStoppedAnywhereEndsAsOneThatWasNot(t *testing.T) {
	report, rows := undisturbed(t)
	for seed := range uint64(seeds(t, 2)) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 0))
			tell(t, func(w *world) {
				for range 2 {
					w.account.Inject(sqstest.Fault{Wait: 5 * time.Millisecond}) // so that there is something to stop in the middle of
					err := w.day(w.after(time.Duration(random.Int64N(int64(time.Second)))), w.made(), time.Time{}, io.Discard)
					require.ErrorIs(w, err, context.DeadlineExceeded)
					w.restart()
				}
				require.Equal(w, report, w.play())
				require.Equal(w, rows, w.dump())
			})
		})
	}
}

// Whatever had to be in one commit and is in two, such as the outcomes of a batch and
// the payouts they add up to, does not come out right: the process ends after its first
// commit, which notes what the terminals will send, then after its second, its third and
// its fourth, which are the settlement's. Nothing that it does later reaches the database
// or the queues. These go on, unlike those in a process that is stopped.
func TestADayThatEndsBetweenItsCommitsEndsAsOneThatDidNot(t *testing.T) {
	report, rows := undisturbed(t)
	tell(t, func(w *world) {
		for commits := range 4 {
			w.batch = 100
			w.dieAfter(1 + commits)
		}
		require.Equal(w, report, w.play())
		require.Equal(w, rows, w.dump())
		w.empty()
	})
}

// dieAfter plays the day until so many commits, as a process that ends then. The next one
// finds the file, and the queues when leases have ended.
func (w *world) dieAfter(commits int) {
	w.Helper()
	ctx, end := context.WithCancel(w.Context())
	defer end()
	var repair func()
	committed = func() {
		if commits--; commits == 0 {
			repair = w.account.Inject(sqstest.Fault{Err: sqstest.Reset()})
			_ = w.db.close() // what it is told is not of interest to the dead
			end()
		}
	}
	defer func() { committed = func() {} }()
	require.Error(w, w.day(ctx, w.made(), time.Time{}, io.Discard))
	require.NotNil(w, repair, "the day has fewer commits")
	repair()
	time.Sleep(w.visibility)
	w.newOffice(w.settings.db, w.account)
}

// Answers are lost after their effect, deletes fail, messages come twice: all that
// makes SQS deliver again.
func TestADayOnABadNetworkEndsAsOneOnAGoodOne(t *testing.T) {
	report, rows := undisturbed(t)
	tell(t, func(w *world) {
		w.settings.visibility = 2 * time.Second // so that what a lost answer has hidden comes back during the day
		for _, op := range []string{"ReceiveMessage", "DeleteMessageBatch", "SendMessage"} {
			w.account.Inject(sqstest.Fault{Op: op, Match: every(7), Err: sqstest.Reset(), After: true})
			w.account.Inject(sqstest.Fault{Op: op, Match: every(11), Err: sqstest.InternalError()})
		}
		require.Equal(w, report, w.play())
		require.Equal(w, rows, w.dump())
		require.Positive(w, w.account.Stats().Total.Redeliveries(), "the faults had an effect")
	})
}

// A third of the events seems to be gone: answers got lost on their way, and what was
// in them stays invisible until long after the queue looks empty. A transaction that
// is judged before the others of its card are known may be judged otherwise.
func TestNothingIsSettledBeforeAllIsStaged(t *testing.T) {
	report, _ := undisturbed(t)
	tell(t, func(w *world) {
		w.account.Inject(sqstest.Fault{Op: "ReceiveMessage", Queue: "card-events", Times: 20, Err: sqstest.Reset(), After: true})
		staged := map[string]bool{} // by the first delivery to the settlement
		settling := false
		var mu sync.Mutex
		w.account.Observe(func(e sqstest.Event) {
			mu.Lock()
			defer mu.Unlock()
			settling = settling || e.Kind == sqstest.Delivered && e.Queue == "card-settlement"
			if in, ok := e.Call.Input.(*sqs.SendMessageInput); ok && e.Kind == sqstest.CallEnded && e.Call.Queue == "card-settlement" && !settling {
				staged[*in.MessageBody] = true
			}
		})
		require.Equal(w, report, w.play())
		require.Len(w, staged, w.n)
	})
}

// every matches each nth call.
func every(n int) func(sqstest.Call) bool {
	return func(c sqstest.Call) bool { return c.N%n == 0 }
}

func TestAnEventThatArrivesThriceIsStagedOnce(t *testing.T) {
	tell(t, func(w *world) {
		made := w.made()[:100]
		for range 3 {
			for i := range made {
				w.send(w.queues.events, &made[i])
			}
		}
		var out bytes.Buffer
		require.NoError(w, w.day(w.Context(), nil, time.Time{}, &out))
		require.Equal(w, 100, w.number(`SELECT COUNT(*) FROM staged`))
		require.Equal(w, 100, w.number(`SELECT COUNT(*) FROM outcomes`))
		require.Contains(w, out.String(), "staging: 300 events")
		require.Contains(w, out.String(), "200 of them repetitions")
		w.empty()
	})
}

func TestASuspiciousTransactionIsKeptAndNotPaid(t *testing.T) {
	tell(t, func(w *world) {
		w.play()
		require.Positive(w, w.number(`SELECT COUNT(*) FROM review`))
		require.Zero(w, w.number(`SELECT COUNT(*) FROM outcomes WHERE verdict = 'review' AND fee <> 0`))
		require.Equal(w,
			w.number(`SELECT SUM(iif(kind = 'sale', cents, -cents)) FROM outcomes JOIN staged USING (id) WHERE verdict = 'settled'`),
			w.number(`SELECT SUM(gross - refunds) FROM payouts`))
		require.Equal(w,
			w.number(`SELECT COUNT(*) FROM review`),
			w.number(`SELECT COUNT(*) FROM outcomes WHERE verdict = 'review'`))
	})
}

func TestAMessageThatIsNotStagedFailsAloneAndIsNotLost(t *testing.T) {
	tell(t, func(w *world) {
		made := w.made()[:20]
		stranger := made[0]
		for i := range made[1:] {
			_, err := w.db.stage(w.Context(), &made[1+i])
			require.NoError(w, err)
			w.send(w.queues.settlement, &made[1+i])
		}
		w.send(w.queues.settlement, &stranger)
		require.NoError(w, w.day(w.Context(), nil, time.Time{}, io.Discard))
		require.Equal(w, 19, w.number(`SELECT COUNT(*) FROM outcomes`))
		left := w.account.Messages("card-settlement")
		require.Len(w, left, 1)
		require.Contains(w, left[0].Body, stranger.ID)
	})
}

func TestAMessageThatDiffersFromStagingIsForAPersonToLookAt(t *testing.T) {
	tell(t, func(w *world) {
		tx := w.made()[0]
		_, err := w.db.stage(w.Context(), &tx)
		require.NoError(w, err)
		tx.Amount++
		w.send(w.queues.settlement, &tx)
		require.NoError(w, w.day(w.Context(), nil, time.Time{}, io.Discard))
		require.Equal(w, 1, w.number(`SELECT COUNT(*) FROM review WHERE reasons = 'differs from what was staged'`))
		require.Zero(w, w.number(`SELECT COUNT(*) FROM payouts`))
	})
}

func TestABodyThatIsNoTransactionEndsInTheDeadLetterQueue(t *testing.T) {
	tell(t, func(w *world) {
		w.account.Send(w.queues.events, `{"id": 7}`, "gibberish", `{"id": "x", "amount": 1}`)
		w.poll = 20 * time.Second
		ctx := w.after(3 * time.Hour)
		s, err := w.begin()
		require.NoError(w, err)
		require.NoError(w, s.staging.Run(ctx, s.stager.handler()))
		require.Empty(w, w.account.Messages("card-events"))
		require.Len(w, w.account.Messages("card-events-dead"), 3)
		require.Zero(w, w.number(`SELECT COUNT(*) FROM staged`))
	})
}

func TestTheReportSaysWhatIsMissing(t *testing.T) {
	tell(t, func(w *world) {
		w.play()
		_, err := w.db.db.Exec(`DELETE FROM review; DELETE FROM outcomes WHERE verdict = 'review' OR id LIKE '%m01-t1-00001'`)
		require.NoError(w, err)
		r, err := w.db.report(w.Context(), w.made()[0].Day())
		require.NoError(w, err)
		var out bytes.Buffer
		r.write(&out)
		require.ErrorContains(w, r.check(), "neither settled nor put under review")
		require.ErrorContains(w, r.check(), "m01 of 2000-01-01: the payout says")
		require.Contains(w, out.String(), "\nNOT RECONCILED:\n")
	})
}

// Three days pass; each is settled at six o'clock of its own.
func TestTheBusinessDayEndsAtTheHourThatWasSet(t *testing.T) {
	tell(t, func(w *world) {
		w.at, w.n, w.poll = "18:00", 60, 20*time.Second
		var out bytes.Buffer
		began := time.Now()
		err := w.work(w.after(72*time.Hour-time.Duration(began.Hour())*time.Hour), &out)
		require.ErrorContains(w, err, "run it again with -db "+w.settings.db)
		require.Equal(w, 3, strings.Count(out.String(), "\nreconciled: "))
		for i := range 3 {
			day := began.AddDate(0, 0, i).Format(time.DateOnly)
			require.Contains(w, out.String(), "the business day ends at "+day+" 18:00:00")
			require.Contains(w, out.String(), "Settlement of "+day)
		}
	})
}

func TestAPictureOfTheDayIsWritten(t *testing.T) {
	tell(t, func(w *world) {
		w.n, w.batch = 60, 25
		w.svg = filepath.Join(filepath.Dir(w.settings.db), "day.svg")
		require.NoError(w, os.WriteFile(w.svg, []byte("yesterday"), 0o600))
		var out bytes.Buffer
		require.NoError(w, w.day(w.Context(), w.made(), time.Time{}, &out))
		require.Contains(w, out.String(), "\nSettled for each merchant, in EUR")
		require.Contains(w, out.String(), "\nSettled over time: 3 batches with 62 messages\n")
		require.True(w, strings.HasSuffix(out.String(), "\npicture: "+w.svg+"\n"))
		picture, err := os.ReadFile(w.svg)
		require.NoError(w, err)
		require.Contains(w, string(picture), "3 batches with 62 messages")
		files, err := filepath.Glob(w.svg + "*")
		require.NoError(w, err)
		require.Len(w, files, 1, "nothing but the picture")
	})
}

func TestAPictureThatCannotBeWrittenDoesNotHideTheReport(t *testing.T) {
	tell(t, func(w *world) {
		w.n = 60
		w.svg = filepath.Join(filepath.Dir(w.settings.db), "gone", "day.svg")
		var out bytes.Buffer
		require.ErrorContains(w, w.day(w.Context(), w.made(), time.Time{}, &out), "-svg is "+w.svg)
		require.Contains(w, out.String(), "\nreconciled: ")
		require.Contains(w, out.String(), "\nSettled over time: ")
	})
}

// send puts a transaction into a queue behind the gateway's back.
func (w *world) send(queue string, t *Transaction) {
	w.Helper()
	body, err := json.Marshal(t)
	require.NoError(w, err)
	w.account.Send(queue, string(body))
}
