package sqsapi_test

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/fault"
	"github.com/sluice-go/sluice/internal/sqsapi"
)

// stub is SQS as the tests want it.
type stub struct {
	receive func(context.Context, *sqs.ReceiveMessageInput) (*sqs.ReceiveMessageOutput, error)
	results func(n int) ([]string, []types.BatchResultErrorEntry, error) // of deletes and changes: who succeeded, who failed
	entries []string                                                     // ids of the newest batch
	options sqs.Options                                                  // of the newest call
}

func (s *stub) apply(optFns []func(*sqs.Options)) {
	s.options = sqs.Options{HTTPClient: plain{}, RetryMaxAttempts: 7}
	for _, f := range optFns {
		f(&s.options)
	}
}

func (s *stub) ReceiveMessage(ctx context.Context, in *sqs.ReceiveMessageInput, optFns ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	s.apply(optFns)
	return s.receive(ctx, in)
}

func (s *stub) DeleteMessageBatch(_ context.Context, in *sqs.DeleteMessageBatchInput, optFns ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error) {
	s.apply(optFns)
	s.entries = nil
	for _, e := range in.Entries {
		s.entries = append(s.entries, *e.Id+"="+*e.ReceiptHandle)
	}
	ok, failed, err := s.results(len(in.Entries))
	if err != nil {
		return nil, err
	}
	out := &sqs.DeleteMessageBatchOutput{Failed: failed}
	for _, id := range ok {
		out.Successful = append(out.Successful, types.DeleteMessageBatchResultEntry{Id: &id})
	}
	return out, nil
}

func (s *stub) ChangeMessageVisibilityBatch(_ context.Context, in *sqs.ChangeMessageVisibilityBatchInput, optFns ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error) {
	s.apply(optFns)
	ok, failed, err := s.results(len(in.Entries))
	if err != nil {
		return nil, err
	}
	out := &sqs.ChangeMessageVisibilityBatchOutput{Failed: failed}
	for _, id := range ok {
		out.Successful = append(out.Successful, types.ChangeMessageVisibilityBatchResultEntry{Id: &id})
	}
	return out, nil
}

func (s *stub) SendMessage(ctx context.Context, _ *sqs.SendMessageInput, optFns ...func(*sqs.Options)) (*sqs.SendMessageOutput, error) {
	s.apply(optFns)
	if _, ok := ctx.Deadline(); !ok {
		return nil, errors.New("no deadline")
	}
	return &sqs.SendMessageOutput{}, nil
}

// open returns a Queue before s, and the calls that it reports.
func open(s *stub) (*sqsapi.Queue, *[]sqsapi.Call) {
	calls := new([]sqsapi.Call)
	return &sqsapi.Queue{
		Client: s, URL: "https://sqs.example.com/1/orders", Visibility: 30 * time.Second,
		Observe: func(c sqsapi.Call) { *calls = append(*calls, c) },
	}, calls
}

func refused(id string, senderFault bool) types.BatchResultErrorEntry {
	return types.BatchResultErrorEntry{Id: &id, Code: new("InternalError"), Message: new("try again"), SenderFault: senderFault}
}

func TestAnAnswerIsReadEntryByEntry(t *testing.T) {
	down := errors.New("down")
	for name, c := range map[string]struct {
		ok     []string
		failed []types.BatchResultErrorEntry
		err    error
		want   []string // of each of four entries; "": none
	}{
		"all succeed":                           {ok: []string{"0", "1", "2", "3"}, want: []string{"", "", "", ""}},
		"answered in another order":             {ok: []string{"3", "0", "2", "1"}, want: []string{"", "", "", ""}},
		"one is refused":                        {ok: []string{"0", "1", "3"}, failed: []types.BatchResultErrorEntry{refused("2", false)}, want: []string{"", "", "InternalError: try again", ""}},
		"the sender's fault":                    {ok: []string{"1", "2", "3"}, failed: []types.BatchResultErrorEntry{refused("0", true)}, want: []string{"InternalError: try again", "", "", ""}},
		"one is not mentioned":                  {ok: []string{"0", "1", "2"}, want: []string{"", "", "", "the answer says nothing of this entry"}},
		"ids that nobody gave":                  {ok: []string{"0", "1", "2", "3", "4", "-1", "x", ""}, failed: []types.BatchResultErrorEntry{refused("9", false), {}}, want: []string{"", "", "", ""}},
		"more results than entries":             {ok: []string{"0", "0", "1", "1", "2", "2", "3", "3"}, want: []string{"", "", "", ""}},
		"said to have succeeded and to be none": {ok: []string{"0", "1", "2", "3"}, failed: []types.BatchResultErrorEntry{refused("1", false)}, want: []string{"", "InternalError: try again", "", ""}},
		"the whole call failed":                 {err: down, want: []string{"down", "down", "down", "down"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := &stub{results: func(int) ([]string, []types.BatchResultErrorEntry, error) { return c.ok, c.failed, c.err }}
			q, calls := open(s)
			failures := 0
			for _, want := range c.want {
				if want != "" {
					failures++
				}
			}
			require.Equal(t, c.want, texts(q.Delete(t.Context(), []string{"handle-a", "handle-b", "handle-c", "handle-d"})))
			require.Equal(t, []string{"0=handle-a", "1=handle-b", "2=handle-c", "3=handle-d"}, s.entries)
			require.Equal(t, c.want, texts(q.Change(t.Context(), []string{"handle-a", "handle-b", "handle-c", "handle-d"}, 0, 0, 0, 0)))
			require.Len(t, *calls, 2)
			for i, op := range []string{sqsapi.OpDelete, sqsapi.OpChange} {
				call := (*calls)[i]
				require.Equal(t, op, call.Op)
				require.Equal(t, 4, call.Entries)
				require.Equal(t, failures, call.Failed)
				require.ErrorIs(t, call.Err, c.err)
			}
		})
	}
}

