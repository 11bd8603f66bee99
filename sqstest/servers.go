package sqstest

import (
	"math"
	"math/rand/v2"
)

// Servers lets each queue lie on n servers. The service spreads a queue like that. n of 0 or 1 means one server, which
// answers with all that is there; more than 65,535 means 65,535.
//
// A message of a standard queue lies on a random server. A short poll asks one random server: its answer may be empty
// although others have messages. A long poll asks all of them, and is answered at once from a random one that has any,
// or waits until one has. No answer mixes the messages of two servers. Each server has its oldest message first, and
// judges by itself which tenants of a fair queue are noisy.
//
// A message group of a FIFO queue lies on one server as a whole, so its order is kept.
//
// The same [Seed] puts the same message, by the order of sending, and the same group on the same server, and answers the
// same receives, by their order, from the same servers.
func Servers(n int) Option { return func(s *Server) { s.servers = min(n, math.MaxUint16) } }

// serverLines is the line of a queue that lies on several servers: a line for each of them.
type serverLines struct {
	servers []oneServer
	filled  []int // the servers that have something to give, in no order
	of      func(*message) int
	choose  *rand.Rand
}

// oneServer is one of them.
type oneServer struct {
	line

	filled int // index in serverLines.filled, from 1; 0: not there
}

// newServerLines returns a line on n servers. of returns the server of a message.
func newServerLines(n int, of func(*message) int, choose *rand.Rand, each func() line) *serverLines {
	l := &serverLines{servers: make([]oneServer, n), of: of, choose: choose}
	for i := range l.servers {
		l.servers[i].line = each()
	}
	return l
}

func (l *serverLines) join(m *message) {
	m.server = uint16(l.of(m))
	l.on(m).join(m)
	l.update(m)
}

func (l *serverLines) leave(m *message) {
	l.on(m).leave(m)
	l.update(m)
}

func (l *serverLines) show(m *message) {
	l.on(m).show(m)
	l.update(m)
}

func (l *serverLines) hide(m *message) {
	l.on(m).hide(m)
	l.update(m)
}

func (l *serverLines) flying(m *message, by int) { l.on(m).flying(m, by) }

func (l *serverLines) hasAny() bool { return len(l.filled) > 0 }

// deliverable goes from server to server. A receive asks [serverLines.answering] instead.
func (l *serverLines) deliverable(yield func(*message) bool) {
	for len(l.filled) > 0 {
		for m := range l.servers[l.filled[0]].deliverable {
			if !yield(m) {
				return
			}
		}
	}
}

// answering returns the server that answers a receive: for a short poll any of them, for a long one any that has
// something. nil: none has.
func (l *serverLines) answering(short bool) line {
	switch {
	case short:
		return l.servers[l.choose.IntN(len(l.servers))].line
	case len(l.filled) == 0:
		return nil
	default:
		return l.servers[l.filled[l.choose.IntN(len(l.filled))]].line
	}
}

func (l *serverLines) on(m *message) line { return l.servers[m.server].line }

// update notes whether the server of m has something to give.
func (l *serverLines) update(m *message) {
	s := &l.servers[m.server]
	switch has := s.hasAny(); {
	case has && s.filled == 0:
		l.filled = append(l.filled, int(m.server))
		s.filled = len(l.filled)
	case !has && s.filled > 0:
		last := l.filled[len(l.filled)-1]
		l.filled[s.filled-1] = last
		l.servers[last].filled = s.filled
		l.filled = l.filled[:len(l.filled)-1]
		s.filled = 0
	}
}
