package chaos

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"time"
)

// A link is a connection through the proxy. One goroutine passes requests, one
// answers. HTTP/1.1 without pipelining, which is what clients speak, has one
// exchange at a time.
type link struct {
	p              *Proxy
	number         uint64 // in the order of arrival, from 1
	client, server net.Conn
	rand           *rand.Rand // owned by the goroutine that passes answers
	over           chan struct{}

	mu      sync.Mutex // guards the fields below
	asked   *Exchange  // its answer has not arrived; nil: there is none
	stalled bool
	ended   bool
}

func (l *link) run() {
	var both sync.WaitGroup
	both.Go(func() {
		defer l.end(false) // a client that has gone away ends its long poll at the server
		l.passRequests()
	})
	both.Go(func() {
		defer l.end(false)
		l.passAnswers()
	})
	both.Wait()
}

// end closes both sides, hard with a reset, which throws away what is under way. It
// reports whether it was this call that did so, and which exchange had no answer yet.
func (l *link) end(hard bool) (first bool, asked *Exchange) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return false, nil
	}
	l.ended = true
	close(l.over)
	for _, side := range []net.Conn{l.client, l.server} {
		if tcp, ok := side.(*net.TCPConn); ok && hard {
			_ = tcp.SetLinger(0)
		}
		_ = side.Close()
	}
	return true, l.asked
}

// reset is the fault: the connection is gone for both sides, in the middle of
// whatever they were at. A stalled one is spared: with a wave every second no stall
// would last longer.
func (l *link) reset() {
	if l.isStalled() {
		return
	}
	first, asked := l.end(true)
	if !first {
		return
	}
	l.p.resets.Add(1)
	if asked != nil {
		l.lose(asked)
	}
}

func (l *link) lose(e *Exchange) {
	l.p.lost.Add(1)
	l.p.harmed(Lost, *e)
}

func (l *link) passRequests() {
	from := bufio.NewReader(l.client)
	for {
		m, err := read(from)
		if err != nil {
			return
		}
		l.p.exchanges.Add(1)
		e := &Exchange{Operation: m.target, Request: m.body}
		if !l.ask(e) {
			l.lose(e)
			return
		}
		if _, err := l.server.Write(m.whole()); err != nil {
			return
		}
	}
}

// ask notes that an answer is due. It returns false if the link has ended.
func (l *link) ask(e *Exchange) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked = e
	return !l.ended
}

func (l *link) passAnswers() {
	from := bufio.NewReader(l.server)
	for {
		m, err := read(from)
		if err != nil || !l.answer(m) {
			return
		}
	}
}

// answer passes one answer on, or as much of it as the dice allow. It returns
// whether there may be another one.
func (l *link) answer(m *message) bool {
	e := l.answered(m.body) // it counts as under way until its answer has been passed on
	whole := m.whole()
	half := len(whole) - len(m.body)/2
	faults := &l.p.faults
	switch roll := l.rand.Float64(); {
	case roll < faults.Cut:
		l.p.cuts.Add(1)
		l.p.harmed(Cut, *e)
		_, _ = l.client.Write(whole[:half])
		return false
	case roll < faults.Cut+faults.Stall/2:
		return l.stall(e, nil, whole)
	case roll < faults.Cut+faults.Stall:
		return l.stall(e, whole[:half], whole[half:])
	default:
		return l.pass(e, whole)
	}
}

// answered completes the exchange under way.
func (l *link) answered(body []byte) *Exchange {
	l.mu.Lock()
	defer l.mu.Unlock()
	whole := Exchange{Answer: body}
	if l.asked != nil { // else an answer to nothing, such as that of a server that gives up on an idle client
		whole.Operation, whole.Request = l.asked.Operation, l.asked.Request
	}
	l.asked = &whole
	return &whole
}

// pass passes the end of the answer of e on. The next request may come before
// Write returns.
func (l *link) pass(e *Exchange, b []byte) bool {
	if _, err := l.client.Write(b); err != nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.asked == e {
		l.asked = nil
	}
	return true
}

// stall lets nothing pass between two parts of an answer, for a while.
func (l *link) stall(e *Exchange, before, after []byte) bool {
	l.p.stalls.Add(1)
	l.p.harmed(Stalled, *e)
	if _, err := l.client.Write(before); err != nil {
		return false
	}
	l.setStalled(true)
	defer l.setStalled(false)
	pause := time.NewTimer(l.p.faults.StallFor.pick(l.rand))
	defer pause.Stop()
	select {
	case <-pause.C:
		return l.pass(e, after)
	case <-l.over:
		return false
	}
}

func (l *link) setStalled(on bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stalled = on
}

func (l *link) isStalled() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stalled
}

// A message is a request or an answer.
type message struct {
	head   []byte // with the empty line
	body   []byte
	target string // X-Amz-Target
}

func (m *message) whole() []byte { return append(bytes.Clone(m.head), m.body...) }

// read reads one message with the length of its body in its head, as clients and
// the embedded queue write them.
func read(from *bufio.Reader) (*message, error) {
	m := &message{}
	length := 0
	for {
		line, err := from.ReadBytes('\n')
		if err != nil {
			return nil, err
		}
		m.head = append(m.head, line...)
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case len(bytes.TrimSpace(line)) == 0:
			m.body = make([]byte, length)
			_, err := io.ReadFull(from, m.body)
			return m, err
		case bytes.EqualFold(name, []byte("Content-Length")):
			if length, err = strconv.Atoi(string(value)); err != nil || length < 0 {
				return nil, fmt.Errorf("the length of a body is %q", value)
			}
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			return nil, fmt.Errorf("a body comes with the transfer encoding %s, want one with a length", value)
		case bytes.EqualFold(name, []byte("X-Amz-Target")):
			m.target = string(value)
		}
	}
}
