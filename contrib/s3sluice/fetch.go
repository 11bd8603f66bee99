package s3sluice

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/sluice-go/sluice"
)

// ErrMissing is in the error of a message whose payload is not in its bucket. S3 says so only to those
// who may list the bucket (s3:ListBucket). To others it says AccessDenied, and the message fails as
// with any other error.
var ErrMissing = errors.New("the payload is not there")

// A GetObjectClient reads objects. *s3.Client is one. Its method is called concurrently.
type GetObjectClient interface {
	GetObject(ctx context.Context, in *s3.GetObjectInput, optFns ...func(*s3.Options)) (*s3.GetObjectOutput, error)
}

// Fetch returns a middleware, a func(sluice.Handler) sluice.Handler, which reads payloads from S3. The
// handler gets copies of the messages that are pointers. Their Body is the payload, the bytes of the
// object, and the attribute that made them pointers is not there. All else is as SQS delivered it.
// Other messages are passed on as they are.
//
// A message whose payload cannot be read fails, and the handler does not get it. On a FIFO queue it does
// not get those behind it in its message group either. The handler is called for the others. If the
// payload is not in its bucket, the error is a [sluice.DeadLetter] with [ErrMissing].
//
// Fetch returns an error if o cannot work, with all that is wrong. The middleware may be used for
// several handlers; they share its bounds.
func Fetch(client GetObjectClient, o Options) (func(sluice.Handler) sluice.Handler, error) {
	o, err := o.withDefaults()
	if client == nil {
		err = errors.Join(errors.New("s3sluice: client is nil, want one such as *s3.Client"), err)
	}
	if err != nil {
		return nil, err
	}
	f := &fetcher{client: client, o: o, memory: semaphore.NewWeighted(int64(o.BytesInFlight)), requests: semaphore.NewWeighted(int64(o.Parallel))}
	return func(next sluice.Handler) sluice.Handler {
		if next == nil {
			return nil // New's and Run's error is clearer than a panic at the first message
		}
		return func(ctx context.Context, batch []*sluice.Message) error { return f.handle(ctx, batch, next) }
	}, nil
}

// A fetcher reads payloads for all calls of a handler.
type fetcher struct {
	client   GetObjectClient
	o        Options
	memory   *semaphore.Weighted // bytes. A call waits for it while it holds none, so calls cannot wait for each other for ever
	requests *semaphore.Weighted
}

// A payload is what a message points to. Only one goroutine at a time touches it.
type payload struct {
	message *sluice.Message
	pointer bool // false: the message has its body itself
	at      pointer
	size    int64 // bytes to reserve: what the message says, later what S3 says
	known   bool  // size is what S3 says
	larger  bool  // S3 has just said that it is larger than what is reserved
	body    string
	err     error
}

// handle handles a batch, in as many parts as its payloads need.
func (f *fetcher) handle(ctx context.Context, batch []*sluice.Message, next sluice.Handler) error {
	if !slices.ContainsFunc(batch, isPointer) {
		return next(ctx, batch)
	}
	var errs []error
	halted := map[string]bool{} // message groups
	rest := f.payloads(batch)
	for len(rest) > 0 {
		part := f.fitting(rest)
		again, err := f.handlePart(ctx, part, next)
		if again {
			continue // with the sizes that S3 has said, and so perhaps with a smaller part
		}
		for m, err := range sluice.Outcomes(messagesOf(part), err) {
			errs = append(errs, sluice.Failed(m, err))
			if m.SequenceNumber != "" && sluice.OutcomeOf(err).Kind != sluice.OutcomeDiscard {
				halted[m.GroupID] = true
			}
		}
		rest = slices.DeleteFunc(rest[len(part):], func(p *payload) bool {
			behind := p.message.SequenceNumber != "" && halted[p.message.GroupID]
			if behind {
				errs = append(errs, sluice.Failed(p.message, errBehind))
			}
			return behind
		})
	}
	return errors.Join(errs...)
}

// errBehind is not seen: a Consumer takes such a message for one that was not handled.
var errBehind = errors.New("the message stands behind one of its message group that failed")

func isPointer(m *sluice.Message) bool {
	_, ok := markerOf(m)
	return ok
}

// payloads returns what the messages of a batch point to.
func (f *fetcher) payloads(batch []*sluice.Message) []*payload {
	all := make([]*payload, len(batch))
	for i, m := range batch {
		p := &payload{message: m}
		all[i] = p
		mark, ok := markerOf(m)
		if !ok {
			continue
		}
		p.pointer = true
		if p.at, p.err = f.o.locate(m); p.err == nil {
			p.size = sizeIn(mark, int64(f.o.MaxBytes))
		} else {
			p.err = fmt.Errorf("s3sluice: %w", p.err)
		}
	}
	return all
}

