package engine

import (
	"log/slog"
	"time"
)

// A phase is how far the end of a run has come. It only grows.
type phase int

const (
	open        phase = iota
	closing           // nothing is received any more: the run has had all that it was to have
	stopping          // the same, because somebody asked for it
	interrupted       // handlers are waited for no longer: their contexts have ended, and what has not begun is released
	leaving           // nothing lingers any more: soon calls are waited for no longer
	cutting           // calls to SQS are waited for no longer
	left              // the run is over, whatever is in hand
)

// budget is when each phase begins, counted from the end of Settings.ShutdownTimeout, which
// begins with closing or stopping. So handlers have 2 s to notice the end of their context, and
// what they leave has the rest to be settled. Run waits for goroutines until leftover, and
// returns 3 s after that timeout at the latest.
var budget = [...]struct {
	phase phase
	after time.Duration
}{
	{interrupted, 0},
	{leaving, 2 * time.Second},
	{cutting, 2400 * time.Millisecond},
	{left, 2500 * time.Millisecond},
}

const leftover = 2700 * time.Millisecond

// A stopper ends a run. The loop owns it.
type stopper struct {
	e     *Engine
	phase phase
	limit time.Time // of the run, by Settings.MaxDuration; zero: none
	since time.Time // when receiving ended; zero: it has not
	asked bool      // for a stop, or the run fails
	cut   bool      // receives are waited for no longer
	until time.Time // when Run is to return at the latest; set when the loop has ended
	over  bool      // handlers were interrupted before all was settled
	fatal error     // why the run ends by itself; nil: it does not

	report Unfinished
}

// An Unfinished is what became of messages after a run was to end, if it left something.
type Unfinished struct {
	Finished  int // messages settled by their handlers' results
	Released  int // messages made visible again because nothing, or too little, was done about them
	Abandoned int // messages left to the end of their visibility timeout
	Stuck     int // handler calls that have not returned although their context had ended
}

// begun reports whether the run is ending: it receives nothing more.
func (s *stopper) begun() bool { return s.phase >= closing }

// interrupting reports whether handlers are waited for no longer.
func (s *stopper) interrupting() bool { return s.phase >= interrupted }

// command does what the user wants.
func (s *stopper) command(c command, now time.Time) {
	if c == endRun {
		s.ask(now)
	}
}

// ask begins to end the run: nothing more is received, what is held is finished.
func (s *stopper) ask(now time.Time) {
	s.asked = true
	s.begin(stopping, now)
}

// close ends receiving, since the run has had all that it was to have.
func (s *stopper) close(now time.Time) { s.begin(closing, now) }

func (s *stopper) begin(p phase, now time.Time) {
	if s.begun() {
		s.phase = max(s.phase, p) // the time of before counts
		return
	}
	s.phase, s.since = p, now
	s.e.Told.Log(slog.LevelInfo, "the run is stopping", "messages", len(s.e.hand.messages), "handlers", s.e.calls.n, "receives", s.e.receives.out, "at_most", s.e.ShutdownTimeout)
	s.e.settle.flush() // what lingers would hold the stop up
	s.e.order.closing(now)
}

// advance goes on to the phases whose time has come.
func (s *stopper) advance(now time.Time) {
	if !s.limit.IsZero() && !now.Before(s.limit) {
		s.ask(now)
	}
	if !s.begun() {
		s.e.loop.WakeAt(s.limit)
		return
	}
	passed := s.e.Clock.Between(s.since, now)
	for _, b := range budget {
		if s.phase < b.phase && passed >= s.e.ShutdownTimeout+b.after {
			s.enter(b.phase, now)
		}
	}
	s.cutReceives(passed, now)
	s.wake(passed, now)
}

// ended reports whether the run is over: all is settled, or its time is over.
func (s *stopper) ended() bool {
	if s.begun() && s.e.receives.out == 0 && s.e.calls.n == 0 && len(s.e.hand.messages) == 0 {
		s.phase = left
	}
	return s.phase == left
}

// wake lets there be a turn when the next phase begins, and each second: a timer does not go on
// while the machine sleeps.
func (s *stopper) wake(passed time.Duration, now time.Time) {
	for _, b := range budget {
		if s.phase < b.phase {
			s.e.loop.WakeAt(now.Add(min(watch, s.e.ShutdownTimeout+b.after-passed)))
			return
		}
	}
}

// enter begins a phase.
func (s *stopper) enter(p phase, now time.Time) {
	s.phase = p
	switch p {
	case interrupted:
		s.over = true
		s.e.settle.releases.Widen(s.calls())
		s.e.calls.interrupt(now)
		s.e.settle.releaseAll(s.e.order.leave(), now)
	case leaving:
		s.e.settle.flush()
	case cutting:
		s.e.cutCalls()
	default:
	}
}

// calls is how many calls at once release all that is held in the time that is left, with half
// as many more to spare.
func (s *stopper) calls() int {
	const (
		most  = 512 // beyond it a call waits for the others more than it helps them
		spare = 1.5
	)
	calls := float64(len(s.e.hand.messages)) / maxEntries
	latency := max(unseen, s.e.report.latency) // many at once take longer
	return int(min(most, spare*calls*float64(latency)/float64(budget[1].after)))
}

// cutReceives ends the patience with receives that are out. The shortest poll may last longer
// than a very short shutdown timeout. What it brings would stay hidden if it were cut.
func (s *stopper) cutReceives(passed time.Duration, now time.Time) {
	const shortestPoll = 1500 * time.Millisecond // of one second, and its answer
	if s.cut || !s.interrupting() {
		return
	}
	if at := max(s.e.ShutdownTimeout, shortestPoll); passed < at {
		s.e.loop.WakeAt(now.Add(at - passed))
		return
	}
	s.cut = true
	s.e.receives.cut()
}

// note notes how a message ended after receiving had ended.
func (s *stopper) note(m *Message, end End) {
	switch {
	case m.marks.returned && end == Released:
		s.report.Released++
	case end == Deleted || end == Released:
		s.report.Finished++
	case m.marks.gone, !s.asked && !s.interrupting(): // not hidden any more, or not there: nothing was left; or nobody has asked for a stop
	default:
		s.report.Abandoned++
	}
}

// result returns what the run has left. nil: nothing. The loop has ended.
func (s *stopper) result() *Unfinished {
	const least, most = 200 * time.Millisecond, time.Second // to wait for goroutines that are at their end
	now := time.Now()
	s.until = now.Add(max(least, min(most, s.since.Add(s.e.ShutdownTimeout+leftover).Sub(now))))
	left := len(s.e.hand.messages)
	for _, m := range s.e.hand.messages {
		s.e.Counters.Duplicates.Add(int64(m.twice)) // its end will not tell any more
	}
	if left+s.report.Abandoned == 0 && (!s.over || s.report.Released+s.e.calls.n == 0) {
		return nil
	}
	s.e.calls.tellLeft(now)
	report := s.report
	report.Abandoned += left
	report.Stuck = s.e.calls.n
	return &report
}

// Until returns when those who wait for the end of a run that has ended give up. The user's
// hooks may block.
func (e *Engine) Until() time.Time { return e.stop.until }

// wait waits for all goroutines of the run, except for handlers that ignore the end of their
// context.
func (s *stopper) wait() {
	e := s.e
	e.callers.Close()
	e.handlers.Close()
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		e.probes.Wait()
		e.callers.Wait()
		if e.calls.n == 0 {
			e.handlers.Wait()
		}
	}()
	patience := time.NewTimer(time.Until(s.until))
	defer patience.Stop()
	select {
	case <-gone:
	case <-patience.C:
	}
}
