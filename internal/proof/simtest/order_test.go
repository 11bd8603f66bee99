package simtest

import (
	"time"

	"github.com/sluice-go/sluice"
)

// groupsStayInOrder is I5: per group of a FIFO queue, start order is queue order,
// one at a time, and no later message starts before an earlier one is settled. In
// one call the messages of a group stand in order, so a later one may start when
// those before it have succeeded, before they are deleted. Followers' receive
// counts do not rise because a head failed.
//
// Excepted is [sluice.GroupSkip], which gives the order up by its contract.
func groupsStayInOrder(s *studied) {
	if !s.fifo || s.options.OnGroupFailure == sluice.GroupSkip {
		return
	}
	g := &groupOrder{studied: s, index: map[string]*member{}, groups: map[string][]*member{}}
	for _, e := range s.events {
		g.see(e)
	}
	for inc, l := range s.lives {
		s.headsAreKept(inc, l)
	}
}

// A member is a message of a group.
type member struct {
	id, group string
	gone      bool            // deleted, or in the dead-letter queue
	by        map[int]handled // the latest handling by each life
}

// handled is one handling of a message.
type handled struct {
	call int
	good bool // it ended with success
}

// groupOrder follows the groups of a queue.
type groupOrder struct {
	*studied
	index  map[string]*member
	groups map[string][]*member // in the order of the queue
}

func (g *groupOrder) see(e event) {
	m := g.index[e.message]
	switch e.kind {
	case sent:
		m = &member{id: e.message, group: e.group, by: map[int]handled{}}
		g.index[m.id] = m
		g.groups[m.group] = append(g.groups[m.group], m)
	case gone:
		for _, m := range g.index {
			m.gone = true
		}
	case deleted, buried:
		if m != nil {
			m.gone = true
		}
	case ended:
		m.by[e.inc] = handled{e.call, e.verdict != failure}
	case began:
		g.begin(m, e)
	}
}

func (g *groupOrder) begin(m *member, e event) {
	whole := g.form == wholeBatch || g.form == decodedBatch
	for _, before := range g.groups[m.group] {
		if before == m {
			break
		}
		if before.gone || before.by[e.inc].call == e.call && (whole || before.by[e.inc].good) {
			continue
		}
		g.breachf(e.at, m.id, "life %d begins with a message of group %s before message %.8s, which is not settled", e.inc, m.group, before.id)
		break
	}
	m.by[e.inc] = handled{call: e.call}
}

// headsAreKept checks that a message which failed is tried again in place where
// that was asked for: with it those behind it would be received again.
func (s *studied) headsAreKept(inc int, l *lived) {
	if s.options.OnGroupFailure != sluice.GroupRetryInPlace || s.options.RetryDelay == nil || s.options.InPlaceTries < 2 || s.mode == drains || s.mode == counted {
		return
	}
	delay := s.options.RetryDelay(nil, nil)
	if delay >= s.options.InPlaceTime || delay > time.Hour {
		return
	}
	tried := map[string]bool{}
	var failedAt time.Duration
	failed := map[string]bool{} // for the first time in this life, at failedAt
	spent := map[string]bool{}  // groups in which, at failedAt, another message ended that had been tried before; it may have been the one that was given back, with those behind it
	for _, e := range l.events {
		switch {
		case e.kind == stopAsked, e.kind == cancelled, len(e.refused) > 0, e.kind == answered && e.err != nil && refuses(e.err.Error()):
			return // from here on there are other reasons to give back
		case e.kind == wentAway: // and with it its whole batch
			for _, h := range l.batches[e.call][0].handles {
				tried[s.of[h]] = true
			}
		case e.kind == ended:
			if e.at != failedAt {
				failedAt = e.at
				clear(failed)
				clear(spent)
			}
			if tried[e.message] {
				spent[s.groupOf(e.message)] = true
			}
			failed[e.message] = e.note == plain && !tried[e.message]
			tried[e.message] = true
		case e.kind == called && e.op == opChange && e.at <= failedAt+time.Millisecond:
			for i, h := range e.handles {
				if m := s.of[h]; failed[m] && !spent[s.groupOf(m)] && e.timeouts[i] != s.options.VisibilityTimeout {
					s.breachf(e.at, m, "life %d gives a message back at its first failure, want it tried again in place", inc)
				}
			}
		}
	}
}

// groupOf returns the group of a message.
func (s *studied) groupOf(message string) string { return s.byMessage[message][0].group }
