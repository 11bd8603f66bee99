package settle_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/lease"
	"github.com/sluice-go/sluice/internal/queue"
	"github.com/sluice-go/sluice/internal/settle"
	"github.com/sluice-go/sluice/sqstest"
)

// A desk is a settler with messages in flight.
type desk struct {
	*testing.T
	*settle.Settler[int]

	server *sqstest.Server
	url    string
	keeper *lease.Keeper[int]
	leases []*lease.Lease[int]

	mu       sync.Mutex // guards the fields below
	ends     map[int]settle.End
	buried   int
	unburied int
	send     func() error
}

func at(t *testing.T, n int, story func(d *desk)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		d := &desk{T: t, server: sqstest.New(), ends: map[int]settle.End{}, send: func() error { return nil }}
		d.url = d.server.MustCreateQueue("q", nil)
		q := &queue.Queue{Client: d.server, URL: d.url, Visibility: 30 * time.Second}
		d.keeper = lease.NewKeeper(lease.Config[int]{Timeout: 30 * time.Second, Renew: func(ctx context.Context, ws []lease.Renewal[int]) []error {
			changes := make([]queue.Change, len(ws))
			for i, w := range ws {
				changes[i] = queue.Change{Handle: w.Handle, Timeout: w.Timeout}
			}
			return q.Change(ctx, changes)
		}, Lost: func([]*lease.Lease[int], error) {}})
		d.Settler = settle.New(settle.Config[int]{
			Queue: q, Keeper: d.keeper, Calls: 4, Rand: func() float64 { return 0.5 }, Go: func(call func()) { go call() }, Done: d.done,
			Send: func(context.Context, int, error) error { return d.send() }, Buried: func(int) { d.buried++ },
			Unburied: func(i int, delay time.Duration, _ error) {
				d.unburied++
				d.GiveBack(0, delay, d.leases[i])
			},
		})
		d.receive(q, n)
		ctx, cancel := context.WithCancel(t.Context())
		var keeping sync.WaitGroup
		keeping.Go(func() { d.keeper.Run(ctx) })
		story(d)
		d.Close(ctx)
		cancel()
		keeping.Wait()
	})
}

func (d *desk) receive(q *queue.Queue, n int) {
	for i := range n {
		d.server.Send(d.url, fmt.Sprint(i))
	}
	for len(d.leases) < n {
		ms, _, err := q.Fetch(d.Context(), queue.Fetch{N: 10, Wait: time.Second})
		require.NoError(d, err)
		for i := range ms {
			l := &lease.Lease[int]{Of: len(d.leases)}
			d.keeper.Add(time.Now(), time.Now(), lease.Receipt[int]{Lease: l, Handle: *ms[i].ReceiptHandle})
			d.leases = append(d.leases, l)
		}
	}
}

func (d *desk) done(results []settle.Result[int]) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range results {
		d.ends[r.Lease.Of] = r.End
	}
}

// all checks that n messages have come to that end.
func (d *desk) all(n int, end settle.End) {
	d.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	require.Len(d, d.ends, n)
	for i, e := range d.ends {
		require.Equal(d, end, e, "message %d", i)
	}
	require.Zero(d, d.keeper.Len(), "leases that are kept")
}

func TestALeaseIsKeptUntilTheDeleteIsConfirmed(t *testing.T) {
	at(t, 25, func(d *desk) {
		end := d.server.Inject(sqstest.Fault{Op: queue.OpDelete, Err: sqstest.Unavailable()})
		d.Delete(0, d.leases...)
		time.Sleep(5 * time.Minute)
		require.Equal(d, 25, d.keeper.Len())
		end()
		time.Sleep(10 * time.Second)
		d.all(25, settle.Deleted)
		require.Empty(d, d.server.Messages(d.url))
	})
}

func TestOnlyTheEntriesThatFailedAreDeletedOnceMore(t *testing.T) {
	at(t, 10, func(d *desk) {
		d.server.Inject(sqstest.Fault{Op: queue.OpDelete, Entries: func(i int) bool { return i > 6 }, Times: 1})
		d.Delete(0, d.leases...)
		time.Sleep(10 * time.Second)
		d.all(10, settle.Deleted)
		require.Equal(d, 2, d.server.Stats().Calls[queue.OpDelete].Started)
	})
}

func TestAReceiptThatIsLostEndsAMessage(t *testing.T) {
	at(t, 3, func(d *desk) {
		d.server.Inject(sqstest.Fault{Op: queue.OpDelete, Entries: func(int) bool { return true }, Err: sqstest.InvalidReceiptHandle("h")})
		d.Delete(0, d.leases...)
		synctest.Wait()
		d.all(3, settle.Lost)
		require.Equal(d, 1, d.server.Stats().Calls[queue.OpDelete].Started)
	})
}

