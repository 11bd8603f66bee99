package simtest

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// loadsAreFollowed is I15: no free handler beside a waiting message. In a calm world a
// message is not left in the queue, while a life has a slot free for it, for longer than
// two round trips and what is granted besides; see [keeping.granted]. Only as many as bad
// luck explains may be. And in every world there are never a thousand messages for a
// minute beside handlers that have nothing to do; see [keeping.watches].
func loadsAreFollowed(s *studied) {
	locked := s.fifo && s.options.BatchSize > 1 && !s.nature.plain() // few of a group come with an answer, and lock it until their batch is full
	timely := s.calm && s.bulk == 0 && s.mode != counted && !locked  // else a bound holds receives back
	if s.mood.hours || !timely && s.messages <= many {
		return
	}
	k := &keeping{studied: s, stays: s.stays()}
	for _, l := range s.lives {
		k.lives = append(k.lives, s.capacityOf(l))
	}
	k.visible = visible(k.stays)
	k.watches()
	if timely {
		k.takesInTime()
	}
}

// keeping asks how a world has kept up with its load.
type keeping struct {
	*studied

	stays   []stay
	visible []step // messages that could be received
	lives   []*capacity
}

// takesInTime checks how long messages were left beside free slots. A tenth of them may be
// left for longer than is granted, and one in a hundred for longer than three times that:
// some lie on a server that is not asked, and how many receives are needed has to be found
// out while the latency and the size of answers vary. Where messages are few, twenty may be:
// two answers bring so many. There a fifth more is granted, since one burst can be
// nearly all of them. How many are late in all worlds together is what [coverage.timely]
// checks.
func (k *keeping) takesInTime() {
	var worst stay
	const few = 300
	leeway := 1.0
	if k.messages < few {
		leeway = 1.2
	}
	late, lost, most := 0, 0, 0.0
	for _, m := range k.stays {
		over := float64(k.left(m)) / float64(k.granted(m))
		if over > 1 {
			k.late++
		}
		if over > leeway {
			late++
		}
		if over > 3 {
			lost++
		}
		if over > most {
			worst, most = m, over
		}
	}
	k.asked = k.messages
	if late > max(20, k.messages/10) || lost > max(2, k.messages/100) {
		k.breachf(worst.to, worst.message, "%d of %d messages are left in the queue beside a free slot for too long, %d of them for three times as long; this one for %v from %v on, want at most %v",
			late, k.messages, lost, k.left(worst), worst.from, k.granted(worst))
	}
}

// left is for how long a message was in the queue while a life could have taken it.
func (k *keeping) left(m stay) (hungry time.Duration) {
	for _, l := range k.lives {
		if share(l.free, k.options.Concurrency, m.from, m.to) >= mostlyBusy {
			hungry = max(hungry, overlap(l.hungry, m.from, m.to))
		}
	}
	return hungry
}

// mostlyBusy is the share of free slots below which it is handlers that are too few. A
// slot that has come free waits for others, see granted, and each message of a backlog
// sees many of them come free.
const mostlyBusy = 0.2

// granted is how long a message may be left in the queue although a slot is free for it.
// That is what expected says, and twice that in batches: how long receives are held back is
// a guess at what comes meanwhile, and one wrong guess delays all of a burst.
func (k *keeping) granted(m stay) time.Duration {
	if k.options.BatchSize > 1 {
		return 2 * k.expected(m)
	}
	return k.expected(m)
}

// expected is how long a message may be left in the queue where all guesses are right:
//
//   - Two slow round trips: one for an answer that has missed it, one for the next.
//   - A round trip for each doubling of the receives until they can bring all that is there,
//     by what answers do bring. A burst costs so much; a pool that is there already would
//     cost a connection and a call for each receive of it.
//   - In batches half of the wait time and at most 5 s, as Options.WaitTime says.
//   - A round trip for each of two empty answers by chance, as they say that there is nothing.
func (k *keeping) expected(m stay) time.Duration {
	trip := k.roundTrip()
	there := most(k.visible, m.from, m.to) + k.nature.disorder
	doublings := math.Log2(1 + float64(there)/k.fill())
	wait := 2*trip + time.Duration(doublings*float64(trip))
	if k.options.BatchSize > 1 {
		wait += min(k.options.WaitTime/2, maxHold)
	}
	hollows := 0
	for _, at := range k.hollows {
		if at >= m.from-trip && at <= m.to {
			hollows++
		}
	}
	return wait + time.Duration(min(2, hollows))*trip
}

// fill is how many messages a receive brings where they wait: up to ten, and up to what
// the slots can take, or the mean of what came where answers are cut.
func (k *keeping) fill() float64 {
	slots := float64(k.options.Concurrency * k.options.BatchSize)
	if k.nature.plain() {
		return min(10, slots)
	}
	return max(1, min(k.meanAnswer, slots))
}

// many is how many messages may be in the queue for a minute.
const many = 1000

// watches is the watchdog: more than a thousand messages that could be received for a
// minute, while for half of it a life had a slot and a receiver to spare.
func (k *keeping) watches() {
	const (
		minute = time.Minute
		half   = 0.5
	)
	for _, long := range above(k.visible, many) {
		for from := long.from; from+minute <= long.to; from += minute {
			for _, l := range k.lives {
				if hungry := overlap(l.hungry, from, from+minute); float64(hungry) >= half*float64(minute) {
					k.breachf(from+minute, "", "more than %d messages are in the queue for a minute, while a life has nothing to do for %v of it", many, hungry)
					return
				}
			}
		}
	}
}

// A stay is a time in which a message could be received.
type stay struct {
	message  string
	from, to time.Duration // to: when it was received; the end of the world if it never was
}

