package sqsapi_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/fault"
	"github.com/sluice-go/sluice/internal/sqsapi"
	"github.com/sluice-go/sluice/sqstest"
)

func coded(code string) error { return &smithy.GenericAPIError{Code: code, Message: "?"} }

func TestEachErrorHasItsMeaning(t *testing.T) {
	for _, tt := range []struct {
		err                     error
		plain, request, receipt fault.Kind
	}{
		{nil, fault.Passing, fault.Passing, fault.Passing},
		{errors.New("?"), fault.Passing, fault.Passing, fault.Passing},
		{io.ErrUnexpectedEOF, fault.Passing, fault.Passing, fault.Passing},
		{context.DeadlineExceeded, fault.Passing, fault.Passing, fault.Passing},
		{sqstest.Reset(), fault.Passing, fault.Passing, fault.Passing},
		{sqstest.InternalError(), fault.Passing, fault.Passing, fault.Passing},
		{sqstest.Unavailable(), fault.Passing, fault.Passing, fault.Passing},
		{sqstest.ExpiredToken(), fault.Passing, fault.Passing, fault.Passing},
		{coded("ExpiredTokenException"), fault.Passing, fault.Passing, fault.Passing},
		{coded("SomethingNew"), fault.Passing, fault.Passing, fault.Passing},
		{sqstest.Throttled(), fault.Throttled, fault.Throttled, fault.Throttled},
		{coded("ThrottlingException"), fault.Throttled, fault.Throttled, fault.Throttled},
		{coded("Throttling"), fault.Throttled, fault.Throttled, fault.Throttled},
		{coded("RequestThrottled"), fault.Throttled, fault.Throttled, fault.Throttled},
		{sqstest.OverLimit(), fault.Throttled, fault.Throttled, fault.Throttled},
		{&types.KmsThrottled{}, fault.Throttled, fault.Throttled, fault.Throttled},
		{sqstest.NoSuchQueue(), fault.Refused, fault.Refused, fault.Refused},
		{coded("AWS.SimpleQueueService.NonExistentQueue"), fault.Refused, fault.Refused, fault.Refused},
		{sqstest.AccessDenied(), fault.Refused, fault.Refused, fault.Refused},
		{coded("AccessDenied"), fault.Refused, fault.Refused, fault.Refused},
		{coded("AccessDeniedException"), fault.Refused, fault.Refused, fault.Refused},
		{coded("InvalidClientTokenId"), fault.Refused, fault.Refused, fault.Refused},
		{&types.InvalidAddress{}, fault.Lasting, fault.Lasting, fault.Lasting},
		{&types.InvalidSecurity{}, fault.Lasting, fault.Lasting, fault.Lasting},
		{&types.UnsupportedOperation{}, fault.Lasting, fault.Lasting, fault.Lasting},
		{&types.KmsAccessDenied{}, fault.Refused, fault.Refused, fault.Refused},
		{&types.KmsDisabled{}, fault.Refused, fault.Refused, fault.Refused},
		{&types.KmsNotFound{}, fault.Refused, fault.Refused, fault.Refused},
		{sqstest.InvalidReceiptHandle("h"), fault.Lost, fault.Lost, fault.Lost},
		{sqstest.NotInflight(), fault.Lost, fault.Lost, fault.Lost},
		{coded("ReceiptHandleIsInvalid"), fault.Lost, fault.Lost, fault.Lost},
		{coded("InvalidParameterValue"), fault.Passing, fault.Lasting, fault.Lost},
		{coded("InvalidParameterValueException"), fault.Passing, fault.Lasting, fault.Lost},
	} {
		for _, err := range []error{tt.err, wrapped(tt.err)} {
			require.Equal(t, tt.plain, sqsapi.Classify(err), "%v", err)
			require.Equal(t, tt.request, sqsapi.ClassifyRequest(err), "%v", err)
			require.Equal(t, tt.receipt, sqsapi.ClassifyEntry(err), "%v", err)
		}
	}
}

// wrapped is err as the SDK gives it.
func wrapped(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("receiving: %w", &smithy.OperationError{ServiceID: "SQS", OperationName: "ReceiveMessage", Err: err})
}

// story runs f with a queue of ten received messages.
func story(t *testing.T, f func(t *testing.T, s *sqstest.Server, q *sqsapi.Queue, handles []string)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := sqstest.New()
		url := s.MustCreateQueue("q", nil)
		for i := range 10 {
			s.Send(url, fmt.Sprint(i))
		}
		q := &sqsapi.Queue{Client: s.Client(), URL: url, Visibility: 30 * time.Second}
		ms, err := q.Receive(t.Context(), 10, time.Second, "")
		require.NoError(t, err)
		handles := make([]string, len(ms))
		for i := range ms {
			handles[i] = ms[i].Handle
		}
		f(t, s, q, handles)
	})
}

