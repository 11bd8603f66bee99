package sqstest

// fifo is a FIFO queue's line: per group the undeleted messages in sequence order, and a rotation of the groups that
// have something to give.
//
// What a group gives is the longest prefix of its messages that are all visible; the first hidden one holds back
// everything behind it, and nothing before it.
type fifo struct {
	groups map[string]*group
	head   *group // of the rotation: the groups whose first message is visible
	tail   *group
}

type group struct {
	name        string
	first, last *message // undeleted, by sequence

	inRotation bool
	prev, next *group
}

func newFIFO() *fifo { return &fifo{groups: map[string]*group{}} }

func (l *fifo) join(m *message) {
	g := l.groups[m.group]
	if g == nil {
		g = &group{name: m.group}
		l.groups[m.group] = g
	}
	m.before = g.last
	if g.last == nil {
		g.first = m
	} else {
		g.last.behind = m
	}
	g.last = m
	l.turn(g)
}

func (l *fifo) leave(m *message) {
	g := l.groups[m.group]
	if m.before == nil {
		g.first = m.behind
	} else {
		m.before.behind = m.behind
	}
	if m.behind == nil {
		g.last = m.before
	} else {
		m.behind.before = m.before
	}
	m.before, m.behind = nil, nil
	l.turn(g)
	if g.first == nil {
		delete(l.groups, m.group)
	}
}

func (l *fifo) show(m *message) { l.turn(l.groups[m.group]) }

func (l *fifo) hide(m *message) {
	if g := l.groups[m.group]; g.first == m {
		l.drop(g)
	}
}

func (l *fifo) flying(*message, int) {}

func (l *fifo) hasAny() bool { return l.head != nil }

// turn puts g at the back of the rotation if it has something to give and is not there yet, and takes it out if
// it has nothing.
func (l *fifo) turn(g *group) {
	if g.first == nil || g.first.state != visible {
		l.drop(g)
		return
	}
	if g.inRotation {
		return
	}
	g.inRotation = true
	g.prev = l.tail
	if l.tail == nil {
		l.head = g
	} else {
		l.tail.next = g
	}
	l.tail = g
}

func (l *fifo) drop(g *group) {
	if !g.inRotation {
		return
	}
	g.inRotation = false
	if g.prev == nil {
		l.head = g.next
	} else {
		g.prev.next = g.next
	}
	if g.next == nil {
		l.tail = g.prev
	} else {
		g.next.prev = g.prev
	}
	g.prev, g.next = nil, nil
}

// deliverable takes as many as it can of one group before it goes to the next.
func (l *fifo) deliverable(yield func(*message) bool) {
	for l.head != nil {
		for m := l.head.first; m != nil && m.state == visible; {
			behind := m.behind // yield may take m out of the group
			if !yield(m) {
				return
			}
			m = behind
		}
	}
}
