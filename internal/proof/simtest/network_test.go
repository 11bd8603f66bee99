package simtest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sqstest"
)

// A wire is the way from one incarnation of a process to SQS and back. Every
// request and every answer takes time on it, at least half a millisecond, and
// never twice the same.
type wire struct {
	w    *world
	inc  int
	dice die
	dead atomic.Bool     // the process has crashed
	life context.Context // ends at the crash
	cut  context.CancelFunc

	mu    sync.Mutex // guards the fields below
	now   time.Duration
	alike map[die]uint64 // calls of this instant that say the same
	first map[string]die // of the call that used the id of a FIFO queue's receive first
}

func newWire(w *world, inc int) *wire {
	v := &wire{w: w, inc: inc, dice: w.dice.named("wire").of(uint64(inc)), alike: map[die]uint64{}, first: map[string]die{}}
	v.life, v.cut = context.WithCancel(context.Background())
	return v
}

var errCrashed = errors.New("the process has crashed")

// A trip is one request and its answer.
type trip struct {
	up, down time.Duration
	late     time.Duration // between the end of its context and its own, so that calls that time out together do not end together
	lost     error         // instead of the answer; nil: it arrives
	stalls   bool          // the answer never ends
	halved   bool          // the answer ends too early
}

// call returns the die of a call. It belongs to the time of the call and to what it
// says, in whatever order. Calls that have both in common are told apart by their
// number; which of them is the first does not matter, since they are alike.
//
// The id of a FIFO queue's receive is random. What stands for it is the die of the
// call that used it first: what is done again is done for another reason than what
// is done for the first time, and calls that were alike then need not be so now.
func (v *wire) call(op, attempt string, says ...string) die {
	now := time.Since(v.w.hist.began)
	v.mu.Lock()
	defer v.mu.Unlock()
	d := v.dice.named(op).amid(says...).of(uint64(now), uint64(v.first[attempt]))
	if v.now != now {
		v.now = now
		clear(v.alike)
	}
	v.alike[d]++
	d = d.of(v.alike[d])
	if _, again := v.first[attempt]; attempt != "" && !again {
		v.first[attempt] = d
	}
	return d
}

// trip draws how a call fares.
func (v *wire) trip(op, attempt string, says ...string) trip {
	d := v.call(op, attempt, says...)
	t := trip{up: v.w.way(d.of(1), op), down: v.w.way(d.of(2), op), late: d.of(8).between(time.Microsecond, 500*time.Microsecond)}
	if v.w.calm || v.w.healed() {
		return t
	}
	if d.of(3).under(v.w.odds[slowAnswers]) {
		v.w.hist.fire(slowAnswers, event{inc: v.inc, op: op})
		if slow := d.of(4).between(100*time.Millisecond, time.Minute); d.of(5).under(0.5) {
			t.up += slow
		} else {
			t.down += slow
		}
	}
	if d.of(6).under(v.w.odds[brokenConnection]) {
		v.w.hist.fire(brokenConnection, event{inc: v.inc, op: op})
		switch p := d.of(7).float(); {
		case p < 0.25:
			t.lost = sqstest.Reset()
		case p < 0.5:
			t.lost = io.EOF
		case p < 0.75:
			t.halved = true
		default:
			t.stalls = true
		}
	}
	return t
}

// pass lets a way's time pass. That a receive, or its answer, takes longer than a slow
// round trip is written down in calm worlds: there it is chance alone.
func (v *wire) pass(ctx context.Context, op string, way time.Duration) error {
	if v.w.calm && op == opReceive && way > v.w.roundTrip() {
		v.w.hist.add(event{kind: dragged, inc: v.inc, op: op})
	}
	return sleep(ctx, way)
}

