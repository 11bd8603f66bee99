package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// A progress shows how a business day goes. On a terminal it keeps one line, which is
// written over. Elsewhere it writes a line every few seconds, if something has changed.
// Its methods may be called concurrently.
type progress struct {
	terminal bool
	began    time.Time

	mu    sync.Mutex // guards the fields below
	out   io.Writer
	phase string // of the day
	last  string // line that was shown, without its time
}

func newProgress(out io.Writer, terminal bool) *progress {
	return &progress{out: out, terminal: terminal, began: time.Now()}
}

// isTerminal reports whether f is a terminal that can write over a line.
func isTerminal(f *os.File) bool {
	st, err := f.Stat()
	return err == nil && st.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"
}

// enterf begins a phase of the day and writes a line about it, which stays.
func (p *progress) enterf(phase, format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.phase = phase
	p.clear()
	printf(p.out, "%s\n", p.timed(fmt.Sprintf(format, args...)))
}

// Write writes lines of the log, which stay too.
func (p *progress) Write(lines []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	return p.out.Write(lines)
}

// watch shows what line returns until ctx is done.
func (p *progress) watch(ctx context.Context, line func() string) {
	for {
		select {
		case <-ctx.Done():
			p.mu.Lock()
			defer p.mu.Unlock()
			p.clear()
			return
		case <-time.After(p.pause()):
			p.show(line())
		}
	}
}

// pause returns how long it is until the next line: without a terminal 2 s at first,
// and up to a minute in a day that is long.
func (p *progress) pause() time.Duration {
	if p.terminal {
		return 100 * time.Millisecond
	}
	return min(time.Minute, max(2*time.Second, time.Since(p.began)/10))
}

// show writes a line over the one before or, without a terminal, below it.
func (p *progress) show(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.terminal:
		p.clear()
		printf(p.out, "%s", p.timed(line))
	case line != p.last:
		printf(p.out, "%s\n", p.timed(line))
	}
	p.last = line
}

// clear clears the line of the terminal.
func (p *progress) clear() {
	if p.terminal {
		printf(p.out, "\r\x1b[K")
	}
}

// timed puts the time and the phase before a line, and cuts it to the width of a
// terminal: a longer one could not be written over.
func (p *progress) timed(line string) string {
	return shorten(fmt.Sprintf("%6.2f s  %s: %s", time.Since(p.began).Seconds(), p.phase, line), screen-1)
}
