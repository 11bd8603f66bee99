package simtest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sqstest"
)

// A level says at which border the world's network stands.
type level string

const (
	atSeam  level = "L1"        // between the library and the client it is given
	withSDK level = "L2"        // below the real SDK client: its requests, answers, errors
	pastSDK level = "L2-direct" // there too, and the library may go past the client
)

// A plan is all that a seed decides beforehand. What is drawn later, while the
// world runs, comes from dice that belong to the seed too.
type plan struct {
	seed uint64
	calm bool // no fault, no handler that fails; stops and deploys all the same

	fifo      bool
	processes int
	messages  int
	groups    int // message groups; on a standard queue tenants; 0: none
	bursts    int // the messages come in so many
	active    time.Duration
	options   sluice.Options
	mode      mode
	form      form
	mood      mood
	redrive   int // maxReceiveCount; 0: no dead-letter queue
	deadDrop  bool
	bulk      int           // bytes of the largest body where bytes in flight are bounded; 0: they are not
	latency   time.Duration // of a way on the network, at most, while it is healthy and its nature says nothing else
	nature    nature
	demand    demand

	odds    [numFaults]float64 // that a fault meets a call
	windows []window
	refused []refusedTime
	lives   [][]turn // of each process
	storm   []turn   // of the queue
}

// A window is a time in which a fault meets every call.
type window struct {
	fault    fault
	from, to time.Duration
}

// planFor is what a seed decides.
func planFor(seed uint64) *plan { return draw(seed, false) }

// barePlan is what a seed decided before worlds had natures and demands of their own. Old
// seeds are worlds of such plans.
func barePlan(seed uint64) *plan { return draw(seed, true) }

func draw(seed uint64, old bool) *plan {
	r := die(seed).named("plan").rand()
	p := &plan{
		seed:      seed,
		calm:      r.Float64() < 0.25,
		fifo:      r.Float64() < 0.4,
		processes: 1 + r.IntN(3),
		messages:  20 + r.IntN(180),
		bursts:    1 + r.IntN(12),
		active:    span(r, 30*time.Second, 6*time.Minute),
		latency:   oneOf(r, 5*time.Millisecond, 20*time.Millisecond, 80*time.Millisecond),
	}
	if !old {
		p.weigh()
	}
	if p.fifo || r.Float64() < 0.2 {
		p.groups = 1 + r.IntN(12)
	}
	p.options = optionsFor(r, p)
	p.form = oneOf(r, wholeBatch, oneByOne, decoded, decodedBatch)
	p.mood = moodFor(r, p)
	if !p.calm {
		p.faults(r)
		if p.odds[redrives] > 0 {
			p.redrive = 1 + r.IntN(5)
		}
		p.deadDrop = r.Float64() < 0.3
		p.temper(r)
	}
	p.runs()
	p.load()
	p.live(r)
	p.refusedTimes()
	if old {
		p.demand.shape = inBursts
		return p
	}
	p.demands()
	p.natures()
	p.slowReceives()
	p.slowLinks()
	p.lingers()
	p.shortenWait()
	p.lengthenRuns()
	return p
}

// shortenWait gives a world of many messages the time to drain. Where answers are cut, what
// comes of a FIFO group locks it until its batch has waited, so one message may cost a whole
// wait time: 1,500 of one group take two hours at 5 s.
func (p *plan) shortenWait() {
	if p.demand.heavy && p.fifo && p.options.BatchSize > 1 && !p.nature.plain() {
		p.options.WaitTime = min(p.options.WaitTime, time.Second)
	}
}

// lingers lets events linger in the queue, in some worlds that are not calm.
func (p *plan) lingers() {
	r := die(p.seed).named("linger").rand()
	if !p.calm && r.Float64() < 0.3 {
		p.options.ReceiveLinger = oneOf(r, 20*time.Millisecond, 50*time.Millisecond, 200*time.Millisecond)
	}
}

// A mode is how a run is to end, besides by being stopped.
type mode string

const (
	endless mode = "endless"
	drains  mode = "drain"    // by Drain, when the queue is empty
	counted mode = "messages" // after MaxMessages
	timed   mode = "duration" // after MaxDuration
)