// sleep lets time pass on the wire.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// travel makes a call: there, the effect, and back.
func travel[O any](ctx context.Context, v *wire, op, attempt string, says []string, effect func(context.Context) (O, error)) (out O, err error) {
	if v.dead.Load() {
		time.Sleep(time.Millisecond)
		return out, errCrashed
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(v.life, cancel)()
	t := v.trip(op, attempt, says...)
	if v.pass(ctx, op, t.up) != nil {
		return out, t.cut(ctx)
	}
	got, err := effect(ctx)
	if v.pass(ctx, op, t.down) != nil {
		return out, t.cut(ctx)
	}
	switch {
	case err != nil:
		return out, err
	case t.stalls:
		<-ctx.Done()
		return out, t.cut(ctx)
	case t.halved:
		return out, io.ErrUnexpectedEOF
	case t.lost != nil:
		return out, t.lost
	}
	return got, nil
}

// cut is the error of a call whose context has ended.
func (t trip) cut(ctx context.Context) error {
	time.Sleep(t.late)
	return &smithy.CanceledError{Err: ctx.Err()}
}

// A border is the wire between the library and its client.
type border struct{ *wire }

func (b border) ReceiveMessage(ctx context.Context, in *sqs.ReceiveMessageInput, _ ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	return travel(ctx, b.wire, opReceive, aws.ToString(in.ReceiveRequestAttemptId), []string{strconv.Itoa(int(in.MaxNumberOfMessages))}, func(ctx context.Context) (*sqs.ReceiveMessageOutput, error) {
		return b.w.server.ReceiveMessage(ctx, in)
	})
}

func (b border) DeleteMessageBatch(ctx context.Context, in *sqs.DeleteMessageBatchInput, _ ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error) {
	return travel(ctx, b.wire, opDelete, "", deleteHandles(in), func(ctx context.Context) (*sqs.DeleteMessageBatchOutput, error) {
		return b.w.server.DeleteMessageBatch(ctx, in)
	})
}

func (b border) ChangeMessageVisibilityBatch(ctx context.Context, in *sqs.ChangeMessageVisibilityBatchInput, _ ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error) {
	return travel(ctx, b.wire, opChange, "", changeHandles(in), func(ctx context.Context) (*sqs.ChangeMessageVisibilityBatchOutput, error) {
		return b.w.server.ChangeMessageVisibilityBatch(ctx, in)
	})
}

func (b border) SendMessage(ctx context.Context, in *sqs.SendMessageInput, _ ...func(*sqs.Options)) (*sqs.SendMessageOutput, error) {
	return travel(ctx, b.wire, opSend, "", []string{*in.MessageBody}, func(ctx context.Context) (*sqs.SendMessageOutput, error) {
		return b.w.server.SendMessage(ctx, in)
	})
}

// attemptID is the one part of a request that two runs of a seed do not have in common.
var attemptID = regexp.MustCompile(`"ReceiveRequestAttemptId":"([^"]*)"`)

func attemptOf(body []byte) string {
	if found := attemptID.FindSubmatch(body); found != nil {
		return string(found[1])
	}
	return ""
}

// A road is the wire below the SDK client, where there are requests and bodies.
type road struct {
	*wire
	inner sqs.HTTPClient
}

func (r road) Do(req *http.Request) (*http.Response, error) {
	if r.dead.Load() {
		time.Sleep(time.Millisecond)
		return nil, errCrashed
	}
	ctx, cancel := context.WithCancel(req.Context())
	stop := context.AfterFunc(r.life, cancel)
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	req = req.Clone(ctx)
	req.Body = io.NopCloser(newReader(body))
	op := strings.TrimPrefix(req.Header.Get("X-Amz-Target"), "AmazonSQS.")
	t := r.trip(op, attemptOf(body), attemptID.ReplaceAllString(string(body), ""))
	if err := r.pass(ctx, op, t.up); err != nil {
		time.Sleep(t.late)
		return nil, err
	}
	resp, err := r.inner.Do(req)
	if err == nil {
		err = r.pass(ctx, op, t.down)
	}
	if err != nil || t.lost != nil {
		stop()
		cancel()
		return nil, errors.Join(err, t.lost)
	}
	resp.Body = &stretch{
		ReadCloser: resp.Body, trip: t, ctx: ctx, done: func() { stop(); cancel() },
		slow: r.w.nature.arriving(resp.ContentLength), left: resp.ContentLength / 2,
	}
	return resp, nil
}

// A stretch is an answer's body on its way.
type stretch struct {
	io.ReadCloser
	trip trip
	ctx  context.Context
	done func()
	slow time.Duration // from its first bytes to the others
	some bool          // the first ones are here
	left int64         // bytes until it breaks, if it does
}

func (s *stretch) Read(p []byte) (int, error) {
	const first = 16
	switch {
	case s.slow > 0 && !s.some:
		s.some = true
		p = p[:min(first, len(p))]
	case s.slow > 0:
		if err := sleep(s.ctx, s.slow); err != nil {
			return 0, err
		}
		s.slow = 0
	}
	if !s.trip.halved && !s.trip.stalls {
		return s.ReadCloser.Read(p)
	}
	if s.left <= 0 {
		if s.trip.stalls {
			<-s.ctx.Done()
			time.Sleep(s.trip.late)
			return 0, s.ctx.Err()
		}
		return 0, io.ErrUnexpectedEOF
	}
	n, err := s.ReadCloser.Read(p[:min(int64(len(p)), s.left)])
	s.left -= int64(n)
	return n, err
}

func (s *stretch) Close() error {
	s.done()
	return s.ReadCloser.Close()
}

// secret is the key that the SDK signs with. It must never be in a log line or an error.
const secret = "CANARY-SECRET-KEY"

// client returns what the library is given: the recorder in front of the network, or
// the SDK's client with a recorder between it and the network.
func (v *wire) client() sluice.Client {
	if v.w.level == atSeam {
		return &recorder{wire: v, next: border{v}}
	}
	sdk := v.w.server.Client(func(o *sqs.Options) {
		o.HTTPClient = road{wire: v, inner: o.HTTPClient}
		if v.w.level == pastSDK {
			o.HTTPClient = &tap{&recorder{wire: v}, o.HTTPClient}
		}
		o.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "sqstest", SecretAccessKey: secret}, nil
		})
	})
	if v.w.level == pastSDK {
		return sdk
	}
	return &recorder{wire: v, next: sdk}
}