// stays returns the stays of all messages, by their beginning. Those that were received
// at the instant at which they could be have none.
func (s *studied) stays() (all []stay) {
	if s.fifo {
		for _, messages := range s.groups() {
			all = append(all, s.staysOfGroup(messages)...)
		}
	} else {
		for id := range s.byMessage {
			if id != "" {
				all = append(all, s.staysOfGroup([]string{id})...)
			}
		}
	}
	slices.SortFunc(all, func(a, b stay) int {
		return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.to, b.to), cmp.Compare(a.message, b.message))
	})
	return all
}

// groups returns the messages of each group of a FIFO queue, in the order of sending.
func (s *studied) groups() map[string][]string {
	groups := map[string][]string{}
	for id := range s.byMessage {
		if id != "" {
			groups[s.groupOf(id)] = append(groups[s.groupOf(id)], id)
		}
	}
	for _, ids := range groups {
		slices.SortFunc(ids, func(a, b string) int { return cmp.Compare(s.numbers[a], s.numbers[b]) })
	}
	return groups
}

// sight is whether a message can be seen by receives.
type sight struct {
	shown time.Duration // from when on; forever: it is not in the queue
	since time.Duration // when its stay began; forever: it has none
}

const forever = time.Duration(math.MaxInt64)

// staysOfGroup returns the stays of messages of which none is received while one before
// it is hidden: of a FIFO group, or of a single message of a standard queue.
func (s *studied) staysOfGroup(ids []string) (all []stay) {
	var events []event
	index := map[string]int{}
	sights := make([]sight, len(ids))
	for i, id := range ids {
		index[id], sights[i] = i, sight{forever, forever}
		for _, e := range s.byMessage[id] {
			if e.message == id && slices.Contains([]kind{sent, delivered, changed, deleted, buried}, e.kind) {
				events = append(events, e)
			}
		}
	}
	slices.SortStableFunc(events, func(a, b event) int { return cmp.Compare(a.at, b.at) })
	gone := make([]bool, len(ids))
	known := make([]bool, len(ids)) // the sender may note its send behind the first receive
	for n, e := range events {
		i := index[e.message]
		switch e.kind {
		case sent:
			if !known[i] {
				sights[i].shown = max(e.at, s.purgedAt) // what was there then has gone with the queue
				gone[i] = e.at <= s.purgedAt
			}
		case delivered, changed:
			sights[i].shown = max(e.at, e.until)
		default:
			gone[i] = true
		}
		known[i] = true
		next := s.end
		if n+1 < len(events) {
			next = events[n+1].at
		}
		all = append(all, look(ids, sights, gone, e.at, next)...)
	}
	for i := range sights {
		if sights[i].since < s.end && !gone[i] {
			all = append(all, stay{ids[i], sights[i].since, s.end})
		}
	}
	return all
}

// look notes from which time on, up to the next event, each message can be received, and
// returns the stays that have ended.
func look(ids []string, sights []sight, gone []bool, now, next time.Duration) (ended []stay) {
	free := time.Duration(0) // when the last of those before is shown
	for i := range sights {
		one := &sights[i]
		if !gone[i] && one.shown < forever {
			free = max(free, one.shown)
		}
		can := !gone[i] && one.shown < forever && free < next
		switch {
		case can && one.since == forever:
			one.since = max(free, now)
		case !can && one.since < forever, can && one.since < forever && free > now:
			if one.since < now {
				ended = append(ended, stay{ids[i], one.since, now})
			}
			one.since = forever
			if can {
				one.since = max(free, now)
			}
		}
	}
	return ended
}

// A step is a value from a time on.
type step struct {
	at time.Duration
	n  int
}

// visible returns how many messages could be received, over time.
func visible(stays []stay) (steps []step) {
	for _, m := range stays {
		steps = append(steps, step{m.from, 1}, step{m.to, -1})
	}
	slices.SortFunc(steps, func(a, b step) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.n, b.n)) })
	n := 0
	for i := range steps {
		n += steps[i].n
		steps[i].n = n
	}
	return steps
}

// at returns the index of the step that holds at a time; -1: none does yet.
func at(steps []step, now time.Duration) int {
	i, _ := slices.BinarySearchFunc(steps, now+1, func(a step, at time.Duration) int { return cmp.Compare(a.at, at) })
	return i - 1
}

// most is the largest value in a time.
func most(steps []step, from, to time.Duration) (n int) {
	for i := max(0, at(steps, from)); i < len(steps) && steps[i].at < to; i++ {
		n = max(n, steps[i].n)
	}
	return n
}

// share is the average value in a time, of the most that there may be.
func share(steps []step, most int, from, to time.Duration) float64 {
	sum := 0.0
	for i := max(0, at(steps, from)); i < len(steps) && steps[i].at < to; i++ {
		until := to
		if i+1 < len(steps) {
			until = min(to, steps[i+1].at)
		}
		sum += float64(steps[i].n) * float64(max(0, until-max(from, steps[i].at)))
	}
	return sum / float64(most) / float64(to-from)
}

// A spell is a time in which something held.
type spell struct{ from, to time.Duration }

// above returns when a value was more than n.
func above(steps []step, n int) (all []spell) {
	since := forever
	for _, one := range steps {
		switch {
		case one.n > n && since == forever:
			since = one.at
		case one.n <= n && since < forever:
			all = append(all, spell{since, one.at})
			since = forever
		}
	}
	return all
}

// overlap is how much of the spells lies in a time.
func overlap(spells []spell, from, to time.Duration) (sum time.Duration) {
	first, _ := slices.BinarySearchFunc(spells, from, func(a spell, at time.Duration) int { return cmp.Compare(a.to, at) })
	for _, one := range spells[first:] {
		if one.from >= to {
			break
		}
		sum += min(one.to, to) - max(one.from, from)
	}
	return sum
}
