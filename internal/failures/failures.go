// Package failures keeps the newest failures of a consumer, for those who look at it later.
package failures

import (
	"slices"
	"sync"
	"time"
)

const (
	most    = 8                      // failures that are kept of one operation
	spacing = 100 * time.Millisecond // between two failures of an operation that are looked at
)

// A Failure is one or more failures of an operation with the same text.
type Failure struct {
	Operation   string
	Text        string
	MessageID   string    // of the newest; "": it concerns no single message
	Count       int64     // how many there were
	First, Last time.Time // when
}

// A Log keeps the newest failures of each operation. All methods may be called
// concurrently. The zero value has none.
type Log struct {
	mu  sync.Mutex // guards the field below; never held while calling out
	ops map[string]*operation
}

// An operation has the newest failures of one operation.
type operation struct {
	failures []Failure // the newest first
	again    time.Time // when the next one is looked at
	skipped  int64     // since one was looked at
}

// Take counts n failures of an operation. It reports whether the caller is to [Log.Add]
// them. To read the text of an error takes time, and thousands may fail each second. So
// some are only counted, and counted as failures like the one before them.
func (l *Log) Take(op string, n int, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	o := l.operation(op)
	if now.Before(o.again) {
		o.skipped += int64(n)
		return false
	}
	o.settle()
	o.again = now.Add(spacing)
	return true
}

// Add adds f, with those that are like it.
func (l *Log) Add(f Failure) {
	l.mu.Lock()
	defer l.mu.Unlock()
	o := l.operation(f.Operation)
	like := func(known Failure) bool { return known.Text == f.Text }
	if i := slices.IndexFunc(o.failures, like); i >= 0 {
		f.Count += o.failures[i].Count
		f.First = o.failures[i].First
		o.failures = slices.Delete(o.failures, i, i+1)
	}
	o.failures = slices.Insert(o.failures, 0, f)
	o.failures = o.failures[:min(len(o.failures), most)]
}

// All returns the failures that are kept, the newest first. The slice belongs to the
// caller.
func (l *Log) All() []Failure {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []Failure
	for _, o := range l.ops {
		o.settle()
		all = append(all, o.failures...)
	}
	slices.SortFunc(all, func(a, b Failure) int { return b.Last.Compare(a.Last) })
	return all
}

func (l *Log) operation(op string) *operation {
	if l.ops == nil {
		l.ops = map[string]*operation{}
	}
	if l.ops[op] == nil {
		l.ops[op] = &operation{}
	}
	return l.ops[op]
}

// settle counts those that were skipped as failures like the newest one.
func (o *operation) settle() {
	if len(o.failures) > 0 {
		o.failures[0].Count += o.skipped
		o.skipped = 0
	}
}