func TestEachEntryHasItsOwnResult(t *testing.T) {
	story(t, func(t *testing.T, s *sqstest.Server, q *sqsapi.Queue, handles []string) {
		var told []sqsapi.Call
		q.Observe = func(c sqsapi.Call) { told = append(told, c) }
		s.Inject(sqstest.Fault{Op: sqsapi.OpDelete, Entries: func(i int) bool { return i%3 == 0 }, Times: 1})
		errs := q.Delete(t.Context(), handles)
		require.Len(t, errs, 10)
		for i, err := range errs {
			require.Equal(t, i%3 == 0, err != nil)
		}
		require.Len(t, s.Messages(q.URL), 4)
		require.Equal(t, sqsapi.Call{Op: sqsapi.OpDelete, Entries: 10, Failed: 4}, told[0])
	})
}

func TestTheSameHandleTwiceInOneCallIsNoMistake(t *testing.T) {
	story(t, func(t *testing.T, _ *sqstest.Server, q *sqsapi.Queue, handles []string) {
		for _, err := range q.Delete(t.Context(), append(handles[:3:3], handles[0], handles[0])) {
			require.NoError(t, err)
		}
	})
}

func TestACallThatFailsFailsEachEntry(t *testing.T) {
	story(t, func(t *testing.T, s *sqstest.Server, q *sqsapi.Queue, handles []string) {
		s.Inject(sqstest.Fault{Err: sqstest.Unavailable()})
		for _, err := range q.Delete(t.Context(), handles) {
			require.Error(t, err)
		}
		require.Equal(t, 1, s.Stats().Calls[sqsapi.OpDelete].Started, "no hidden retry")
	})
}

func TestAVisibilityTimeoutIsRoundedUpAndZeroIsSent(t *testing.T) {
	story(t, func(t *testing.T, s *sqstest.Server, q *sqsapi.Queue, handles []string) {
		errs := q.Change(t.Context(), handles[:3], 0, 500*time.Millisecond, 90*time.Second)
		require.Equal(t, []error{nil, nil, nil}, errs)
		ms := s.Messages(q.URL)
		require.Equal(t, sqstest.Visible, ms[0].State)
		require.Equal(t, time.Second, time.Until(ms[1].Until))
		require.Equal(t, 90*time.Second, time.Until(ms[2].Until))
	})
}

func TestEachCallHasItsDeadline(t *testing.T) {
	story(t, func(t *testing.T, s *sqstest.Server, q *sqsapi.Queue, handles []string) {
		s.Inject(sqstest.Fault{Wait: time.Hour})
		for _, tt := range []struct {
			call func() error
			most time.Duration
		}{
			{func() error { _, err := q.Receive(t.Context(), 1, 20*time.Second, ""); return err }, 25 * time.Second},
			{func() error { return q.Delete(t.Context(), handles)[0] }, 10 * time.Second},
			{func() error { return q.Change(t.Context(), handles[:1], 0)[0] }, 10 * time.Second},
			{func() error {
				return q.Send(t.Context(), s, &sqs.SendMessageInput{QueueUrl: &q.URL, MessageBody: new("x")})
			}, 10 * time.Second},
		} {
			at := time.Now()
			err := tt.call()
			require.Error(t, err)
			require.True(t, sqsapi.Unsure(err))
			require.Equal(t, tt.most, time.Since(at))
		}
	})
}

// silent answers batch requests with nothing about their entries.
type silent struct{ sqsapi.Client }

func (silent) DeleteMessageBatch(context.Context, *sqs.DeleteMessageBatchInput, ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error) {
	return &sqs.DeleteMessageBatchOutput{Successful: []types.DeleteMessageBatchResultEntry{{Id: new("77")}, {Id: new("-1")}, {Id: new("x")}, {}, {Id: new("1")}}}, nil
}

func TestAnEntryThatTheAnswerPassesOverIsNotConfirmed(t *testing.T) {
	q := &sqsapi.Queue{Client: silent{}, URL: "http://h/1/q"}
	errs := q.Delete(t.Context(), []string{"a", "b", "c"})
	require.Error(t, errs[0])
	require.NoError(t, errs[1])
	require.Error(t, errs[2])
	require.Equal(t, fault.Passing, sqsapi.ClassifyEntry(errs[0]))
}

// transport looks at requests as net/http's does.
type transport struct {
	t     *testing.T
	inner sqs.HTTPClient
}

func (c transport) Do(r *http.Request) (*http.Response, error) {
	body := r.Body
	_, writes := body.(io.WriterTo)
	require.False(c.t, writes && !strings.Contains(fmt.Sprintf("%T", body), "nopCloser"), "a body that reports its own close as an error: %T", body)
	all, err := io.ReadAll(body)
	require.NoError(c.t, err)
	require.NotEmpty(c.t, all)
	r.Body = io.NopCloser(bytes.NewReader(all))
	return c.inner.Do(r)
}

func TestRequestsGoOutWithABodyThatCannotBeClosedUnderTheTransport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sqstest.New()
		url := s.MustCreateQueue("q", nil)
		s.Send(url, "x")
		client := s.Client(func(o *sqs.Options) { o.HTTPClient = transport{t, o.HTTPClient} })
		q := &sqsapi.Queue{Client: client, URL: url, Visibility: 30 * time.Second}
		ms, err := q.Receive(t.Context(), 10, time.Second, "")
		require.NoError(t, err)
		require.Len(t, ms, 1)
		require.NoError(t, q.Delete(t.Context(), []string{ms[0].Handle})[0])
	})
}
