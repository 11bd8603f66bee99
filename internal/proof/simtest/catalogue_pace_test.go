package simtest

// paceMutants are what the pace of this library was before, and what paces of its kind do:
// they take the rate that they let through for the rate of the queue. What they do to the
// law by which receives go out is said in words, so that they can be brought into another.
var paceMutants = []mutant{
	// Only a full answer says that there is more: nothing is made of how long messages lay in
	// the queue. That was the pace up to now: a short answer took a receiver away, and held
	// the next receive of a batch back.
	{bug: "receivers by full answers only (the pace of before)", edits: []edit{{
		fn:  "(*Pace).read",
		old: `r.missed = r.prompt && p.missed(a, v)`,
		new: `r.missed = false`,
	}, {
		fn:  "(*Pace).read",
		old: `r.unsure = !p.ages.known && (`,
		new: `r.unsure = false && (`,
	}}},
	// In batches as many receivers as the learned rate asks for, whatever lies in the queue:
	// neither messages that were missed nor full answers in a row make more.
	{bug: "the rate learned first is a ceiling (the pace of before)", edits: []edit{{
		fn:  "(*Pace).read",
		old: `r.missed = r.prompt && p.missed(a, v)`,
		new: `r.missed = r.prompt && !p.holds() && p.missed(a, v)`,
	}, {
		fn:  "(*Pace).read",
		old: `r.unsure = !p.ages.known && (`,
		new: `r.unsure = !p.holds() && !p.ages.known && (`,
	}, {
		fn:  "(*Pace).sweep",
		old: `p.there = p.arrival.rate * p.row.behind(a.Began.Add(-r.behind), v.Now).Seconds()`,
		new: `p.there = 0 * p.row.behind(a.Began.Add(-r.behind), v.Now).Seconds()`,
	}, {
		fn:  "(*Pace).sweep",
		old: `backlog := r.full && p.row.n > 1 && v.Now.Sub(p.row.since) > calm`,
		new: `backlog := false`,
	}}},
	// An answer that brings less than was asked for is taken for an empty queue: one receiver
	// is enough.
	{bug: "a short answer means an empty queue", edits: []edit{{
		fn:  "(*Pace).adapt",
		old: `case a.New == 0 && r.took >= calm/2:`,
		new: `case a.Got < a.Asked:`,
	}}},
	// Batches are held back for the whole wait that the user grants, although what came was
	// old: nothing that lies in the queue makes a receive go out sooner.
	{bug: "receives held back although messages are old", edits: []edit{{
		fn:  "(*Pace).missed",
		old: `return !a.Since.IsZero() && lay > a.Began.Sub(a.Since)`,
		new: `return false`,
	}, {
		fn:  "(*Pace).sweep",
		old: `if r.full || r.missed {`,
		new: `if false {`,
	}}},
}
