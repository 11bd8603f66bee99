package stories_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sqstest"
)

// A deaf client does not heed the contexts of some calls of an operation: it returns from
// them when free is closed, or after a time of its own.
type deaf struct {
	*sqstest.Server

	op    string
	skip  int64         // calls before those
	times int64         // how many; 0: all
	after time.Duration // 0: it waits for free
	free  chan struct{}
	n     atomic.Int64
}

func (d *deaf) hear(ctx context.Context, op string) context.Context {
	if op != d.op {
		return ctx
	}
	if n := d.n.Add(1); n <= d.skip || d.times > 0 && n > d.skip+d.times {
		return ctx
	}
	if d.after > 0 {
		time.Sleep(d.after)
	} else {
		<-d.free
	}
	return context.WithoutCancel(ctx)
}

func (d *deaf) ReceiveMessage(ctx context.Context, in *sqs.ReceiveMessageInput, o ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	return d.Server.ReceiveMessage(d.hear(ctx, opReceive), in, o...)
}

func (d *deaf) DeleteMessageBatch(ctx context.Context, in *sqs.DeleteMessageBatchInput, o ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error) {
	return d.Server.DeleteMessageBatch(d.hear(ctx, opDelete), in, o...)
}

func (d *deaf) ChangeMessageVisibilityBatch(ctx context.Context, in *sqs.ChangeMessageVisibilityBatchInput, o ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error) {
	return d.Server.ChangeMessageVisibilityBatch(d.hear(ctx, opChange), in, o...)
}

func (d *deaf) SendMessage(ctx context.Context, in *sqs.SendMessageInput, o ...func(*sqs.Options)) (*sqs.SendMessageOutput, error) {
	return d.Server.SendMessage(d.hear(ctx, opSend), in, o...)
}

// deafen gives the world a client that does not hear some calls of op.
func (w *world) deafen(d *deaf) *deaf {
	d.Server, d.free = w.server, make(chan struct{})
	w.client = d
	return d
}

func TestAReceiveThatIgnoresItsDeadlineIsLeftBehind(t *testing.T) {
	tell(t, func(w *world) {
		d := w.deafen(&deaf{op: opReceive, skip: 3, times: 1})
		c := w.consumer(sluice.Options{})
		stop := w.run(c, w.handler(nil))
		time.Sleep(2 * time.Hour)
		w.send(0, 10)
		time.Sleep(time.Minute)
		require.Equal(w, 10, w.handled(), "another receive has taken its place")
		require.EqualValues(w, 1, c.Stats().Errors[opReceive])
		require.NoError(w, stop())
		close(d.free)
		time.Sleep(time.Minute)
	})
}

func TestHealthShowsACallThatIgnoresItsDeadline(t *testing.T) {
	tell(t, func(w *world) {
		d := w.deafen(&deaf{op: opReceive})
		c := w.consumer(sluice.Options{})
		stop := w.run(c, w.handler(nil))
		time.Sleep(27 * time.Second)
		require.ErrorContains(w, c.Health().Err, "has not returned")
		require.ErrorIs(w, c.Health().Err, context.DeadlineExceeded)
		time.Sleep(5 * time.Minute)
		require.Equal(w, sluice.StateBackingOff, c.Health().State)
		require.NoError(w, stop())
		close(d.free)
		time.Sleep(time.Minute)
	})
}

func TestCallsThatNeverReturnAreBounded(t *testing.T) {
	tell(t, func(w *world) {
		d := w.deafen(&deaf{op: opReceive})
		c := w.consumer(sluice.Options{PollTime: time.Second})
		stop := w.run(c, w.handler(nil))
		time.Sleep(24 * time.Hour)
		require.LessOrEqual(w, d.n.Load(), int64(100+46), "calls made")
		require.ErrorContains(w, c.Health().Err, "not made: 100 calls have not returned")
		w.send(0, 10)
		close(d.free) // they return, and so calls are made again
		time.Sleep(2 * time.Minute)
		require.Equal(w, 10, w.handled())
		require.NoError(w, c.Health().Err)
		require.NoError(w, stop())
	})
}