// runs draws the mode. Most worlds are endless; and all that last for hours, where
// a supervisor would start thousands of runs.
func (p *plan) runs() {
	p.mode = endless
	r := die(p.seed).named("mode").rand()
	if p.mood.hours {
		return
	}
	switch x := r.Float64(); {
	case x < 0.12:
		p.mode = drains
	case x < 0.2:
		p.mode, p.options.MaxMessages = counted, 1+r.IntN(60)
	case x < 0.28:
		p.mode, p.options.MaxDuration = timed, span(r, 5*time.Second, 2*time.Minute)
	}
}

// load draws the bound of bytes in flight, which some worlds have, and bodies that are
// large enough to meet it.
func (p *plan) load() {
	r := die(p.seed).named("bytes").rand()
	if p.mood.hours || p.mood.large > 0 || r.Float64() >= 0.1 {
		return
	}
	p.options.BytesInFlight = 1<<20 + r.IntN(2<<20)
	p.bulk = 10_000 + r.IntN(70_000)
}

// lengthenRuns gives a world of many messages runs that are long enough to drain it: seconds pass
// between two runs, and a thousand that end after one message take longer than a world lasts.
func (p *plan) lengthenRuns() {
	const most = 50
	if p.mode == counted {
		p.options.MaxMessages = max(p.options.MaxMessages, p.messages/most)
	}
}

func optionsFor(r *rand.Rand, p *plan) sluice.Options {
	o := sluice.Options{
		BatchSize:         oneOf(r, 1, 1, 1, 2, 5, 10, 30),
		WaitTime:          oneOf(r, 100*time.Millisecond, time.Second, 5*time.Second, 20*time.Second),
		Concurrency:       1 + r.IntN(10),
		Receivers:         1 + r.IntN(8),
		VisibilityTimeout: time.Duration(oneOf(r, 5, 10, 20, 30, 60, 120)) * time.Second,
		PollTime:          time.Duration(1+r.IntN(20)) * time.Second,
		ShutdownTimeout:   span(r, 2*time.Second, 25*time.Second),
		DeleteLinger:      oneOf[time.Duration](r, 0, 0, -1, 200*time.Millisecond),
		OnGroupFailure:    oneOf(r, sluice.GroupRetryInPlace, sluice.GroupRetryInPlace, sluice.GroupRelease, sluice.GroupSkip),
	}
	if r.Float64() < 0.15 {
		o.BatchBytes = 500 + r.IntN(3000)
	}
	if p.calm {
		o.ShutdownTimeout = o.PollTime + 20*time.Second // what is held can be finished in it
		return o
	}
	o.InPlaceTries, o.InPlaceTime = 1+r.IntN(5), span(r, time.Second, 2*time.Minute)
	if r.Float64() < 0.5 {
		delay := span(r, 0, 20*time.Second)
		o.RetryDelay = func(*sluice.Message, error) time.Duration { return delay }
	}
	if r.Float64() < 0.2 {
		o.HandlerTimeout = span(r, time.Second, 2*o.VisibilityTimeout)
	}
	return o
}

// name of the queue.
func (p *plan) queue() string {
	if p.fifo {
		return "orders.fifo"
	}
	return "orders"
}

// graves is the name of the dead-letter queue.
func (p *plan) graves() string {
	if p.fifo {
		return "graves.fifo"
	}
	return "graves"
}

// A world is a plan that comes true.
type world struct {
	*testing.T

	*plan
	level  level
	dice   die
	server *sqstest.Server
	url    string
	grave  string // URL of the dead-letter queue
	hist   *history

	heal  chan struct{} // closed when faults and bad handlers end
	close chan struct{} // closed when processes are to stop for good

	mu      sync.Mutex // guards the fields below
	born    int        // incarnations so far
	removes []func()   // of faults
	numbers map[string]int
	ids     []string // by number
	bad     map[int]bool
	sizes   map[int]int    // in bytes, by number
	runs    map[string]int // handler runs by message
	calls   map[string]int // handler calls by their first message
	stats   []lifeStats

	studied         *studied           // the history once it was; see study
	rest, graveyard []sqstest.Snapshot // of the queue and of the dead-letter queue, at the end
}