func texts(errs []error) []string {
	texts := make([]string, len(errs))
	for i, err := range errs {
		if err != nil {
			texts[i] = err.Error()
		}
	}
	return texts
}

// A refused entry is classified by its code like any other error.
func TestARefusedEntryHasACode(t *testing.T) {
	s := &stub{results: func(int) ([]string, []types.BatchResultErrorEntry, error) {
		return nil, []types.BatchResultErrorEntry{{Id: new("0"), Code: new("ReceiptHandleIsInvalid"), SenderFault: true}}, nil
	}}
	q, _ := open(s)
	require.Equal(t, fault.Lost, sqsapi.ClassifyEntry(q.Delete(t.Context(), []string{"a"})[0]))
}

func TestAReceiveAsksForAllThatAConsumerNeeds(t *testing.T) {
	var in *sqs.ReceiveMessageInput
	s := &stub{receive: func(_ context.Context, got *sqs.ReceiveMessageInput) (*sqs.ReceiveMessageOutput, error) {
		in = got
		return &sqs.ReceiveMessageOutput{Messages: make([]types.Message, 3)}, nil
	}}
	q, calls := open(s)
	q.Attributes = []types.MessageSystemAttributeName{types.MessageSystemAttributeNameSentTimestamp}
	messages, err := q.Receive(t.Context(), 7, 20*time.Second, "again")
	require.NoError(t, err)
	require.Len(t, messages, 3)
	require.Equal(t, &sqs.ReceiveMessageInput{
		QueueUrl: &q.URL, MaxNumberOfMessages: 7, WaitTimeSeconds: 20, VisibilityTimeout: 30,
		MessageAttributeNames:       []string{"All"},
		MessageSystemAttributeNames: q.Attributes,
		ReceiveRequestAttemptId:     new("again"),
	}, in)
	require.Equal(t, 3, (*calls)[0].Entries)

	_, err = q.Receive(t.Context(), 1, time.Second, "")
	require.NoError(t, err)
	require.Nil(t, in.ReceiveRequestAttemptId)
}

func TestASendHasADeadlineAndIsCounted(t *testing.T) {
	s := &stub{}
	q, calls := open(s)
	require.NoError(t, q.Send(t.Context(), s, &sqs.SendMessageInput{}))
	require.Equal(t, sqsapi.OpSend, (*calls)[0].Op)
	require.Equal(t, 1, (*calls)[0].Entries)
	require.Zero(t, (*calls)[0].Failed)
}

func TestNobodyNeedsToObserve(t *testing.T) {
	s := &stub{results: func(n int) (ok []string, _ []types.BatchResultErrorEntry, _ error) {
		for i := range n {
			ok = append(ok, strconv.Itoa(i))
		}
		return ok, nil, nil
	}}
	q := &sqsapi.Queue{Client: s}
	require.Equal(t, make([]error, 10), q.Delete(t.Context(), make([]string, 10)))
}

func TestNoCallIsRetriedBehindTheCallersBack(t *testing.T) {
	s := &stub{}
	q, _ := open(s)
	require.NoError(t, q.Send(t.Context(), s, &sqs.SendMessageInput{}))
	require.Equal(t, 1, s.options.Retryer.MaxAttempts())
	require.Zero(t, s.options.RetryMaxAttempts)
}