func TestWhatALateReceiveBringsIsTaken(t *testing.T) {
	for _, fifo := range []bool{false, true} {
		t.Run(fmt.Sprintf("fifo %v", fifo), func(t *testing.T) {
			tell(t, func(w *world) {
				// The client ignores the end of the context, at 6 s, and brings at 8 s what it has
				// received just then.
				w.deafen(&deaf{op: opReceive, times: 1, after: 8 * time.Second})
				if fifo {
					w.groups()
					w.sendGroup("a", "0")
				} else {
					w.send(0, 1)
				}
				w.server.Inject(sqstest.Fault{Op: opReceive, Empty: true, Lag: time.Second, Skip: 0, Match: func(sqstest.Call) bool { return time.Since(w.began) < 8*time.Second }})
				c := w.consumer(sluice.Options{PollTime: time.Second})
				stop := w.run(c, w.handler(nil))
				time.Sleep(20 * time.Second)
				if fifo {
					time.Sleep(time.Minute) // it has been repeated: another consumer, or this one, may be through with what it brings
				}
				require.Equal(w, 1, w.handled())
				require.NoError(w, stop())
				require.Empty(w, w.left())
			})
		})
	}
}

func TestDeletesThatIgnoreTheirDeadlineAreMadeAgain(t *testing.T) {
	tell(t, func(w *world) {
		d := w.deafen(&deaf{op: opDelete, times: 3})
		w.send(0, 100)
		c := w.consumer(sluice.Options{})
		stop := w.run(c, w.handler(nil))
		time.Sleep(time.Minute)
		require.Empty(w, w.left())
		s := c.Stats()
		require.EqualValues(w, 3, s.Errors[opDelete])
		require.EqualValues(w, 100, s.Deleted)
		require.Zero(w, s.InFlight)
		close(d.free) // what they did late changes nothing
		time.Sleep(time.Minute)
		require.EqualValues(w, 100, c.Stats().Deleted)
		require.NoError(w, stop())
		w.eachOnce(100)
	})
}

func TestChangesThatIgnoreTheirDeadlineAreMadeAgain(t *testing.T) {
	tell(t, func(w *world) {
		d := w.deafen(&deaf{op: opChange, times: 1})
		w.send(0, 1)
		c := w.consumer(sluice.Options{VisibilityTimeout: 2 * time.Minute})
		stop := w.run(c, w.handler(takes(5*time.Minute))) // it needs renewals, of which the first is lost
		time.Sleep(10 * time.Minute)
		require.Empty(w, w.left())
		require.EqualValues(w, 1, c.Stats().Errors[opChange])
		require.Zero(w, c.Stats().LeasesLost)
		require.NoError(w, stop())
		w.eachOnce(1)
		close(d.free)
		time.Sleep(time.Minute)
	})
}

func TestAStopDoesNotWaitForARenewalThatNeverReturns(t *testing.T) {
	tell(t, func(w *world) {
		d := w.deafen(&deaf{op: opChange, times: 1})
		w.send(0, 1)
		c := w.consumer(sluice.Options{VisibilityTimeout: 2 * time.Minute, ShutdownTimeout: 3 * time.Minute})
		stop := w.run(c, w.handler(takes(90*time.Second)))
		time.Sleep(65 * time.Second) // a renewal is out
		require.EqualValues(w, 1, d.n.Load())
		at := time.Now()
		require.NoError(w, stop())
		require.LessOrEqual(w, time.Since(at), 3*time.Minute)
		require.Empty(w, w.left())
		w.eachOnce(1)
		require.EqualValues(w, 1, c.Stats().Errors[opChange])
		require.EqualValues(w, 1, c.Stats().Deleted)
		close(d.free) // what it does late changes nothing
		time.Sleep(time.Minute)
		require.EqualValues(w, 1, c.Stats().Errors[opChange])
		require.EqualValues(w, 1, c.Stats().Deleted)
	})
}

