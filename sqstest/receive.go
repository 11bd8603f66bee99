package sqstest

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// receiving is one ReceiveMessage, checked.
type receiving struct {
	max        int           // 0: nothing, at once
	visibility time.Duration // negative: the queue's
	wait       time.Duration // negative: the queue's
	want       *selection
	attempt    string
	at         int64 // when the request came in
	hit        struck
}

// ReceiveMessage answers at once when at least one message is available, with as many as there are up to
// MaxNumberOfMessages. With nothing available it waits for WaitTimeSeconds and answers, at the very instant, when a
// message is sent, released, or comes to the end of its delay or visibility timeout. As with the SDK's client, whose
// requests leave zeros out, a 0 means that the queue's own value holds, and for MaxNumberOfMessages 1.
func (s *Server) ReceiveMessage(ctx context.Context, in *sqs.ReceiveMessageInput, _ ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	return perform(ctx, s, opReceiveMessage, queueURL(in), in, func(in *sqs.ReceiveMessageInput, hit struck) (*sqs.ReceiveMessageOutput, error) {
		r, err := readReceive(in, zerosOf(ctx))
		if err != nil {
			return nil, err
		}
		r.hit = hit
		messages, err := s.receive(ctx, in.QueueUrl, r)
		if err != nil {
			return nil, err
		}
		return &sqs.ReceiveMessageOutput{Messages: messages}, nil
	})
}

func readReceive(in *sqs.ReceiveMessageInput, zero zeros) (*receiving, error) {
	number := in.MaxNumberOfMessages
	if number == 0 && !zero.Max {
		number = 1
	}
	attempt := text(in.ReceiveRequestAttemptId)
	switch {
	case number < 1 || number > maxReceive:
		return nil, invalidValue(number, "MaxNumberOfMessages", "Must be between 1 and 10, if provided.")
	case in.WaitTimeSeconds < 0 || in.WaitTimeSeconds > maxWait:
		return nil, invalidValue(in.WaitTimeSeconds, "WaitTimeSeconds", "Must be >= 0 and <= 20, if provided.")
	case in.VisibilityTimeout < 0 || in.VisibilityTimeout > maxVisibility:
		return nil, invalidValue(in.VisibilityTimeout, "VisibilityTimeout", "Must be between 0 and 43200, if provided.")
	case attempt != "" && !validID(attempt):
		return nil, invalidID(attempt, "ReceiveRequestAttemptId")
	}
	//nolint:staticcheck // deprecated, but its callers live on
	want, err := selectAttributes(in.MessageSystemAttributeNames, in.AttributeNames, in.MessageAttributeNames)
	if err != nil {
		return nil, err
	}
	return &receiving{
		max:        int(number),
		visibility: secondsOr(in.VisibilityTimeout, zero.Visibility),
		wait:       secondsOr(in.WaitTimeSeconds, zero.Wait),
		want:       want,
		attempt:    attempt,
		at:         time.Now().UnixNano(),
	}, nil
}

// secondsOr is n seconds; a 0 that was not sent is -1: the queue's default.
func secondsOr(n int32, sent bool) time.Duration {
	if n == 0 && !sent {
		return -1
	}
	return seconds(n)
}

func seconds[N int | int32 | int64](n N) time.Duration { return time.Duration(n) * time.Second }

// receive takes what is there, or waits for it.
func (s *Server) receive(ctx context.Context, url *string, r *receiving) ([]types.Message, error) {
	q, now, err := s.open(ctx, url)
	if err != nil {
		return nil, err
	}
	if r.wait < 0 {
		r.wait = q.wait
	}
	r.max = q.cut(r.max)
	messages, err := q.receive(r, now)
	if err != nil || len(messages) > 0 || r.wait == 0 || r.empty() {
		q.unlock(now)
		q.countEmpty(messages, err)
		return messages, err
	}
	deadline := now + int64(r.wait)
	w := &waiter{r: r, done: make(chan struct{}), alarm: make(chan struct{}, 1)}
	q.waiters.add(w)
	w.armed = q.wakeup(w, deadline)
	first := time.Duration(w.armed - now) // read under the lock: whoever holds it may set another
	q.unlock(now)
	messages, err = q.await(ctx, w, first, deadline)
	q.countEmpty(messages, err)
	return messages, err
}

