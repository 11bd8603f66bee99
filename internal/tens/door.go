package tens

import (
	"sync"
	"time"
)

// A door is where news are left for whoever sees to them: one at a time does, and
// the others, who would have to wait, need not. The zero value is an open door.
type door[T any] struct {
	mu       sync.Mutex // guards the fields below; held for a moment only
	news     news[T]
	spare    news[T] // what was taken last, for its memory
	attended bool    // somebody sees to the news
	shut     bool
}

// news is what has been left since the last time.
type news[T any] struct {
	arrivals []arrival[T]
	ends     []ending[T]
	flush    bool
}

// An arrival is what one Add brings.
type arrival[T any] struct {
	first  item[T]
	rest   []item[T]
	urgent bool // lingers not at all
}

// An ending is a call that is back, and what has to be tried again of it.
type ending[T any] struct {
	call  *call[T]
	again []retry[T]
}

// clear lets go of what the news refer to.
func (n *news[T]) clear() {
	clear(n.arrivals)
	clear(n.ends)
}

func (n *news[T]) none() bool { return len(n.arrivals) == 0 && len(n.ends) == 0 && !n.flush }

// arrive leaves entries, unless the door is shut. yours tells whether the caller has to
// see to them now, with take: nobody else does.
func (d *door[T]) arrive(end time.Duration, urgent bool, entries []T) (yours, ok bool) {
	a := arrival[T]{first: item[T]{entry: entries[0], end: end}, urgent: urgent}
	if len(entries) > 1 {
		a.rest = make([]item[T], len(entries)-1)
		for i, e := range entries[1:] {
			a.rest[i] = item[T]{entry: e, end: end}
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.shut {
		return false, false
	}
	d.news.arrivals = append(d.news.arrivals, a)
	return d.claim(), true
}

// end leaves a call that is back.
func (d *door[T]) end(c *call[T], again []retry[T]) (yours bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.shut {
		return false // the call was given up, and its entries given back
	}
	d.news.ends = append(d.news.ends, ending[T]{c, again})
	return d.claim()
}

// flush leaves word that nothing is to linger.
func (d *door[T]) flush() (yours bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.news.flush = !d.shut
	return d.claim()
}

func (d *door[T]) claim() (yours bool) {
	yours = !d.attended
	d.attended = true
	return yours
}

// take returns what has been left, for the one who sees to it. It is his until the next
// take, and he clears it before. When it returns nothing he has ceased to see to it.
func (d *door[T]) take() news[T] {
	d.mu.Lock()
	defer d.mu.Unlock()
	taken := d.news
	d.attended = !taken.none()
	d.news = news[T]{arrivals: d.spare.arrivals[:0], ends: d.spare.ends[:0]}
	d.spare = taken
	return taken
}

// isShut tells whether nothing is taken any more.
func (d *door[T]) isShut() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.shut
}

// close shuts the door if nothing has been left.
func (d *door[T]) close() (closed bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.shut = d.shut || d.news.none()
	return d.shut
}

// closeNow shuts the door and returns what was left.
func (d *door[T]) closeNow() news[T] {
	d.mu.Lock()
	defer d.mu.Unlock()
	left := d.news
	d.news, d.spare, d.shut = news[T]{}, news[T]{}, true
	return left
}
