package simtest

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/internal/seam"
)

// live draws what happens to processes: stops, deploys, pauses, crashes.
func (p *plan) live(r *rand.Rand) {
	p.lives = make([][]turn, p.processes)
	for i := range p.lives {
		at := span(r, 0, 40*time.Second)
		for at < p.active {
			p.lives[i] = append(p.lives[i], turn{at: at, what: p.event(r), then: span(r, 0, 20*time.Second)})
			at += span(r, 5*time.Second, 2*p.active)
			if p.mood.hours {
				break // who is stopped handles nothing for hours
			}
		}
	}
}

// deployed is a stop with the next incarnation started before the old one has ended.
const deployed kind = "deploy"

func (p *plan) event(r *rand.Rand) kind {
	kinds := []kind{stopAsked, deployed, deployed}
	if !p.calm {
		if p.odds[crashes] > 0 {
			kinds = append(kinds, crashed, crashed, crashed)
		}
		if p.odds[pauses] > 0 {
			kinds = append(kinds, paused, paused)
		}
	}
	return oneOf(r, kinds...)
}

// A life is one incarnation of a process: a Consumer, from its start to its stop or
// its crash.
type life struct {
	*world
	inc      int
	wire     *wire
	consumer *sluice.Consumer
	stop     context.CancelFunc
	ended    chan struct{} // closed when Run has returned
	err      error         // of Run; read after ended
	told     told          // to its hooks
}

// told is what hooks were told. It is owned by their goroutine until the run ends.
type told struct {
	hooks             int // calls of any
	calls, errors     map[string]int64
	batches           map[sluice.Reason]int64
	failed, lostLease int64
}

// lifeStats are what a Consumer says of itself at its end.
type lifeStats struct {
	inc   int
	stats sluice.Stats
	told  *told // nil: its hooks are bad
}

// process is the actor of one process: it starts a life, lets the plan happen to
// it, and does what a supervisor does when it ends.
func (w *world) process(i int) {
	var lives sync.WaitGroup
	defer lives.Wait()
	r := w.dice.named("process").of(uint64(i)).rand()
	time.Sleep(w.demand.late + span(r, 0, 3*time.Second))
	l := w.start(&lives)
	for _, next := range w.lives[i] {
		l = w.await(l, &lives, r, next.at-time.Since(w.hist.began))
		if next.what == left {
			w.hist.add(event{kind: stopAsked, inc: l.inc, note: string(left)})
			l.stop()
			<-l.ended
			<-w.close
			return
		}
		l = w.happen(l, &lives, next)
	}
	for {
		select {
		case <-l.ended:
			l = w.restart(&lives, span(r, time.Second, 10*time.Second))
		case <-w.close:
			w.hist.add(event{kind: stopAsked, inc: l.inc})
			l.stop()
			<-l.ended
			return
		}
	}
}

// await lets time pass; a run that ends by itself meanwhile is started again.
func (w *world) await(l *life, lives *sync.WaitGroup, r *rand.Rand, d time.Duration) *life {
	until := time.Now().Add(d)
	for time.Until(until) > 0 {
		_ = sleepUnless(l.ended, time.Until(until))
		select {
		case <-l.ended:
			l = w.restart(lives, span(r, time.Second, 10*time.Second))
		default:
		}
	}
	return l
}

func (w *world) restart(lives *sync.WaitGroup, after time.Duration) *life {
	time.Sleep(after)
	return w.start(lives)
}

// happen lets the next thing of the plan happen to a life and returns the one that
// is live afterwards.
func (w *world) happen(l *life, lives *sync.WaitGroup, next turn) *life {
	switch next.what {
	case crashed:
		w.hist.count(crashes)
		w.hist.add(event{kind: crashed, inc: l.inc})
		l.wire.dead.Store(true)
		l.wire.cut()
		l.stop()
		time.Sleep(next.then + time.Microsecond)
		return w.start(lives)
	case paused:
		w.hist.count(pauses)
		w.hist.add(event{kind: paused, inc: l.inc})
		l.consumer.Pause()
		time.Sleep(next.then + time.Microsecond)
		w.hist.add(event{kind: resumed, inc: l.inc})
		l.consumer.Resume()
		return l
	case deployed:
		w.hist.add(event{kind: stopAsked, inc: l.inc})
		l.stop()
		time.Sleep(next.then/4 + time.Microsecond)
		return w.start(lives)
	default:
		w.hist.add(event{kind: stopAsked, inc: l.inc})
		l.consumer.Stop()
		<-l.ended
		time.Sleep(next.then + time.Microsecond)
		return w.start(lives)
	}
}