func TestReleasesThatIgnoreTheirDeadlineAreMadeAgain(t *testing.T) {
	tell(t, func(w *world) {
		d := w.deafen(&deaf{op: opChange, times: 1})
		w.send(0, 1)
		c := w.consumer(sluice.Options{VisibilityTimeout: 2 * time.Minute})
		failed := false
		stop := w.run(c, w.handler(func(context.Context, []*sluice.Message) error {
			if !failed {
				failed = true
				return sluice.RetryAfter(30*time.Second, errBad)
			}
			return nil
		}))
		time.Sleep(time.Minute) // less than what is left of its lease
		require.Equal(w, 2, w.handled())
		require.Empty(w, w.left())
		require.EqualValues(w, 1, c.Stats().Errors[opChange])
		require.NoError(w, stop())
		close(d.free)
		time.Sleep(time.Minute)
		require.EqualValues(w, 1, c.Stats().Errors[opChange])
	})
}

func TestDeadLettersThatIgnoreTheirDeadlineAreSentAgain(t *testing.T) {
	tell(t, func(w *world) {
		dead := w.server.MustCreateQueue("dead", nil)
		d := w.deafen(&deaf{op: opSend, times: 1})
		w.send(0, 5)
		c := w.consumer(sluice.Options{DeadLetterQueueURL: dead})
		stop := w.run(c, w.handler(func(context.Context, []*sluice.Message) error { return sluice.DeadLetter(errBad) }))
		time.Sleep(time.Minute)
		require.Empty(w, w.left())
		require.Len(w, w.server.Messages(dead), 5)
		require.EqualValues(w, 1, c.Stats().Errors[opSend])
		require.NoError(w, stop())
		close(d.free)
		time.Sleep(time.Minute)
	})
}

// A slow line lets the bodies of answers pass at a rate that all share.
type slowLine struct {
	sqs.HTTPClient

	rate float64 // bytes a second
	mu   sync.Mutex
	free time.Time // when what is on the line will have passed
	cuts atomic.Int64
}

func (l *slowLine) Do(r *http.Request) (*http.Response, error) {
	answer, err := l.HTTPClient.Do(r)
	if err == nil {
		answer.Body = &slowBody{answer.Body, l, r.Context()}
	}
	return answer, err
}

type slowBody struct {
	io.ReadCloser

	line *slowLine
	ctx  context.Context // of the request
}

func (b *slowBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p[:min(len(p), 4<<10)])
	b.line.mu.Lock()
	if now := time.Now(); b.line.free.Before(now) {
		b.line.free = now
	}
	b.line.free = b.line.free.Add(time.Duration(float64(n) / b.line.rate * 1e9))
	at := b.line.free
	b.line.mu.Unlock()
	select {
	case <-time.After(time.Until(at)):
		return n, err
	case <-b.ctx.Done():
		b.line.cuts.Add(1)
		return 0, context.Cause(b.ctx)
	}
}

func TestASlowLineBringsEachMessageOnce(t *testing.T) {
	for name, c := range map[string]struct {
		rate float64
		body int
		opts sluice.Options
	}{
		"all defaults":     {0.3e6, 60 << 10, sluice.Options{}},
		"a short shutdown": {4e6, 250 << 10, sluice.Options{ShutdownTimeout: 5 * time.Second}},
		"a shorter lease":  {0.3e6, 60 << 10, sluice.Options{VisibilityTimeout: 20 * time.Second, Receivers: 100}},
		"in batches":       {0.3e6, 60 << 10, sluice.Options{BatchSize: 100, WaitTime: 10 * time.Second}},
	} {
		t.Run(name, func(t *testing.T) {
			tell(t, func(w *world) {
				const n = 300
				line := &slowLine{HTTPClient: w.server.HTTPClient(), rate: c.rate}
				w.client = w.server.Client(func(o *sqs.Options) { o.HTTPClient = line })
				body := strings.Repeat("x", c.body)
				for range n {
					w.server.Send(w.url, body)
				}
				stop := w.run(w.consumer(c.opts), w.handler(nil))
				time.Sleep(time.Duration(2*float64(n*c.body)/c.rate*1e9) + time.Minute)
				require.Zero(w, line.cuts.Load(), "answers that were cut")
				w.eachOnce(n)
				require.NoError(w, stop())
			})
		})
	}
}

// slowLines are slow lines, one for each answer, as with connections that are far away.
type slowLines struct {
	sqs.HTTPClient

	rate float64
}