// playPlan makes the world of a plan, lets it happen and returns it.
func playPlan(t *testing.T, p *plan, at level) *world {
	t.Helper()
	var w *world
	synctest.Test(t, func(t *testing.T) {
		w = newWorld(t, p, at)
		w.run()
	})
	return w
}

func newWorld(t *testing.T, p *plan, at level) *world {
	w := &world{
		T: t, plan: p, level: at, dice: die(p.seed),
		hist: &history{began: time.Now(), said: map[string]bool{}},
		heal: make(chan struct{}), close: make(chan struct{}),
		numbers: map[string]int{}, bad: map[int]bool{}, sizes: map[int]int{}, runs: map[string]int{}, calls: map[string]int{},
	}
	w.server = sqstest.New(w.serverOptions()...)
	w.server.Observe(w.observe)
	w.grave = w.server.MustCreateQueue(p.graves(), nil)
	w.url = w.createQueue()
	w.inject()
	return w
}

// createQueue makes the queue, and returns its URL, which is the same each time.
func (w *world) createQueue() string {
	attributes := map[string]string{}
	if w.redrive > 0 {
		attributes["RedrivePolicy"] = redrivePolicy(w.graves(), w.redrive)
	}
	return w.server.MustCreateQueue(w.queue(), attributes)
}

func redrivePolicy(queue string, n int) string {
	return fmt.Sprintf(`{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:%s","maxReceiveCount":%d}`, queue, n)
}

// run lets everything happen: first with faults, then without, until the queue is
// empty, then the last stop.
func (w *world) run() {
	var actors sync.WaitGroup
	actors.Go(w.send)
	actors.Go(w.stir)
	for i := range w.processes {
		actors.Go(func() { w.process(i) })
	}
	time.Sleep(w.active)
	w.calmDown()
	w.drain()
	close(w.close)
	actors.Wait()
	w.rest, w.graveyard = w.server.Messages(w.url), w.server.Messages(w.grave)
}

// calmDown ends all that is bad.
func (w *world) calmDown() {
	w.mu.Lock()
	for _, remove := range w.removes {
		remove()
	}
	w.mu.Unlock()
	w.hist.add(event{kind: calmed})
	close(w.heal)
}

// patience is how long a backlog may take to drain at the longest, after the last
// fault: failed messages wait for up to a quarter of an hour, and after a crash
// they are hidden for a visibility timeout.
const patience = 90 * time.Minute

// drain waits until the queue is empty.
func (w *world) drain() {
	for range int(patience / (5 * time.Second)) {
		time.Sleep(5*time.Second + time.Microsecond)
		if len(w.server.Messages(w.url)) == 0 {
			return
		}
	}
}

// healed reports whether faults have ended.
func (w *world) healed() bool {
	select {
	case <-w.heal:
		return true
	default:
		return false
	}
}

// send is the actor that sends messages: some before anybody is there for them, and the
// others as a load, or in bursts over three quarters of the time in which the world is
// active.
func (w *world) send() {
	r := w.dice.named("sender").rand()
	w.sendBurst(r, 0, w.demand.early)
	if w.demand.shape != inBursts {
		w.sendLoad(r, w.demand.early)
		return
	}
	left := w.messages - w.demand.early
	for i := range w.bursts {
		n := left / (w.bursts - i)
		left -= n
		w.sendBurst(r, w.messages-left-n, n)
		pause := span(r, 0, 2*w.active*3/4/time.Duration(w.bursts))
		time.Sleep(min(pause, max(0, w.active*9/10-time.Since(w.hist.began))) + time.Microsecond)
	}
}

// canary is in every body and attribute. It must never be in a log line or an error.
const canary = "CANARY"

func (w *world) sendBurst(r *rand.Rand, first, n int) {
	for i := first; i < first+n; i += 10 {
		in := &sqs.SendMessageBatchInput{QueueUrl: &w.url}
		for j := i; j < min(i+10, first+n); j++ {
			in.Entries = append(in.Entries, w.entry(r, j))
		}
		out, err := w.server.SendMessageBatch(context.Background(), in)
		if err != nil {
			continue // the queue is deleted at this time
		}
		for _, ok := range out.Successful {
			k, _ := strconv.Atoi(*ok.Id)
			w.note(*ok.MessageId, k, in)
		}
	}
}