// fitting returns the first of all, as many as fit into the memory. One always does.
func (f *fetcher) fitting(all []*payload) []*payload {
	left := int64(f.o.BytesInFlight)
	for i, p := range all {
		if left -= p.size; left < 0 {
			return all[:i]
		}
	}
	return all
}

// handlePart fetches payloads that fit into the memory, and calls next. If some are larger than was
// reserved for them, it calls nobody and reports that the part is to be handled again.
func (f *fetcher) handlePart(ctx context.Context, part []*payload, next sluice.Handler) (again bool, err error) {
	var reserved, used int64
	for _, p := range part {
		reserved += p.size
	}
	if f.memory.Acquire(ctx, reserved) != nil {
		return false, context.Cause(ctx)
	}
	defer func() { f.memory.Release(reserved) }()
	f.fetch(ctx, part)
	for _, p := range part {
		if p.larger {
			again, p.larger = true, false
		}
		used += int64(len(p.body))
	}
	if again {
		for _, p := range part {
			p.body = "" // nothing is held while the next try waits for memory
		}
		return true, nil
	}
	f.memory.Release(reserved - used) // what messages promised and objects did not need
	reserved = used

	byMessage := make(map[*sluice.Message]*payload, len(part))
	for _, p := range part {
		byMessage[p.message] = p
	}
	return false, sluice.Transform(next, func(_ context.Context, m *sluice.Message) (*sluice.Message, error) {
		return byMessage[m].result()
	})(ctx, messagesOf(part))
}

func messagesOf(part []*payload) []*sluice.Message {
	messages := make([]*sluice.Message, len(part))
	for i, p := range part {
		messages[i] = p.message
	}
	return messages
}

// result returns the message for the handler.
func (p *payload) result() (*sluice.Message, error) {
	if p.err != nil || !p.pointer {
		return p.message, p.err
	}
	m := *p.message
	m.Body, m.Attributes = p.body, withoutMarker(m.Attributes)
	return &m, nil
}

// fetch reads all payloads of a part, in parallel.
func (f *fetcher) fetch(ctx context.Context, part []*payload) {
	var requests errgroup.Group
	requests.SetLimit(f.o.Parallel)
	for _, p := range part {
		if !p.pointer || p.err != nil {
			continue
		}
		requests.Go(func() error {
			if p.err = f.get(ctx, p); p.err != nil {
				p.size = 0 // nothing is to be reserved for it
			}
			return nil // a failure is that of its message only
		})
	}
	_ = requests.Wait() // they return none
}

// get reads a payload, or says that it is larger than what is reserved for it.
func (f *fetcher) get(ctx context.Context, p *payload) (err error) {
	defer func() {
		if v := recover(); v != nil { // it would end the process
			err = fmt.Errorf("s3sluice: the S3 client panicked: %v", v)
		}
	}()
	if f.requests.Acquire(ctx, 1) != nil {
		return context.Cause(ctx)
	}
	defer f.requests.Release(1)
	ctx, cancel := context.WithTimeoutCause(ctx, f.o.Timeout, fmt.Errorf("it took longer than Options.Timeout, %v", f.o.Timeout))
	defer cancel()
	out, err := f.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &p.at.Bucket, Key: &p.at.Key})
	if err != nil {
		return getError(ctx, p.at.Bucket, err)
	}
	defer out.Body.Close() //nolint:errcheck // it was read to its end, or is not wanted
	switch most := int64(f.o.MaxBytes); {
	case out.ContentLength == nil:
		return fmt.Errorf("s3sluice: the answer from bucket %s does not say how large the payload is", p.at.Bucket)
	case *out.ContentLength > most:
		return fmt.Errorf("s3sluice: a payload in bucket %s has %d bytes, want at most Options.MaxBytes, %d", p.at.Bucket, *out.ContentLength, most)
	case *out.ContentLength > p.size && p.known:
		return fmt.Errorf("s3sluice: a payload in bucket %s became larger while it was read, now %d bytes", p.at.Bucket, *out.ContentLength)
	case *out.ContentLength > p.size:
		p.size, p.known, p.larger = *out.ContentLength, true, true
		return nil
	default:
		return p.read(ctx, out.Body, *out.ContentLength)
	}
}

// read reads a payload of n bytes.
func (p *payload) read(ctx context.Context, from io.Reader, n int64) error {
	var text strings.Builder
	text.Grow(int(n))
	got, err := io.Copy(&text, io.LimitReader(from, n+1))
	if err != nil {
		return getError(ctx, p.at.Bucket, err)
	}
	if got != n {
		return fmt.Errorf("s3sluice: a payload in bucket %s has another length than S3 says, want %d bytes", p.at.Bucket, n)
	}
	p.body = text.String()
	return nil
}
