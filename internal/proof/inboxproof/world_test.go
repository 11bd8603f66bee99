package inboxproof

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/inbox"
	"github.com/sluice-go/sluice/sqstest"
)

func TestEffectsHappenOnce(t *testing.T) {
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) {
			var sum tally
			n, from := seeds(d)
			for seed := from; seed < from+n; seed++ {
				w := newWorld(t, d, seed)
				synctest.Test(t, w.live)
				require.Empty(t, w.wrong(), "seed %d; to play it again: SEEDS=1 SEED_BASE=%d go test -run 'TestEffectsHappenOnce/%s$' .", seed, seed, d.name)
				sum.add(&w.tally)
			}
			t.Log(sum.String())
			if n >= 50 {
				sum.requireAll(t)
			}
		})
	}
}

// seeds returns how many worlds a test plays on a database, and the first seed. SEEDS and SEED_BASE ask
// for more and for others. A world on a server takes seconds where processors are busy.
func seeds(d database) (n, from uint64) {
	n, from = 200, 1
	if d.locks {
		n = 25
	}
	if asked, err := strconv.ParseUint(os.Getenv("SEEDS"), 10, 64); err == nil {
		n = asked
	}
	if base, err := strconv.ParseUint(os.Getenv("SEED_BASE"), 10, 64); err == nil {
		from = base
	}
	return n, from
}

// A tally is how often something happened. All worlds together must have seen everything.
type tally struct {
	crashes, lostBefore, lostAfter, lostStatements    atomic.Int64 // of the database and its clients
	lostDeletes, again, expired                       atomic.Int64 // of SQS
	errs, panics, exits, named, repeated, doubleSends atomic.Int64
}

func (s *tally) parts() map[string]*atomic.Int64 {
	return map[string]*atomic.Int64{
		"crashes at a commit": &s.crashes, "commits lost before": &s.lostBefore, "commits lost after": &s.lostAfter, "statements lost": &s.lostStatements,
		"deletes lost": &s.lostDeletes, "delivered again": &s.again, "leases expired": &s.expired,
		"errors": &s.errs, "panics": &s.panics, "Goexits": &s.exits, "messages named by a batch": &s.named, "repeated": &s.repeated, "sent twice": &s.doubleSends,
	}
}

func (s *tally) add(o *tally) {
	theirs := o.parts()
	for name, n := range s.parts() {
		n.Add(theirs[name].Load())
	}
}

func (s *tally) String() string {
	var lines []string
	for name, n := range s.parts() {
		lines = append(lines, fmt.Sprintf("%s: %d", name, n.Load()))
	}
	slices.Sort(lines)
	return strings.Join(lines, ", ")
}

func (s *tally) requireAll(t *testing.T) {
	t.Helper()
	for name, n := range s.parts() {
		require.GreaterOrEqual(t, n.Load(), int64(20), "%s: the worlds are too calm to prove anything", name)
	}
}

// A world is two queues with the same messages, a consumer of each in several processes, and one
// database.
type world struct {
	tally
	database

	seed      uint64
	connector driver.Connector
	server    *sqstest.Server
	db        *sql.DB // the observer's: it has no trouble
	table     string
	effects   string

	fifo   bool
	queues [2]string // URLs
	sent   []string  // keys, in the order in which they were sent first
	group  map[string]string
	calm   atomic.Bool // nothing goes wrong any more

	mu   sync.Mutex // guards the field below
	dice *rand.Rand

	problems []string
}

// handlers are the consumers of the queues: one handles message by message, the other in batches.
var handlers = [2]string{"billing", "shipping"}

func newWorld(t *testing.T, d database, seed uint64) *world {
	t.Helper()
	return &world{
		database: d, seed: seed, connector: d.connector(t), table: newTable(), group: map[string]string{},
		dice: rand.New(rand.NewPCG(seed, 0x1b0c)),
	}
}

// chance reports whether something happens that happens in so many of a hundred cases.
func (w *world) chance(percent int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.dice.IntN(100) < percent
}