func (l slowLines) Do(r *http.Request) (*http.Response, error) {
	return (&slowLine{HTTPClient: l.HTTPClient, rate: l.rate}).Do(r)
}

// Each answer goes on arriving for half a second or longer, which is no sign that it has waited
// for its messages: they had been in the queue for ten minutes. Nor do full ones that take more
// than a quarter of the lease share a line.
func TestABacklogOfLargeMessagesIsReceivedOverAsManySlowLinesAsThereMayBe(t *testing.T) {
	const receivers = 16
	short := sqstest.AnswerSize(func(r *rand.Rand) int { return 1 + r.IntN(3) })
	batches := sluice.Options{BatchSize: 100, WaitTime: 10 * time.Second}
	for name, c := range map[string]struct {
		opts    sluice.Options
		answers sqstest.Option
		rate    float64 // of a line
		body    int
	}{
		"short answers":                         {sluice.Options{}, short, 50e3, 25 << 10},
		"short answers, in batches":             {batches, short, 50e3, 25 << 10},
		"short answers, by the SDK":             {sluice.Options{SDKCalls: true}, short, 50e3, 25 << 10},
		"short answers, by the SDK, in batches": {sluice.Options{SDKCalls: true, BatchSize: 100, WaitTime: 10 * time.Second}, short, 50e3, 25 << 10},
		"full answers":                          {sluice.Options{}, sqstest.Servers(1), 36e3, 30 << 10},
		"full answers, in batches":              {batches, sqstest.Servers(1), 36e3, 30 << 10},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const n = 600
				w := newWorld(t, c.answers, sqstest.Latency(sqstest.FixedDelay(10*time.Millisecond)))
				w.client = w.server.Client(func(o *sqs.Options) { o.HTTPClient = slowLines{w.server.HTTPClient(), c.rate} })
				body := strings.Repeat("x", c.body)
				for range n {
					w.server.Send(w.url, body)
				}
				time.Sleep(10 * time.Minute)
				c.opts.Receivers = receivers
				stop := w.run(w.consumer(c.opts), w.handler(nil))
				best := time.Duration(float64(n*c.body) / c.rate / receivers * 1e9)
				time.Sleep(2*best + 40*time.Second) // it begins with one receive
				require.NoError(w, stop())
				w.eachOnce(n)
			})
		})
	}
}

// A hasty proxy sends headers before it knows the answer.
type hasty struct{ sqs.HTTPClient }

func (h hasty) Do(r *http.Request) (*http.Response, error) {
	if !strings.HasSuffix(r.Header.Get("X-Amz-Target"), opReceive) {
		return h.HTTPClient.Do(r)
	}
	return &http.Response{
		StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}},
		Body: &laterBody{call: func() (*http.Response, error) { return h.HTTPClient.Do(r) }}, ContentLength: -1,
	}, nil
}

type laterBody struct {
	call func() (*http.Response, error)
	body io.ReadCloser
}

func (b *laterBody) Read(p []byte) (int, error) {
	if b.body == nil {
		answer, err := b.call()
		if err != nil {
			return 0, err
		}
		b.body = answer.Body
	}
	return b.body.Read(p)
}

func (b *laterBody) Close() error {
	if b.body == nil {
		return nil
	}
	return b.body.Close()
}

// A receive that waits for a message has waited, whatever came before its answer.
func TestHeadersThatComeBeforeTheirAnswersChangeNothing(t *testing.T) {
	for _, opts := range []sluice.Options{{}, {SDKCalls: true}, {BatchSize: 10, WaitTime: time.Second}} {
		tell(t, func(w *world) {
			const n = 100
			w.client = w.server.Client(func(o *sqs.Options) { o.HTTPClient = hasty{w.server.HTTPClient()} })
			stop := w.run(w.consumer(opts), w.handler(nil))
			r := rand.New(rand.NewPCG(1, 2))
			for i := range n {
				time.Sleep(time.Duration(r.ExpFloat64() * 7e9))
				w.send(i, 1)
			}
			require.NoError(w, stop())
			w.eachOnce(n)
			require.LessOrEqual(w, w.calls(opReceive), n+10)
			w.send(n, n)
			began := time.Now()
			require.NoError(w, w.consumer(opts).Drain(w.Context(), w.handler(nil)))
			require.Less(w, time.Since(began), 30*time.Second)
			w.eachOnce(2 * n)
		})
	}
}

