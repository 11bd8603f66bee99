package simtest

// lawGo has the law by which receives go out. What these mutants do to it is said in
// words, so that they can be brought into another law.
const lawGo = "internal/pace/law.go"

// paceMutants are what the pace of this library was before, and what paces of its kind do:
// they take the rate that they let through for the rate of the queue.
var paceMutants = []mutant{
	// Only a full answer says that there is more: nothing is made of how long messages lay in
	// the queue. That was the pace up to now: a short answer took a receiver away, and held
	// the next receive of a batch back.
	{"receivers by full answers only (the pace of before)", []edit{
		{lawGo, "r.missed = r.prompt && p.missed(a, v)", "r.missed = false"},
		{lawGo, "r.unsure = r.prompt && !p.ages.known", "r.unsure = false"},
	}},
	// In batches as many receivers as the learned rate asks for, whatever lies in the queue:
	// neither messages that were missed nor full answers in a row make more.
	{"the rate learned first is a ceiling (the pace of before)", []edit{
		{lawGo, "r.missed = r.prompt && p.missed(a, v)", "r.missed = r.prompt && !p.holds() && p.missed(a, v)"},
		{lawGo, "r.unsure = r.prompt && !p.ages.known", "r.unsure = r.prompt && !p.holds() && !p.ages.known"},
		{lawGo, "p.there = p.arrival.rate * p.row.behind(r, v.Now).Seconds()", "p.there = 0 * p.row.behind(r, v.Now).Seconds()"},
		{lawGo, "backlog := r.full && p.row.n > 1 && v.Now.Sub(p.row.since) > calm", "backlog := false"},
	}},
	// An answer that brings less than was asked for is taken for an empty queue: one receiver
	// is enough.
	{"a short answer means an empty queue", []edit{
		{lawGo, "case a.New == 0 && r.took >= calm/2:", "case a.Got < a.Asked:"},
	}},
	// Batches are held back for the whole wait that the user grants, although what came was
	// old: nothing that lies in the queue makes a receive go out sooner.
	{"receives held back although messages are old", []edit{
		{lawGo, "return !a.Since.IsZero() && lay > v.Now.Sub(a.Since)", "return false"},
		{lawGo, "	if r.full || r.missed {\n", "	if false {\n"},
	}},
}