// upTo returns a number from 0 to n-1.
func (w *world) upTo(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.dice.IntN(n)
}

// live is the world's life, in a bubble.
func (w *world) live(t *testing.T) {
	w.db = sql.OpenDB(w.connector)
	w.db.SetMaxOpenConns(1)
	defer w.db.Close()
	_, w.effects = w.newBox(t, w.db, w.options(0))
	w.server = sqstest.New(sqstest.Seed(w.seed), sqstest.Latency(sqstest.LognormalDelay(10*time.Millisecond, 0.5)))
	w.fifo = w.chance(35)
	for i, handler := range handlers {
		if w.fifo {
			handler += ".fifo"
		}
		w.queues[i] = w.server.MustCreateQueue(handler, nil)
	}
	w.spoil()

	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for ctx.Err() == nil {
				w.process(ctx, t) // until it crashes; then there is a new one
			}
		})
	}
	wg.Go(func() { w.meddle(ctx) })
	w.send(t)
	const chaos = 10 * time.Minute
	time.Sleep(chaos)
	w.calm.Store(true)
	w.drained()
	stop()
	wg.Wait()
	w.check(t)
}

// drained waits until the queues are empty.
func (w *world) drained() {
	const patience = 6 * time.Hour // a group of a FIFO queue waits long after many failures
	for began := time.Now(); time.Since(began) < patience; time.Sleep(time.Second) {
		if len(w.server.Messages(w.queues[0])) == 0 && len(w.server.Messages(w.queues[1])) == 0 {
			return
		}
	}
	w.problems = append(w.problems, "messages are left in a queue: they are not handled in six hours")
}

// keys are difficult ones: alike, long, and strange.
func keys(n int) (list []string) {
	long := strings.Repeat("long", 100)
	for i := range n {
		list = append(list, []string{"k%d", "K%d", "k%d ", long + "%d", "\u00e4%d"}[i%5])
		list[i] = fmt.Sprintf(list[i], i/5)
	}
	return list
}

// send sends each key to both queues. Some producers hear no answer and send again.
func (w *world) send(t *testing.T) {
	for _, key := range keys(10 + w.upTo(30)) {
		w.group[key] = strconv.Itoa(w.upTo(3))
		w.sent = append(w.sent, key)
		for {
			for _, queue := range w.queues {
				w.sendOne(t, queue, key)
			}
			if !w.chance(20) {
				break
			}
			w.doubleSends.Add(1)
			time.Sleep(time.Duration(w.upTo(20)) * time.Second)
		}
		time.Sleep(time.Duration(w.upTo(3000)) * time.Millisecond)
	}
}

func (w *world) sendOne(t *testing.T, queue, key string) {
	in := &sqs.SendMessageInput{
		QueueUrl: &queue, MessageBody: new("a body"),
		MessageAttributes: map[string]types.MessageAttributeValue{"key": {DataType: new("String"), StringValue: &key}},
	}
	if w.fifo {
		in.MessageGroupId, in.MessageDeduplicationId = new(w.group[key]), new(strconv.FormatInt(time.Now().UnixNano(), 10)+strconv.Itoa(w.upTo(1e9)))
	}
	_, err := w.server.SendMessage(t.Context(), in)
	require.NoError(t, err)
}

// spoil lets calls to SQS go wrong.
func (w *world) spoil() {
	match := func(percent int, count *atomic.Int64) func(sqstest.Call) bool {
		return func(sqstest.Call) bool {
			if w.calm.Load() || !w.chance(percent) {
				return false
			}
			count.Add(1)
			return true
		}
	}
	w.server.Inject(sqstest.Fault{Op: "DeleteMessageBatch", Match: match(20, &w.lostDeletes), Err: sqstest.Reset()})
	w.server.Inject(sqstest.Fault{Op: "DeleteMessageBatch", Match: match(10, &w.lostDeletes), Err: sqstest.Reset(), After: true})
	if !w.fifo { // which promises that these do not happen
		w.server.Inject(sqstest.Fault{Op: "DeleteMessageBatch", Match: match(10, &w.lostDeletes), NoEffect: true})
		w.server.Inject(sqstest.Fault{Op: "DeleteMessageBatch", Match: match(10, &w.again), Again: true})
		w.server.Inject(sqstest.Fault{Op: "ReceiveMessage", Match: match(10, &w.again), Again: true})
	}
}

