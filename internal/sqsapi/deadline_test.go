package sqsapi_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/sqsapi"
	"github.com/sluice-go/sluice/sqstest"
)

// streamed is an HTTP client whose answers are a body with a length.
func streamed(length int64, body func(ctx context.Context) io.Reader) sqs.HTTPClient {
	return do(func(r *http.Request) (*http.Response, error) {
		return &http.Response{
			StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}},
			Body: io.NopCloser(body(r.Context())), ContentLength: length,
		}, nil
	})
}

func overHTTP(client sqs.HTTPClient) *sqsapi.Queue {
	own := sqstest.New().Client().Options()
	return &sqsapi.Queue{URL: "http://sqs.test/1/orders", Visibility: 30 * time.Second, Client: sqs.New(sqs.Options{
		Region: own.Region, Credentials: own.Credentials, BaseEndpoint: aws.String("http://sqs.test"), HTTPClient: client,
	})}
}

// endless is a body without an end.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	clear(p)
	e.read += len(p)
	return len(p), nil
}

func TestAnAnswerLongerThanAnyOfSQSIsRefused(t *testing.T) {
	const most = 61 << 20
	for name, length := range map[string]int64{"says so": most + 1, "does not say so": -1} {
		t.Run(name, func(t *testing.T) {
			e := &endless{}
			q := overHTTP(streamed(length, func(context.Context) io.Reader { return e }))
			_, err := q.Receive(t.Context(), 10, time.Second, "")
			require.ErrorContains(t, err, "the answer is longer than 63963136 bytes")
			require.True(t, sqsapi.Unreadable(err))
			require.LessOrEqual(t, e.read, most+4<<20)
			if length > 0 {
				require.LessOrEqual(t, e.read, 1<<20, "hardly any of it is read")
			}
		})
	}
}

// trickle brings a text in parts, with pauses, and then says nothing any more unless it
// is at its end.
type trickle struct {
	text  string
	pause time.Duration
	parts int             // until it falls silent; 0: it does not
	ctx   context.Context // of the request
	n     int
}

func (r *trickle) Read(p []byte) (int, error) {
	if r.text == "" {
		return 0, io.EOF
	}
	wait := r.pause
	if r.n++; r.parts > 0 && r.n > r.parts {
		wait = time.Hour
	}
	select {
	case <-time.After(wait):
	case <-r.ctx.Done():
		return 0, context.Cause(r.ctx)
	}
	n := copy(p[:1], r.text)
	r.text = r.text[n:]
	return n, nil
}

func TestTheDeadlineOfAReceiveIsOnSilence(t *testing.T) {
	text := `{"Messages":[]}`
	for name, c := range map[string]struct {
		pause time.Duration
		parts int
		ends  time.Duration // 0: it succeeds
	}{
		"bytes arrive for longer than the poll and a margin": {pause: 1900 * time.Millisecond},
		"they end":                 {pause: time.Second, parts: 5, ends: 10 * time.Second},
		"each comes too late":      {pause: 26 * time.Second, ends: 25 * time.Second},
		"the messages' lease ends": {pause: 3 * time.Second, ends: 33 * time.Second}, // which has begun no later than the body
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := overHTTP(streamed(-1, func(ctx context.Context) io.Reader {
					return &trickle{text: text, pause: c.pause, parts: c.parts, ctx: ctx}
				}))
				wait := time.Second
				if c.pause > 20*time.Second {
					wait = 20 * time.Second
				}
				began := time.Now()
				_, err := q.Receive(t.Context(), 10, wait, "")
				took := time.Since(began)
				if c.ends == 0 {
					require.NoError(t, err)
					require.Greater(t, took, 20*time.Second)
					return
				}
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.True(t, sqsapi.Cut(err))
				require.False(t, sqsapi.Unreadable(err))
				require.Equal(t, c.ends, took)
			})
		})
	}
}

func TestADeadlineThatIsIgnoredIsToldOfOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		free := make(chan struct{})
		var told []sqsapi.Call
		var overdue atomic.Int64
		q := &sqsapi.Queue{Client: hangs{free}, URL: "http://sqs.test/1/q", Observe: func(c sqsapi.Call) { told = append(told, c) }}
		ended := make(chan error)
		go func() {
			_, err := q.Fetch(t.Context(), sqsapi.Fetch{N: 1, Wait: time.Second, Late: tally{&overdue}})
			ended <- err
		}()
		time.Sleep(7*time.Second - 1)
		require.Zero(t, overdue.Load())
		time.Sleep(time.Minute)
		require.EqualValues(t, 1, overdue.Load())
		close(free)
		require.ErrorContains(t, <-ended, "late")
		require.Len(t, told, 1, "the call is counted once")
	})
}

// A tally counts receives whose client has not returned.
type tally struct{ n *atomic.Int64 }

func (c tally) Overdue(err error) {
	if strings.Contains(err.Error(), "has not returned") {
		c.n.Add(1)
	}
}

// hangs is a client that heeds no context.
type hangs struct{ free chan struct{} }

func (h hangs) ReceiveMessage(context.Context, *sqs.ReceiveMessageInput, ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	<-h.free
	return nil, errors.New("late")
}

func (h hangs) DeleteMessageBatch(context.Context, *sqs.DeleteMessageBatchInput, ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error) {
	<-h.free
	return nil, errors.New("late")
}

func (h hangs) ChangeMessageVisibilityBatch(context.Context, *sqs.ChangeMessageVisibilityBatchInput, ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error) {
	<-h.free
	return nil, errors.New("late")
}

func TestARequestThatAServerHasNotLookedAtCanBeSentAgain(t *testing.T) {
	refusing := &refuses{}
	q := overHTTP(&http.Client{Transport: refusing})
	_, err := q.Receive(t.Context(), 10, time.Second, "")
	require.ErrorContains(t, err, "nobody")
	require.Error(t, q.Delete(t.Context(), []string{"handle"})[0])
	require.EqualValues(t, 2, refusing.again.Load(), "requests whose bodies could be had again")
}

// refuses asks for each request's body once more, as net/http's HTTP/2 does when a stream
// was refused.
type refuses struct{ again atomic.Int64 }

func (f *refuses) RoundTrip(r *http.Request) (*http.Response, error) {
	first, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	if r.GetBody == nil {
		return nil, errors.New("no GetBody")
	}
	body, err := r.GetBody()
	if err != nil {
		return nil, err
	}
	second, err := io.ReadAll(body)
	if err == nil && string(first) == string(second) && len(first) > 0 {
		f.again.Add(1)
	}
	return nil, &net.OpError{Op: "dial", Err: errors.New("nobody")}
}