// receive answers r with what is available now.
func (q *queue) receive(r *receiving, now int64) ([]types.Message, error) {
	if r.empty() {
		return nil, nil
	}
	if q.fifo && r.attempt != "" {
		if a := q.attempts.find(r.attempt, now); a != nil {
			return q.repeat(a, r, now)
		}
	}
	if !q.fifo && r.wait == 0 && q.flights >= q.s.inFlightMax {
		return nil, OverLimit()
	}
	return q.take(r, now), nil
}

// empty reports whether r is answered with nothing whatever there is.
func (r *receiving) empty() bool { return r.max == 0 || r.hit.empty() }

func (q *queue) countEmpty(messages []types.Message, err error) {
	if err == nil && len(messages) == 0 {
		q.mu.Lock()
		q.stats.EmptyReceives++
		q.mu.Unlock()
	}
}

// take delivers up to r.max messages; those that were received too often already go to the dead-letter queue instead.
func (q *queue) take(r *receiving, now int64) []types.Message {
	room := min(r.hit.bound(r.max), q.s.inFlightMax-q.flights)
	if room <= 0 {
		return nil
	}
	several, lies := q.line.(*serverLines)
	if !lies {
		return q.takeFrom(q.line, room, r, now)
	}
	short := r.wait == 0
	for l := several.answering(short); l != nil; l = several.answering(short) {
		if out := q.takeFrom(l, room, r, now); len(out) > 0 || short {
			return out
		}
	}
	return nil
}

// takeFrom is take from one server.
func (q *queue) takeFrom(server line, room int, r *receiving, now int64) []types.Message {
	var out []types.Message
	var taken []*message
	for m := range server.deliverable {
		if to := q.exhausted(m); to != nil {
			q.bury(m, to, now)
			continue
		}
		out = append(out, q.deliver(m, r, now))
		taken = append(taken, m)
		if r.hit.twice() && len(out) < room {
			m.twin = true
			out = append(out, q.deliver(m, r, now))
		}
		if len(out) >= room {
			break
		}
	}
	if q.fifo && r.attempt != "" && len(taken) > 0 {
		q.attempts.remember(r.attempt, taken, now)
	}
	if r.hit.again() {
		for _, m := range taken {
			q.redeliver(m)
		}
	}
	return out
}

// deliver puts m into flight under a new receipt.
func (q *queue) deliver(m *message, r *receiving, now int64) types.Message {
	m.receipt++
	if !m.twin {
		m.since = m.receipt
	}
	m.twin = false
	m.count++
	m.here++
	if m.first == 0 {
		m.first = now
	}
	m.requested = r.at
	q.hide(m, now+int64(q.visibilityOf(r)))
	h := handle{q.number, m.number, m.receipt}.String()
	q.remember(Delivery{
		MessageID: m.id, At: time.Unix(0, now), ReceiveCount: m.count, ReceiptHandle: h, Until: time.Unix(0, m.until),
	})
	q.stats.Deliveries++
	if m.here == 1 {
		q.stats.Distinct++
	}
	q.noteReceipt(Delivered, m, now, h)
	out := m.render(h, r.want)
	if r.hit.wrongMD5() {
		out.MD5OfBody = new(r.hit.digest(m.md5))
	}
	return out
}

func (q *queue) visibilityOf(r *receiving) time.Duration {
	v := r.visibility
	if v < 0 {
		v = q.visibility
	}
	return r.hit.lease(v)
}

// repeat answers a receive under a ReceiveRequestAttemptId that was used before: the same messages under the same
// handles, hidden anew. Once their visibility timeout is over it is a receive like any other.
func (q *queue) repeat(a *attempt, r *receiving, now int64) ([]types.Message, error) {
	held, modified := a.state()
	if modified {
		return nil, invalidValue(r.attempt, "ReceiveRequestAttemptId",
			"The request attempt is not valid anymore since its messages have been modified.")
	}
	if !held {
		return q.take(r, now), nil
	}
	out := make([]types.Message, 0, len(a.receipts))
	for _, old := range a.receipts {
		q.hide(old.m, now+int64(q.visibilityOf(r)))
		h := handle{q.number, old.m.number, old.number}.String()
		q.noteReceipt(LeaseChanged, old.m, now, h)
		out = append(out, old.m.render(h, r.want))
	}
	return out, nil
}