func (w *world) entry(r *rand.Rand, number int) types.SendMessageBatchRequestEntry {
	e := types.SendMessageBatchRequestEntry{Id: new(strconv.Itoa(number)), MessageBody: new(w.body(r, number))}
	if w.groups > 0 {
		e.MessageGroupId = new(fmt.Sprint("g", r.IntN(w.groups)))
	}
	if w.fifo {
		e.MessageDeduplicationId = new(fmt.Sprint("d", number))
	}
	if r.Float64() < 0.1 {
		e.MessageAttributes = map[string]types.MessageAttributeValue{"Key": {DataType: new("String"), StringValue: new(canary)}}
	}
	w.sizes[number] = bytesOf(&e)
	return e
}

// order is what messages carry.
type order struct {
	Number int
	Text   string
}

// body makes the body of a message. Some cannot be decoded; few are large.
func (w *world) body(r *rand.Rand, number int) string {
	text := canary
	for range r.IntN(20) {
		text += " " + canary
	}
	if !w.calm && r.Float64() < w.mood.large {
		w.hist.count(bodies)
		text += string(filler(900_000))
	}
	if w.bulk > 0 {
		text += string(filler(int(w.dice.named("bulk").of(uint64(number)).float() * float64(w.bulk))))
	}
	if !w.calm && r.Float64() < w.mood.undecodable {
		w.hist.count(bodies)
		w.bad[number] = true
		return fmt.Sprintf(`{"Number":%q,"Text":"%s"}`, canary, text)
	}
	return fmt.Sprintf(`{"Number":%d,"Text":"%s"}`, number, text)
}

// filler is n bytes of a body.
func filler(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = 'x'
	}
	return b
}

// note writes a sent message down.
func (w *world) note(id string, number int, in *sqs.SendMessageBatchInput) {
	e := event{kind: sent, message: id, number: number + 1}
	for i := range in.Entries {
		if *in.Entries[i].Id == strconv.Itoa(number) && in.Entries[i].MessageGroupId != nil {
			e.group = *in.Entries[i].MessageGroupId
		}
	}
	w.mu.Lock()
	w.numbers[id] = number
	for len(w.ids) <= number {
		w.ids = append(w.ids, "")
	}
	w.ids[number] = id
	w.mu.Unlock()
	w.hist.add(e)
}

// bytesOf is the size of a message, of its body and its attributes.
func bytesOf(e *types.SendMessageBatchRequestEntry) int {
	n := len(*e.MessageBody)
	for name, a := range e.MessageAttributes {
		n += len(name) + len(*a.DataType) + len(*a.StringValue)
	}
	return n
}

// idOf returns the id of the message with a number.
func (w *world) idOf(number int) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ids[number]
}

// idIn returns the id of the message that has a body; "": the body cannot be decoded.
func (w *world) idIn(body string) string {
	var number int
	if _, err := fmt.Sscanf(body, `{"Number":%d,`, &number); err != nil {
		return ""
	}
	return w.idOf(number)
}

// observe writes down what happens in SQS.
func (w *world) observe(e sqstest.Event) {
	if e.Kind == sqstest.Sent && e.Queue == w.graves() {
		w.hist.add(event{kind: laid, message: w.buriedAs(e.MessageID)})
		return
	}
	kinds := map[sqstest.EventKind]kind{
		sqstest.Delivered: delivered, sqstest.Deleted: deleted, sqstest.LeaseChanged: changed,
		sqstest.DeadLettered: buried, sqstest.Arrived: arrived,
	}
	k, told := kinds[e.Kind]
	if !told {
		return
	}
	own := event{kind: k, message: e.MessageID, handle: e.ReceiptHandle, count: e.ReceiveCount, group: e.GroupID}
	if !e.Until.IsZero() {
		own.until = e.Until.Sub(w.hist.began)
	}
	w.hist.add(own)
}

// buriedAs returns the id of the message whose copy in the dead-letter queue has an id.
func (w *world) buriedAs(id string) string {
	graves := w.server.Messages(w.grave)
	i := slices.IndexFunc(graves, func(m sqstest.Snapshot) bool { return m.ID == id })
	return w.idIn(graves[i].Body)
}