// A message may come at the end of a long poll, and go on arriving for so long that its lease
// would be over if it had come at the beginning. Nobody can know when it did.
func TestALargeMessageThatComesAtTheEndOfALongPollIsHandledAtOnce(t *testing.T) {
	for _, opts := range []sluice.Options{{}, {SDKCalls: true}, {BatchSize: 10, WaitTime: time.Second}, {VisibilityTimeout: 20 * time.Second}} {
		tell(t, func(w *world) {
			const n, rate = 40, 10e3
			w.client = w.server.Client(func(o *sqs.Options) { o.HTTPClient = slowLines{w.server.HTTPClient(), rate} })
			stop := w.run(w.consumer(opts), w.handler(nil))
			size := int(rate * cmp.Or(opts.VisibilityTimeout, 30*time.Second).Seconds() * 0.38)
			r := rand.New(rand.NewPCG(1, 2))
			for range n {
				time.Sleep(time.Duration(30+40*r.Float64()) * time.Second)
				w.server.Send(w.url, strings.Repeat("x", size))
			}
			time.Sleep(5 * time.Minute)
			require.NoError(w, stop())
			require.Equal(w, n, w.handled())
			require.LessOrEqual(w, w.counts().Deliveries, n+2, "the first ones, of which nothing was known")
		})
	}
}

// Ten messages take longer than they are hidden. The first receive cannot know.
func TestALineTooSlowForTenMessagesIsAskedForFewer(t *testing.T) {
	tell(t, func(w *world) {
		const n, rate, size = 100, 0.1e6, 330 << 10
		line := &slowLine{HTTPClient: w.server.HTTPClient(), rate: rate}
		w.client = w.server.Client(func(o *sqs.Options) { o.HTTPClient = line })
		body := strings.Repeat("x", size)
		for range n {
			w.server.Send(w.url, body)
		}
		stop := w.run(w.consumer(sluice.Options{}), w.handler(nil))
		time.Sleep(20 * time.Minute)
		require.LessOrEqual(w, line.cuts.Load(), int64(1), "answers that were cut")
		require.LessOrEqual(w, w.counts().Deliveries, n+10)
		require.Equal(w, n, w.handled())
		require.Empty(w, w.left())
		require.NoError(w, stop())
	})
}

// Nobody can see how an answer arrives from a client that gives it as a whole.
func TestAnswersThatAreAlwaysLateAreWaitedFor(t *testing.T) {
	tell(t, func(w *world) {
		w.server.MustCreateQueue("dead", nil)
		w.url = w.server.MustCreateQueue("orders2", map[string]string{"RedrivePolicy": `{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:dead","maxReceiveCount":"3"}`})
		w.send(0, 100)
		w.server.Inject(sqstest.Fault{Op: opReceive, Lag: 8 * time.Second})
		c := w.consumer(sluice.Options{ShutdownTimeout: 3 * time.Second})
		stop := w.run(c, w.handler(nil))
		time.Sleep(20 * time.Minute)
		require.NoError(w, stop())
		require.Equal(w, 100, w.handled())
		require.Empty(w, w.server.Messages("dead"))
		stats := w.server.Stats().Queues["orders2"]
		require.LessOrEqual(w, stats.Deliveries, 110, "only the first receive was cut")
	})
}

// raw answers each call with a text, as SQS would.
type raw func(op string, in map[string]any) (status int, text string)

func (f raw) Do(r *http.Request) (*http.Response, error) {
	in := map[string]any{}
	_ = json.NewDecoder(r.Body).Decode(&in)
	time.Sleep(8 * time.Millisecond)
	status, text := f(strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "AmazonSQS."), in)
	return &http.Response{
		StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}},
		Body: io.NopCloser(strings.NewReader(text)), ContentLength: int64(len(text)),
	}, nil
}