// start begins a life.
func (w *world) start(lives *sync.WaitGroup) *life {
	w.mu.Lock()
	w.born++
	l := &life{world: w, inc: w.born, ended: make(chan struct{})}
	w.mu.Unlock()
	l.wire = newWire(w, l.inc)
	c, err := sluice.New(l.wire.client(), w.url, l.settings())
	if err != nil {
		panic(err)
	}
	l.consumer = c
	ctx, stop := context.WithCancel(context.Background())
	l.stop = stop
	w.hist.add(event{kind: runBegan, inc: l.inc})
	lives.Go(func() { l.run(ctx) })
	time.Sleep(time.Microsecond) // the run is under way: Stop and Pause concern it
	return l
}

func (l *life) run(ctx context.Context) {
	defer close(l.ended)
	l.err = l.whole(ctx)
	l.stop()
	if l.wire.dead.Load() {
		return
	}
	l.hist.logError(l.err)
	l.hist.add(event{kind: runEnded, inc: l.inc, err: l.err})
	stats := l.consumer.Stats()
	l.world.mu.Lock()
	defer l.world.mu.Unlock()
	st := lifeStats{inc: l.inc, stats: stats}
	if l.odds[badHooks] == 0 {
		st.told = &l.told
	}
	l.stats = append(l.stats, st)
}

// whole is the run of a life, in the mode of its world.
func (l *life) whole(ctx context.Context) error {
	if l.mode == timed { // as if it had been stopped then
		timer := time.AfterFunc(l.options.MaxDuration, func() {
			l.write(event{kind: stopAsked, inc: l.inc, note: "its time is over"})
		})
		defer timer.Stop()
	}
	if l.mode == drains {
		return l.consumer.Drain(ctx, l.handler())
	}
	return l.consumer.Run(ctx, l.handler())
}

// settings are the plan's options with this life's logger, hooks and jitter.
func (l *life) settings() sluice.Options {
	o := l.options
	o.Logger = slog.New(logs{l.hist})
	if l.deadDrop {
		o.DeadLetterQueueURL = l.grave
	}
	o.Hooks = l.hooks()
	seam.Set(&o, seam.Seams{Rand: l.jitter()})
	return o
}

// jitter returns a source of jitter whose numbers belong to the instant at which
// they are drawn.
func (l *life) jitter() func() float64 {
	d := l.dice.named("jitter").of(uint64(l.inc))
	var mu sync.Mutex
	var last time.Duration
	var n uint64
	return func() float64 {
		now := time.Since(l.hist.began)
		mu.Lock()
		defer mu.Unlock()
		if now != last {
			last, n = now, 0
		}
		n++
		return d.of(uint64(now), n).float()
	}
}

// hooks count what they are told, and keep the errors; where hooks are bad they do
// worse. The handlers of the simulation put nothing secret into theirs.
func (l *life) hooks() sluice.Hooks {
	if l.odds[badHooks] > 0 {
		return sluice.Hooks{Call: func(sluice.CallEvent) { l.hook() }, Batch: func(sluice.BatchEvent) { l.hook() }}
	}
	t := &l.told
	t.calls, t.errors, t.batches = map[string]int64{}, map[string]int64{}, map[sluice.Reason]int64{}
	return sluice.Hooks{
		Call: func(e sluice.CallEvent) {
			t.calls[e.Operation]++
			if e.Err != nil {
				t.errors[e.Operation]++
			}
			l.hist.logError(e.Err)
		},
		Batch: func(e sluice.BatchEvent) {
			t.batches[e.Reason]++
			t.failed += int64(e.Failed)
			l.hist.logError(e.Err)
		},
		LeaseLost: func(e sluice.LeaseEvent) {
			t.lostLease++
			l.hist.logError(e.Err)
		},
		Health: func(h sluice.Health) { l.hist.logError(h.Err) },
	}
}

// hook is what the hooks of a world with bad hooks do.
func (l *life) hook() {
	l.told.hooks++
	if l.healed() || l.wire.dead.Load() {
		return
	}
	d := l.dice.named("hook").of(uint64(l.inc), uint64(l.told.hooks))
	if !d.under(l.odds[badHooks]) {
		return
	}
	l.hist.count(badHooks)
	switch p := d.of(1).float(); {
	case p < 0.4:
		panic("the hook panics")
	case p < 0.8:
		_ = sleepUnless(l.heal, d.of(2).between(0, 30*time.Second))
	default:
		l.consumer.Stats()
		l.consumer.Health()
	}
}

// logs is a log handler that keeps the lines for the checker.
type logs struct{ h *history }

func (logs) Enabled(context.Context, slog.Level) bool { return true }
func (l logs) WithAttrs([]slog.Attr) slog.Handler     { return l }
func (l logs) WithGroup(string) slog.Handler          { return l }

func (l logs) Handle(_ context.Context, r slog.Record) error {
	line := r.Message
	r.Attrs(func(a slog.Attr) bool {
		line += " " + a.Key + "=" + a.Value.String()
		return true
	})
	l.h.log(line)
	return nil
}

var errInWorld = errors.New("the handler fails on purpose")
