package sqstest

import "math/rand/v2"

// AnswerSize cuts answers: each receive gets at most as many messages as size returns for it, also where more are there.
// With 0 or less it is answered at once with nothing, whatever is there, also where it is a long poll. The service
// promises no more. nil means that nothing is cut.
//
// Each queue has a generator of its own, which comes from the [Seed]. size is called once for each receive, in the order
// in which they come to the queue, one at a time. It must not call the server. It may read the clock, for a distribution
// that changes.
func AnswerSize(size func(r *rand.Rand) int) Option { return func(s *Server) { s.answerSize = size } }

// Disorder lets up to n later messages of a standard queue go ahead of each message, as the [Seed] and the order of
// sending decide. A message that is visible again keeps its place. Where a queue lies on several [Servers], this is the
// order on each of them. 0 means the order of sending.
func Disorder(n int) Option { return func(s *Server) { s.disorder = max(0, n) } }

// What draws are for: each purpose has numbers of its own, so that one option does not change what another one draws.
const (
	forServer uint64 = iota + 1
	forChoice
	forAnswers
	forDisorder
	forLatency
)

// draw is the n-th number of a purpose in one queue, or of one operation.
func (s *Server) draw(purpose, of, n uint64) uint64 {
	return scramble(scramble(scramble(s.seed^purpose<<56)^of) ^ n)
}

// generator returns the random numbers of a purpose in one queue, or of one operation.
func (s *Server) generator(purpose, of uint64) *rand.Rand {
	return rand.New(rand.NewPCG(s.draw(purpose, of, 0), s.draw(purpose, of, 1))) // draws that replay, not secrets
}

// scramble is the finalizer of splitmix64: each bit of x changes half of the result's.
func scramble(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// scrambleText is scramble for a text.
func scrambleText(text string) (h uint64) {
	for i := range len(text) {
		h = scramble(h ^ uint64(text[i]))
	}
	return h
}

// newLine returns the line of an empty queue.
func (q *queue) newLine() line {
	if q.s.servers <= 1 {
		return q.newServerLine()
	}
	of := uint64(q.number)
	n := uint64(q.s.servers)
	server := func(m *message) int { return int(q.s.draw(forServer, of, m.number) % n) }
	if q.fifo {
		server = func(m *message) int { return int(q.s.draw(forServer, of, scrambleText(m.group)) % n) }
	}
	return newServerLines(q.s.servers, server, q.s.generator(forChoice, of), q.newServerLine)
}

// newServerLine returns the line of one server.
func (q *queue) newServerLine() line {
	if q.fifo {
		return newFIFO()
	}
	l := newStandard(&q.flights)
	if n := uint64(q.s.disorder); n > 0 {
		l.later = func(m *message) int64 { return int64(q.s.draw(forDisorder, uint64(q.number), m.number) % (n + 1)) }
	}
	return l
}

// cut returns how many messages a receive for n gets at most.
func (q *queue) cut(n int) int {
	if q.s.answerSize == nil {
		return n
	}
	if q.sizes == nil {
		q.sizes = q.s.generator(forAnswers, uint64(q.number))
	}
	return max(0, min(n, q.s.answerSize(q.sizes)))
}