func TestAnErrorThatLastsIsRefused(t *testing.T) {
	at(t, 3, func(d *desk) {
		d.server.Inject(sqstest.Fault{Op: queue.OpDelete, Err: &types.UnsupportedOperation{}})
		d.Delete(0, d.leases...)
		synctest.Wait()
		d.all(3, settle.Refused)
	})
}

func TestADelayIsKeptAndItsLeaseIsNot(t *testing.T) {
	at(t, 3, func(d *desk) {
		d.GiveBack(0, 5*time.Minute, d.leases...)
		time.Sleep(time.Millisecond) // others may come
		synctest.Wait()
		d.all(3, settle.GivenBack)
		for _, m := range d.server.Messages(d.url) {
			require.Equal(d, 5*time.Minute, time.Until(m.Until))
		}
	})
}

func TestADelayIsCutToWhatTheQueueAllows(t *testing.T) {
	at(t, 1, func(d *desk) {
		d.GiveBack(0, 100*time.Hour, d.leases...)
		time.Sleep(time.Millisecond) // others may come
		synctest.Wait()
		d.all(1, settle.GivenBack)
		require.Zero(d, d.server.Stats().Calls[queue.OpChange].Failed)
	})
}

func TestAChangeAfterTheLeasesEndIsNotSent(t *testing.T) {
	at(t, 3, func(d *desk) {
		d.server.Inject(sqstest.Fault{Op: queue.OpChange, Err: sqstest.Unavailable()})
		time.Sleep(31 * time.Second)
		calls := d.server.Stats().Calls[queue.OpChange].Started
		d.GiveBack(0, 0, d.leases...)
		time.Sleep(10 * time.Second)
		d.all(3, settle.Lost)
		require.Equal(d, calls, d.server.Stats().Calls[queue.OpChange].Started)
	})
}

func TestAChangeThatMayHaveBeenMadeIsNotMadeOnceMoreNearTheEndOfItsDelay(t *testing.T) {
	for name, c := range map[string]struct {
		err   error
		delay time.Duration
		times int
		calls int
		end   settle.End
	}{
		"at once, no answer":         {sqstest.Reset(), 0, 1, 1, settle.Lost},
		"at once, refused by SQS":    {sqstest.Unavailable(), 0, 1, 2, settle.GivenBack},
		"soon, no answer":            {sqstest.Reset(), 100 * time.Millisecond, 1, 2, settle.GivenBack},
		"soon, no answer for longer": {sqstest.Reset(), 100 * time.Millisecond, 100, 4, settle.Lost},
		"later, no answer":           {sqstest.Reset(), time.Minute, 5, 6, settle.GivenBack},
	} {
		t.Run(name, func(t *testing.T) {
			at(t, 3, func(d *desk) {
				d.server.Inject(sqstest.Fault{Op: queue.OpChange, Err: c.err, After: true, Times: c.times})
				d.GiveBack(0, c.delay, d.leases...)
				time.Sleep(5 * time.Second)
				d.all(3, c.end)
				require.Equal(d, c.calls, d.server.Stats().Calls[queue.OpChange].Started)
			})
		})
	}
}

func TestAMessageWhoseLeaseIsLostDoesNotWaitForTheCallOfOthers(t *testing.T) {
	at(t, 3, func(d *desk) {
		d.keeper.Halt(d.leases[0])
		time.Sleep(31 * time.Second)
		d.server.Inject(sqstest.Fault{Op: queue.OpChange, Wait: 4 * time.Second, Times: 1})
		d.GiveBack(0, 0, d.leases...)
		time.Sleep(time.Second)
		d.all(1, settle.Lost)
		time.Sleep(10 * time.Second)
	})
}

func TestABurialThatFailsIsNoDelete(t *testing.T) {
	for name, tt := range map[string]struct {
		errs []error
		end  settle.End
		left int
	}{
		"sent":               {nil, settle.Deleted, 0},
		"sent after a while": {[]error{sqstest.Unavailable(), sqstest.Reset(), sqstest.Throttled()}, settle.Deleted, 0},
		"refused":            {[]error{sqstest.NoSuchQueue()}, settle.GivenBack, 1},
		"denied":             {[]error{errors.New("?"), sqstest.AccessDenied()}, settle.GivenBack, 1},
	} {
		t.Run(name, func(t *testing.T) {
			at(t, 1, func(d *desk) {
				d.send = func() error {
					if len(tt.errs) == 0 {
						return nil
					}
					require.Len(d, d.server.Messages(d.url), 1, "deleted before it was sent")
					err := tt.errs[0]
					tt.errs = tt.errs[1:]
					return err
				}
				d.Bury(d.leases[0], errors.New("bad"), time.Minute)
				time.Sleep(30 * time.Second)
				d.all(1, tt.end)
				require.Len(d, d.server.Messages(d.url), tt.left)
				require.Equal(d, tt.left, d.unburied)
				require.Equal(d, 1-tt.left, d.buried)
			})
		})
	}
}

