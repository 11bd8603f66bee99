package queue_test

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

	"github.com/sluice-go/sluice/internal/queue"
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

func overHTTP(client sqs.HTTPClient) *queue.Queue {
	own := sqstest.New().Client().Options()
	return &queue.Queue{URL: "http://sqs.test/1/orders", Visibility: 30 * time.Second, Client: sqs.New(sqs.Options{
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
			require.True(t, queue.Unreadable(err))
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
		"the messages' lease ends": {pause: 3 * time.Second, ends: 30 * time.Second},
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
				require.True(t, queue.Cut(err))
				require.False(t, queue.Unreadable(err))
				require.Equal(t, c.ends, took)
			})
		})
	}
}

func TestADeadlineThatIsIgnoredIsToldOfOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		free := make(chan struct{})
		var told []queue.Call
		var overdue atomic.Int64
		q := &queue.Queue{Client: hangs{free}, URL: "http://sqs.test/1/q", Observe: func(c queue.Call) { told = append(told, c) }}
		ended := make(chan error)
		go func() {
			_, _, err := q.Fetch(t.Context(), queue.Fetch{N: 1, Wait: time.Second, Overdue: func(err error) {
				if strings.Contains(err.Error(), "has not returned") {
					overdue.Add(1)
				}
			}})
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

func TestALineThatIsSlowBearsFewReceives(t *testing.T) {
	l := queue.NewLine(30 * time.Second)
	require.True(t, l.Takes(1000), "nothing is known")
	l.Arrived(10, 3*time.Second, 3*time.Second, 1)
	require.True(t, l.Takes(2))
	require.False(t, l.Takes(3), "three at once would take 9 s each, more than a quarter of the lease")
	l.Arrived(10, 8*time.Millisecond, 10*time.Microsecond, 2)
	require.True(t, l.Takes(5))
	require.False(t, l.Takes(6), "one quick answer says little")
	for range 20 {
		l.Arrived(10, 8*time.Millisecond, 10*time.Microsecond, 2)
	}
	require.True(t, l.Takes(1000))
}

func TestALineThatCutsIsAskedForLess(t *testing.T) {
	l, now := queue.NewLine(30*time.Second), time.Now()
	require.Equal(t, 10, l.Size(10, now))
	require.Equal(t, 5*time.Second, l.Margin(time.Second))
	l.Cut(8, now)
	require.Equal(t, 5, l.Size(10, now))
	require.Equal(t, 3, l.Size(3, now))
	require.True(t, l.Takes(3))
	require.False(t, l.Takes(4))
	require.Equal(t, 10*time.Second, l.Margin(time.Second), "and is given more time")
	require.Equal(t, 5*time.Second, l.Margin(20*time.Second), "but for a poll that is long enough")
	for range 9 {
		l.Cut(1, now)
	}
	require.Equal(t, 1, l.Size(10, now))
	require.True(t, l.Takes(0), "one receive goes always")
	require.Equal(t, 10, l.Size(10, now.Add(2*time.Minute)), "after a minute it is tried again")
	l.Arrived(5, 25*time.Second, 25*time.Second, 1)
	require.Equal(t, 3, l.Size(10, now.Add(time.Hour)), "as many as arrive in half a lease")
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