// meddle ends leases of messages that are being handled.
func (w *world) meddle(ctx context.Context) {
	for !w.calm.Load() {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Duration(1+w.upTo(30)) * time.Second):
		}
		queue := w.queues[w.upTo(2)]
		for _, m := range w.server.Messages(queue) {
			if w.chance(20) && w.server.ExpireLease(queue, m.ID) {
				w.expired.Add(1)
			}
		}
	}
}

// options returns the options of the inbox of a handler.
func (w *world) options(handler int) inbox.Options {
	return inbox.Options{Dialect: w.dialect, Handler: handlers[handler], Table: w.table, Key: inbox.ByAttribute("key")}
}

// A process has a consumer of each queue and connections of its own to the database.
type process struct {
	*world

	died chan struct{} // closed when it crashes
	once sync.Once
}

// process is a process from its begin to its crash, or to the end of the world.
func (w *world) process(ctx context.Context, t *testing.T) {
	p := &process{world: w, died: make(chan struct{})}
	db := sql.OpenDB(faulty{w.connector, p.trouble})
	defer db.Close()
	db.SetMaxIdleConns(4) // all that the handlers use: a connection of a server is dear
	if !w.locks {
		db.SetMaxOpenConns(1) // waiting here is cheaper than an error there
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-p.died:
			cancel() // the consumers go on for a while, but nobody hears them
		case <-ctx.Done():
		}
	}()
	var wg sync.WaitGroup
	for i := range handlers {
		box, err := inbox.New(db, w.options(i))
		require.NoError(t, err)
		opts := sluice.Options{Concurrency: 2, PollTime: 10 * time.Second, VisibilityTimeout: 30 * time.Second, Logger: slog.New(slog.DiscardHandler)}
		h := box.Each(p.one)
		if i == 1 {
			opts.BatchSize, opts.WaitTime = 8, 2*time.Second
			h = box.Batch(p.batch)
		}
		if w.chance(30) {
			opts.HandlerTimeout = 20 * time.Second
		}
		c, err := sluice.New(wire{w.server, p}, w.queues[i], opts)
		require.NoError(t, err)
		wg.Go(func() {
			_ = c.Run(ctx, h) // which reports what it left
			w.repeated.Add(box.Stats().Repeated)
		})
	}
	wg.Wait()
}

// crash ends the process: from now on it has no effect on SQS or the database.
func (p *process) crash() {
	p.once.Do(func() {
		p.crashes.Add(1)
		close(p.died)
	})
}

func (p *process) dead() bool {
	select {
	case <-p.died:
		return true
	default:
		return false
	}
}

// trouble is what goes wrong between the process and its database.
func (p *process) trouble(op string) trouble {
	switch {
	case p.dead():
		return before
	case p.calm.Load():
		return none
	case op == "statement" && p.chance(3):
		p.lostStatements.Add(1)
		return before
	case op != "commit":
		return none
	}
	switch p.upTo(25) {
	case 0:
		p.lostBefore.Add(1)
		return before
	case 1:
		p.lostAfter.Add(1)
		return after
	case 2:
		p.crash()
		return before
	case 3:
		p.crash()
		return after
	default:
		return none
	}
}

// A wire is the connection of a process to SQS.
type wire struct {
	*sqstest.Server

	p *process
}

func (w wire) ReceiveMessage(ctx context.Context, in *sqs.ReceiveMessageInput, o ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	return alive(w.p, func() (*sqs.ReceiveMessageOutput, error) { return w.Server.ReceiveMessage(ctx, in, o...) })
}

func (w wire) DeleteMessageBatch(ctx context.Context, in *sqs.DeleteMessageBatchInput, o ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error) {
	return alive(w.p, func() (*sqs.DeleteMessageBatchOutput, error) { return w.Server.DeleteMessageBatch(ctx, in, o...) })
}