func (f raw) client() *sqs.Client {
	return sluice.NewClient(aws.Config{
		Region: "eu-central-1", BaseEndpoint: new("http://sqs.test"), HTTPClient: f,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "key", SecretAccessKey: strings.Repeat("s", 40)}, nil
		}),
	})
}

// received is a message as SQS writes it.
func received(id, handle, body string) string {
	sum := md5.Sum([]byte(body))
	return fmt.Sprintf(`{"MessageId":%q,"ReceiptHandle":%q,"MD5OfBody":%q,"Body":%q,"Attributes":{"ApproximateReceiveCount":"1"}}`, id, handle, hex.EncodeToString(sum[:]), body)
}

// unreadable are answers to a receive that are not in the form that SQS gives.
var unreadable = map[string]string{
	"mistyped":       `{"Messages":[{"MessageId":"m","ReceiptHandle":{"CANARY-HANDLE":1},"Body":"CANARY-BODY"}]}`,
	"a number":       `{"Messages":[{"MessageId":"m","ReceiptHandle":"CANARY-HANDLE","Body":"CANARY-BODY","Attributes":{"SentTimestamp":["CANARY-VALUE"]}}]}`,
	"cut JSON":       `{"Messages":[{"MessageId":"m","ReceiptHandle":"CANARY-HANDLE","Body":"CANARY-BODY"`,
	"no JSON":        `CANARY-BODY`,
	"a wrong digest": `{"Messages":[{"MessageId":"m","ReceiptHandle":"CANARY-HANDLE","MD5OfBody":"5d41402abc4b2a76b9719d911017c592","Body":"CANARY-BODY"}]}`,
	"bad base64":     `{"Messages":[{"MessageId":"m","ReceiptHandle":"CANARY-HANDLE","Body":"CANARY-BODY","MessageAttributes":{"a":{"DataType":"Binary","BinaryValue":"CANARY-VALUE!"}}}]}`,
}

func TestReceivesWhoseAnswersCannotBeReadBecomeRare(t *testing.T) {
	for name, text := range unreadable {
		t.Run(name, func(t *testing.T) {
			tell(t, func(w *world) {
				var receives atomic.Int64
				w.client = raw(func(string, map[string]any) (int, string) { receives.Add(1); return 200, text }).client()
				var logs logged
				c := w.consumer(sluice.Options{Logger: slog.New(slog.NewTextHandler(&logs, nil))})
				stop := w.run(c, w.handler(nil))
				time.Sleep(time.Minute)
				before := receives.Load()
				time.Sleep(time.Hour)
				require.LessOrEqual(w, receives.Load()-before, int64(121), "receives in an hour")
				require.GreaterOrEqual(w, receives.Load()-before, int64(100))
				require.LessOrEqual(w, before, int64(20), "those of the first minute")
				h := c.Health()
				require.Equal(w, sluice.StateBackingOff, h.State)
				require.ErrorContains(w, h.Err, "cannot be read")
				require.NotContains(w, h.Err.Error(), "CANARY")
				require.NotContains(w, logs.text(), "CANARY")
				require.NoError(w, stop())
			})
		})
	}
}

func TestReceivesGoOnWhenAnswersCanBeReadAgain(t *testing.T) {
	tell(t, func(w *world) {
		w.client = w.server.Client()
		w.send(0, 100)
		w.server.Inject(sqstest.Fault{Op: opReceive, WrongMD5: true, Times: 7})
		c := w.consumer(sluice.Options{})
		stop := w.run(c, w.handler(nil))
		time.Sleep(3 * time.Minute)
		require.Equal(w, 100, w.handled())
		require.NoError(w, stop())
	})
}

// logged is a place for log lines.
type logged struct {
	mu   sync.Mutex
	into bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.into.Write(p)
}

func (l *logged) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.into.String()
}