func TestCloseReturnsWhatCouldNotBeSettled(t *testing.T) {
	at(t, 30, func(d *desk) {
		d.server.Inject(sqstest.Fault{Err: sqstest.Unavailable()})
		d.Delete(0, d.leases[:20]...)
		d.GiveBack(0, 0, d.leases[20:]...)
		ctx, cancel := context.WithTimeout(d.Context(), time.Second)
		defer cancel()
		began := time.Now()
		require.Len(d, d.Close(ctx), 30)
		require.LessOrEqual(d, time.Since(began), 1500*time.Millisecond)
	})
}

func TestAReceiptThatComesAsALeaseEndsIsNotTakenForTheOldOne(t *testing.T) {
	const old, newer = "old", "newer"
	server := sqstest.New()
	keeper := lease.NewKeeper(lease.Config[int]{
		Timeout: 30 * time.Second, Renew: func(context.Context, []lease.Renewal[int]) []error { return nil }, Lost: func([]*lease.Lease[int], error) {},
	})
	var mu sync.Mutex
	var wrong int
	s := settle.New(settle.Config[int]{
		Queue: &queue.Queue{Client: server, URL: server.MustCreateQueue("q.fifo", map[string]string{"FifoQueue": "true"})}, Keeper: keeper, FIFO: true,
		Calls: 4, Rand: func() float64 { return 0 }, Go: func(call func()) { go call() },
		Done: func(results []settle.Result[int]) {
			mu.Lock()
			defer mu.Unlock()
			for _, r := range results {
				if r.End == settle.Lost && r.Handle == newer && r.Err == nil {
					wrong++
				}
			}
		},
	})
	over := time.Now().Add(-time.Hour)
	for range 10_000 {
		leases := make([]*lease.Lease[int], 10)
		for i := range leases {
			leases[i] = &lease.Lease[int]{}
			keeper.Add(over, over, lease.Receipt[int]{Lease: leases[i], Handle: old})
		}
		var adopting sync.WaitGroup
		adopting.Go(func() {
			for _, l := range leases {
				keeper.Adopt(l, newer, time.Now(), time.Now())
			}
		})
		s.Delete(0, leases...)
		adopting.Wait()
	}
	s.Close(t.Context())
	require.Zero(t, wrong, "receipts that are good and were said to be lost")
}

// late is a client whose first deletes come back just when they are given up.
type late struct {
	*sqstest.Server

	n atomic.Int64
}

func (c *late) DeleteMessageBatch(ctx context.Context, in *sqs.DeleteMessageBatchInput, optFns ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error) {
	if c.n.Add(1) <= 300 {
		time.Sleep(11 * time.Second) // its deadline, and a second more
		return nil, errors.New("too late")
	}
	return c.Server.DeleteMessageBatch(ctx, in, optFns...)
}

func TestADeleteThatComesBackJustWhenItIsGivenUpIsMadeAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n, lasts = 300, 600 * time.Second
		server := sqstest.New()
		url := server.MustCreateQueue("orders", nil)
		slowly := func(queue.Call) { // who gives a call up takes his time
			for range 200 {
				runtime.Gosched()
			}
		}
		keeper := lease.NewKeeper(lease.Config[int]{
			Timeout: lasts, Lost: func([]*lease.Lease[int], error) {},
			Renew: func(_ context.Context, renewals []lease.Renewal[int]) []error { return make([]error, len(renewals)) },
		})
		var ended atomic.Int64
		s := settle.New(settle.Config[int]{
			Queue:  &queue.Queue{Client: &late{Server: server}, URL: url, Visibility: lasts, Observe: slowly},
			Keeper: keeper, Calls: 46, Rand: func() float64 { return 0.5 }, Go: func(call func()) { go call() },
			Done: func(results []settle.Result[int]) { ended.Add(int64(len(results))) },
			Send: func(context.Context, int, error) error { return nil }, Buried: func(int) {}, Unburied: func(int, time.Duration, error) {},
		})
		for i := range n {
			l := &lease.Lease[int]{Of: i}
			keeper.Add(time.Now(), time.Now(), lease.Receipt[int]{Lease: l, Handle: fmt.Sprint("h", i)})
			s.Delete(0, l)
		}
		time.Sleep(10 * time.Minute)
		require.EqualValues(t, n, ended.Load(), "each has one end")
		s.Close(t.Context())
	})
}
