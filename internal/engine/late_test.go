package engine

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/elapsed"
	"github.com/sluice-go/sluice/internal/lease"
	"github.com/sluice-go/sluice/internal/serial"
)

// An inbox keeps what its loop is told.
type inbox struct {
	looper

	events []event
}

func (i *inbox) Leave(e event) { i.events = append(i.events, e) }

func (i *inbox) Tell(e event, _ *serial.Pool) serial.Work {
	i.Leave(e)
	return nil
}

var errLate = errors.New("late")

// A tardy transport says that its calls are late, or not, and then returns or ends the goroutine.
type tardy struct {
	Transport

	late, exits bool
}

func (y tardy) end(n int, late LateBatch) (errs []error, inTime bool) {
	errs = make([]error, n)
	if y.late {
		for i := range errs {
			errs[i] = errLate
		}
		late.Overdue(errs)
	}
	if y.exits {
		runtime.Goexit()
	}
	return errs, !y.late
}

func (y tardy) Delete(_ context.Context, handles []string, late LateBatch) (errs []error, inTime bool) {
	return y.end(len(handles), late)
}

func (y tardy) Release(_ context.Context, c Change) (errs []error, inTime bool) {
	return y.end(len(c.Handles), c.Late)
}

func TestTheEndOfACallIsToldOnce(t *testing.T) {
	for name, c := range map[string]struct {
		by   tardy
		want error // of each entry
	}{
		"it returns":                    {tardy{}, nil},
		"it is late, and then returns":  {tardy{late: true}, errLate},
		"it exits":                      {tardy{exits: true}, errNoAnswer},
		"it is late, and then it exits": {tardy{late: true, exits: true}, errLate},
	} {
		for kind, work := range map[string]func(e *Engine) serial.Work{
			"a delete":  func(e *Engine) serial.Work { return settleOf(e, deleting) },
			"a release": func(e *Engine) serial.Work { return settleOf(e, releasing) },
			"a renewal": func(e *Engine) serial.Work {
				l := newLeases(e)
				m := &Message{Delivery: Delivery{Handle: "handle"}}
				return l.prepare(&lease.Call[*Message]{Entries: []lease.Renewal[*Message]{{Lease: &lease.Lease[*Message]{Of: m}}}})
			},
		} {
			t.Run(kind+" when "+name, func(t *testing.T) {
				in := &inbox{}
				e := &Engine{Config: Config{Settings: Settings{Visibility: 30 * time.Second}, Transport: c.by, Clock: elapsed.New(nil)}, loop: in}
				w := work(e)
				var pool sync.WaitGroup
				pool.Go(func() { w.Do() })
				pool.Wait()
				require.Len(t, in.events, 1)
				var errs []error
				switch told := in.events[0].(type) {
				case *settleCall:
					errs = told.errs
					require.Equal(t, c.by != tardy{}, told != w, "the client may use the memory of a call that it has not returned from")
				case *renewed:
					errs = told.errs
					require.Equal(t, c.by != tardy{}, told != w, "the client may use the memory of a call that it has not returned from")
					require.Len(t, told.call.Entries, 1)
					if c.want == errNoAnswer { //nolint:errorlint // it is that one, or none
						require.Empty(t, errs, "what is missing counts as failed")
						return
					}
				}
				require.Equal(t, []error{c.want}, errs)
			})
		}
	}
}

// settleOf returns a call of a kind about one message.
func settleOf(e *Engine, kind stage) *settleCall {
	s := newSettling(e)
	c := s.blank(kind)
	c.n, c.before, c.handles[0] = 1, lease.Never, "handle"
	return c
}