// Whatever SQS says of a whole call, nothing that was in the call is told on: not by logs,
// hooks, Health, causes and what Run returns.
func TestErrorsOfWholeCallsNameNoSecret(t *testing.T) {
	const handle = "AQEBCANARYHANDLE0123456789abcdef"
	const body = `CANARY-BODY "of" a message`
	for _, op := range []string{opReceive, opDelete, opChange, opSend} {
		for name, text := range map[string][2]string{
			"its receipt":             {"ReceiptHandleIsInvalid", "The input receipt handle " + handle + " is not a valid receipt handle."},
			"a part of it":            {"ReceiptHandleIsInvalid", "Value " + handle[:20] + "... for parameter ReceiptHandle is invalid."},
			"its body":                {"InvalidMessageContents", "Invalid text in '" + body + "'"},
			"its body, quoted":        {"InvalidMessageContents", fmt.Sprintf("Invalid text in %q", body)},
			"its session's token":     {"SignatureDoesNotMatch", "The Canonical String should have been 'POST\n/\nx-amz-security-token:CANARYTOKEN\nhost:h'"},
			"its receipt, in a final": {"AccessDenied", "no access to " + handle},
		} {
			if strings.HasPrefix(name, "its body") && op != opSend {
				continue // there is none in it
			}
			message, err := json.Marshal(text[1])
			require.NoError(t, err)
			says := fmt.Sprintf(`{"__type":"com.amazonaws.sqs#%s","message":%s}`, text[0], message)
			t.Run(op+" names "+name, func(t *testing.T) {
				tell(t, func(w *world) {
					sent := false
					client := raw(func(asked string, in map[string]any) (int, string) {
						switch {
						case asked == opReceive && !sent:
							sent = true
							return 200, `{"Messages":[` + received("m", handle, body) + `]}`
						case asked == op:
							return 400, says
						case asked == opReceive:
							time.Sleep(time.Second)
							return 200, `{}`
						case asked == opSend:
							return 200, `{"MessageId":"d"}`
						}
						return 200, `{"Successful":[{"Id":"0"}],"Failed":[]}`
					}).client()
					w.client = client
					var logs logged
					var told []error
					var mu sync.Mutex
					tell := func(err error) {
						mu.Lock()
						defer mu.Unlock()
						told = append(told, err)
					}
					c := w.consumer(sluice.Options{
						Logger: slog.New(slog.NewTextHandler(&logs, &slog.HandlerOptions{Level: slog.LevelDebug})), VisibilityTimeout: 4 * time.Second,
						DeadLetterQueueURL: "http://sqs.test/1/dead",
						Hooks: sluice.Hooks{
							Call:      func(e sluice.CallEvent) { tell(e.Err) },
							LeaseLost: func(e sluice.LeaseEvent) { tell(e.Err) },
							Health:    func(h sluice.Health) { tell(h.Err) },
						},
					})
					ctx, cancel := context.WithTimeout(w.Context(), time.Minute)
					defer cancel()
					tell(c.Run(ctx, func(ctx context.Context, batch []*sluice.Message) error {
						if op == opChange {
							<-ctx.Done()
							tell(context.Cause(ctx))
							return nil
						}
						if op == opSend {
							return sluice.DeadLetter(fmt.Errorf("%w, says the user", errBad))
						}
						return nil
					}))
					tell(c.Health().Err)
					require.NotContains(w, logs.text(), "CANARY")
					mu.Lock()
					defer mu.Unlock()
					failed := false
					for _, err := range told {
						if err == nil {
							continue
						}
						failed = true
						require.NotContains(w, err.Error(), "CANARY")
						require.NotContains(w, fmt.Sprintf("%+v", err), "CANARY")
						if api, ok := errors.AsType[smithy.APIError](err); ok {
							require.NotContains(w, api.ErrorMessage(), "CANARY")
						}
						if invalid, ok := errors.AsType[*types.ReceiptHandleIsInvalid](err); ok {
							require.NotContains(w, invalid.Error(), "CANARY")
						}
					}
					require.True(w, failed, "nothing was told")
				})
			})
		}
	}
}

const fipsVariable = "SLUICE_FIPS_CHILD"

