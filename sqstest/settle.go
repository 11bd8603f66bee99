package sqstest

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// DeleteMessage removes a received message. On a standard queue it succeeds for every real receipt handle: of a message
// already deleted, of one visible again (which it deletes), and of one received again since (which it leaves, see
// [StaleDeletes]). On a FIFO queue an expired handle is an error.
func (s *Server) DeleteMessage(ctx context.Context, in *sqs.DeleteMessageInput, _ ...func(*sqs.Options)) (*sqs.DeleteMessageOutput, error) {
	return perform(ctx, s, opDeleteMessage, queueURL(in), in, func(in *sqs.DeleteMessageInput, hit struck) (*sqs.DeleteMessageOutput, error) {
		q, now, err := s.open(ctx, in.QueueUrl)
		if err != nil {
			return nil, err
		}
		defer q.unlock(now)
		if err := q.deleteReceipt(in.ReceiptHandle, now, hit); err != nil {
			return nil, err
		}
		return &sqs.DeleteMessageOutput{}, nil
	})
}

// DeleteMessageBatch removes up to ten received messages; see [Server.DeleteMessage].
func (s *Server) DeleteMessageBatch(ctx context.Context, in *sqs.DeleteMessageBatchInput, _ ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error) {
	return perform(ctx, s, opDeleteMessageBatch, queueURL(in), in, func(in *sqs.DeleteMessageBatchInput, hit struck) (*sqs.DeleteMessageBatchOutput, error) {
		q, now, err := s.open(ctx, in.QueueUrl)
		if err != nil {
			return nil, err
		}
		defer q.unlock(now)
		if err := checkBatch(in.Entries, "DeleteMessageBatchRequestEntry", func(e types.DeleteMessageBatchRequestEntry) *string { return e.Id }); err != nil {
			return nil, err
		}
		out := &sqs.DeleteMessageBatchOutput{}
		for i, e := range in.Entries {
			err := hit.each(i, func() error { return q.deleteReceipt(e.ReceiptHandle, now, hit) })
			if err != nil {
				out.Failed = append(out.Failed, entryFailure(e.Id, err))
				continue
			}
			out.Successful = append(out.Successful, types.DeleteMessageBatchResultEntry{Id: e.Id})
		}
		return out, nil
	})
}

// ChangeMessageVisibility hides a message in flight for VisibilityTimeout seconds from now, or ends its hiding with 0.
// No message is hidden beyond 12 hours after the request that received it: such a call is an error.
func (s *Server) ChangeMessageVisibility(ctx context.Context, in *sqs.ChangeMessageVisibilityInput, _ ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityOutput, error) {
	return perform(ctx, s, opChangeMessageVisibility, queueURL(in), in, func(in *sqs.ChangeMessageVisibilityInput, hit struck) (*sqs.ChangeMessageVisibilityOutput, error) {
		q, now, err := s.open(ctx, in.QueueUrl)
		if err != nil {
			return nil, err
		}
		defer q.unlock(now)
		if err := q.changeReceipt(in.ReceiptHandle, in.VisibilityTimeout, now, hit); err != nil {
			return nil, err
		}
		return &sqs.ChangeMessageVisibilityOutput{}, nil
	})
}

// ChangeMessageVisibilityBatch changes up to ten; see [Server.ChangeMessageVisibility].
func (s *Server) ChangeMessageVisibilityBatch(ctx context.Context, in *sqs.ChangeMessageVisibilityBatchInput, _ ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error) {
	return perform(ctx, s, opChangeMessageVisibilityBatch, queueURL(in), in, func(in *sqs.ChangeMessageVisibilityBatchInput, hit struck) (*sqs.ChangeMessageVisibilityBatchOutput, error) {
		q, now, err := s.open(ctx, in.QueueUrl)
		if err != nil {
			return nil, err
		}
		defer q.unlock(now)
		if err := checkBatch(in.Entries, "ChangeMessageVisibilityBatchRequestEntry", func(e types.ChangeMessageVisibilityBatchRequestEntry) *string { return e.Id }); err != nil {
			return nil, err
		}
		out := &sqs.ChangeMessageVisibilityBatchOutput{}
		for i, e := range in.Entries {
			err := hit.each(i, func() error { return q.changeReceipt(e.ReceiptHandle, e.VisibilityTimeout, now, hit) })
			if err != nil {
				out.Failed = append(out.Failed, entryFailure(e.Id, err))
				continue
			}
			out.Successful = append(out.Successful, types.ChangeMessageVisibilityBatchResultEntry{Id: e.Id})
		}
		return out, nil
	})
}

// each does a batch's i-th entry, unless a fault is in the way.
func (h struck) each(i int, do func() error) error {
	if err := h.entry(i, false); err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	return h.entry(i, true)
}

// receiptOf reads a handle of this queue. m is nil when the message is not there any more.
func (q *queue) receiptOf(text string) (h handle, m *message, err error) {
	if text == "" {
		return h, nil, missingParameter("ReceiptHandle")
	}
	h, ok := parseHandle(text)
	if !ok || h.queue != q.number {
		return h, nil, InvalidReceiptHandle(text)
	}
	return h, q.messages[h.message], nil
}

func (q *queue) deleteReceipt(receiptHandle *string, now int64, hit struck) error {
	h, m, err := q.receiptOf(text(receiptHandle))
	if err != nil || m == nil {
		return err
	}
	current := m.current(h.receipt)
	if q.fifo && !(current && m.held(now)) {
		return expiredHandle(*receiptHandle)
	}
	if !current && !q.s.staleDelete || hit.noEffect() {
		return nil
	}
	q.stats.Deleted++
	q.noteReceipt(Deleted, m, now, *receiptHandle)
	if hit.again() {
		m.changes++
		q.show(m)
		return nil
	}
	q.leave(m)
	return nil
}

func expiredHandle(receiptHandle string) error {
	return invalidValue(receiptHandle, "ReceiptHandle", "The receipt handle has expired.")
}

func (q *queue) changeReceipt(receiptHandle *string, timeout int32, now int64, hit struck) error {
	h, m, err := q.receiptOf(text(receiptHandle))
	switch {
	case err != nil:
		return err
	case timeout < 0 || timeout > maxVisibility:
		return invalidValue(timeout, "VisibilityTimeout", "Must be between 0 and 43200, if provided.")
	case m == nil:
		return invalidValue(*receiptHandle, "ReceiptHandle", "Message does not exist or is not available for visibility timeout change.")
	case q.fifo && !(m.current(h.receipt) && m.held(now)):
		return expiredHandle(*receiptHandle)
	case m.state != inFlight:
		return nil // visible again: the service says yes and does nothing
	case now+int64(seconds(timeout)) >= m.requested+int64(seconds(maxVisibility)) && timeout > 0:
		return invalidValue(timeout, "VisibilityTimeout", "Total VisibilityTimeout for the message is beyond the limit [43200 seconds]")
	case hit.noEffect():
		return nil
	}
	m.changes++
	lease := hit.lease(seconds(timeout))
	q.hide(m, now+int64(lease))
	q.noteReceipt(LeaseChanged, m, now, *receiptHandle)
	if lease == time.Duration(0) {
		q.show(m)
	}
	return nil
}