func (w wire) ChangeMessageVisibilityBatch(ctx context.Context, in *sqs.ChangeMessageVisibilityBatchInput, o ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error) {
	return alive(w.p, func() (*sqs.ChangeMessageVisibilityBatchOutput, error) {
		return w.Server.ChangeMessageVisibilityBatch(ctx, in, o...)
	})
}

// alive makes a call of a process, unless that is dead. An answer that comes after its death is lost.
func alive[T any](p *process, call func() (*T, error)) (*T, error) {
	if p.dead() {
		return nil, sqstest.Reset()
	}
	out, err := call()
	if p.dead() {
		return nil, sqstest.Reset()
	}
	return out, err
}

// one is the function for a message.
func (p *process) one(ctx context.Context, tx *sql.Tx, m *sluice.Message) error {
	if err := p.misbehave(ctx); err != nil {
		return err
	}
	if err := p.addEffect(ctx, tx, p.effects, "billing", keyOf(m)); err != nil {
		return err
	}
	return p.misbehave(ctx)
}

// batch is the function for a batch. At times it names a message that it does not like.
func (p *process) batch(ctx context.Context, tx *sql.Tx, fresh []*sluice.Message) error {
	var bad error
	for _, m := range fresh {
		if err := p.addEffect(ctx, tx, p.effects, "shipping", keyOf(m)); err != nil {
			return err
		}
		if bad == nil && !p.calm.Load() && p.chance(5) {
			p.named.Add(1)
			bad = sluice.Failed(m, errFn)
		}
	}
	if bad != nil {
		return bad
	}
	return p.misbehave(ctx)
}

// misbehave does what functions do.
func (p *process) misbehave(ctx context.Context) error {
	if p.calm.Load() {
		return nil
	}
	switch p.upTo(30) {
	case 0, 1, 2:
		p.errs.Add(1)
		return errFn
	case 3:
		p.panics.Add(1)
		panic(errFn)
	case 4:
		p.exits.Add(1)
		runtime.Goexit()
	case 5:
		p.errs.Add(1)
		return sluice.RetryAfter(time.Second, errFn)
	case 6, 7, 8:
		return p.linger(ctx, p.chance(50))
	}
	return nil
}

// linger takes long, whether or not the context has ended. A transaction of a server takes no time:
// virtual time stands still while another one waits for its lock, in the server.
func (p *process) linger(ctx context.Context, obeys bool) error {
	if p.locks {
		return nil
	}
	ended := ctx.Done()
	if !obeys {
		ended = nil
	}
	select {
	case <-time.After(time.Duration(p.upTo(40)) * time.Second):
		return nil
	case <-ended:
		return context.Cause(ctx)
	case <-p.died:
		return errLost
	}
}

// check compares the effects with the messages that were sent.
func (w *world) check(t *testing.T) {
	count := map[effect]int{}
	order := map[string][]string{} // of the effects, by handler and group
	for _, e := range effectsOf(t, w.db, w.effects) {
		count[e]++
		order[e.handler+w.group[e.key]] = append(order[e.handler+w.group[e.key]], e.key)
	}
	expected := map[string][]string{}
	for _, handler := range handlers {
		for _, key := range w.sent {
			expected[handler+w.group[key]] = append(expected[handler+w.group[key]], key)
			e := effect{handler, key}
			if count[e] != 1 {
				w.problems = append(w.problems, fmt.Sprintf("the effect of %.20q in %s happened %d times", key, handler, count[e]))
			}
			delete(count, e)
		}
	}
	if len(count) > 0 {
		w.problems = append(w.problems, fmt.Sprintf("effects without a message: %v", count))
	}
	for group, keys := range expected {
		if w.fifo && !slices.Equal(keys, order[group]) {
			w.problems = append(w.problems, fmt.Sprintf("the order of %s is %.20q, want %.20q", group, order[group], keys))
		}
	}
}

func (w *world) wrong() []string { return w.problems }