// Where MD5 is forbidden, SQS's digests cannot be checked. Messages are handled all the same.
func TestMessagesAreHandledWhereMD5IsForbidden(t *testing.T) {
	if os.Getenv(fipsVariable) == "" {
		child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
		child.Env = append(os.Environ(), fipsVariable+"=1", "GODEBUG=fips140=only")
		out, err := child.CombinedOutput()
		require.NoError(t, err, "%s", out)
		return
	}
	require.Panics(t, func() { md5.Sum(nil) }, "the child may use MD5")
	ctx, stop := context.WithTimeout(t.Context(), time.Minute) // not in a bubble: without a real clock there is no entropy
	defer stop()
	var receives, letters, deletes atomic.Int64
	client := raw(func(op string, _ map[string]any) (int, string) {
		switch op {
		case opReceive:
			n := receives.Add(1)
			if n > 5 {
				return 200, `{}`
			}
			return 200, fmt.Sprintf(`{"Messages":[{"MessageId":"m%d","ReceiptHandle":"h%d","MD5OfBody":"5d41402abc4b2a76b9719d911017c592","Body":"hello","Attributes":{"ApproximateReceiveCount":"1"}}]}`, n, n)
		case opSend:
			letters.Add(1)
			return 200, `{"MessageId":"d","MD5OfMessageBody":"5d41402abc4b2a76b9719d911017c592"}`
		}
		if deletes.Add(1) == 5 {
			stop()
		}
		return 200, `{"Successful":[{"Id":"0"}]}`
	}).client()
	c, err := sluice.New(client, "http://sqs.test/1/orders", sluice.Options{
		Logger: quiet, DeadLetterQueueURL: "http://sqs.test/1/dead", BatchSize: 1, Concurrency: 1, DeleteLinger: -1,
	})
	require.NoError(t, err)
	require.NoError(t, c.Run(ctx, func(_ context.Context, batch []*sluice.Message) error {
		if batch[0].ID == "m3" {
			return sluice.DeadLetter(errBad)
		}
		return nil
	}))
	require.EqualValues(t, 5, c.Stats().Deleted, "%+v", c.Health())
	require.EqualValues(t, 1, letters.Load())
}

func TestALateReceiveThatBringsTheLastMessageEndsTheRun(t *testing.T) {
	tell(t, func(w *world) {
		w.deafen(&deaf{op: opReceive, times: 1, after: 8 * time.Second})
		w.send(0, 3)
		c := w.consumer(sluice.Options{MaxMessages: 1, PollTime: time.Second})
		ended := make(chan error, 1)
		go func() { ended <- c.Run(w.Context(), w.handler(nil)) }()
		time.Sleep(6500 * time.Millisecond) // it is not given up yet
		c.Pause()
		time.Sleep(3 * time.Second)
		c.Resume()
		require.NoError(w, <-ended)
		require.Less(w, time.Since(w.began), time.Minute)
		require.Equal(w, 1, w.handled())
	})
}

// sizes is a client that notes how much is asked for under which id, and loses an answer.
type sizes struct {
	*sqstest.Server

	lost  int // the number of the receive whose answer is lost
	n     int
	asked map[string][]int32
}

func (c *sizes) ReceiveMessage(ctx context.Context, in *sqs.ReceiveMessageInput, optFns ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	c.n++
	n := c.n
	c.asked[*in.ReceiveRequestAttemptId] = append(c.asked[*in.ReceiveRequestAttemptId], in.MaxNumberOfMessages)
	out, err := c.Server.ReceiveMessage(ctx, in, optFns...)
	if n == c.lost {
		return nil, sqstest.Reset()
	}
	return out, err
}

func TestARepeatedReceiveAsksForAsMuchAsBefore(t *testing.T) {
	tell(t, func(w *world) {
		w.groups()
		client := &sizes{Server: w.server, lost: 2, asked: map[string][]int32{}}
		w.client = client
		for _, group := range []string{"a", "b", "c", "d", "e", "f"} {
			w.sendGroup(group, group)
		}
		stop := w.run(w.consumer(sluice.Options{Concurrency: 8, Receivers: 1, PollTime: 2 * time.Second}), w.handler(takes(time.Second)))
		time.Sleep(time.Minute)
		require.NoError(w, stop())
		again := 0
		for _, sizes := range client.asked {
			for _, size := range sizes[1:] {
				require.Equal(w, sizes[0], size)
				again++
			}
		}
		require.Positive(w, again, "one was repeated")
	})
}
