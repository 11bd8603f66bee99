package sqsapi

import (
	"crypto/md5" // the digest that SQS sends
	"encoding/hex"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
)

// leanReceive makes a receive without the client.
func (q *Queue) leanReceive(d *deadline, f *Fetch, r *receipt) (err error) {
	l := q.Lean
	body, plain := q.encodeReceive(f)
	if !plain {
		if body, err = l.serialize(d, &l.receives, q.receiveInput(f)); err != nil {
			return err
		}
	}
	r.check = l.check
	if err = l.call(d, &l.receives, body, r); err == nil && r.wrong {
		err = failedCall(&l.receives, errDigest)
	}
	return err
}

// leanDelete deletes messages without the client.
func (q *Queue) leanDelete(d *deadline, handles []string, v *verdict) (err error) {
	l := q.Lean
	body, plain := q.encodeDelete(handles)
	if !plain {
		if body, err = l.serialize(d, &l.deletes, q.deleteInput(handles)); err != nil {
			return err
		}
	}
	return l.call(d, &l.deletes, body, (*deletion)(v))
}

// leanChange changes the visibility of messages without the client.
func (q *Queue) leanChange(d *deadline, handles []string, timeouts []time.Duration, v *verdict) (err error) {
	l := q.Lean
	body, plain := q.encodeChange(handles, timeouts)
	if !plain {
		if body, err = l.serialize(d, &l.changes, q.changeInput(handles, timeouts)); err != nil {
			return err
		}
	}
	return l.call(d, &l.changes, body, (*alteration)(v))
}

// A receipt takes the answer to a receive.
type receipt struct {
	queue *Queue
	to    Taker
	n     int  // messages
	check bool // bodies must have the digests that came with them
	wrong bool // one has not
}

func (r *receipt) read(w *workshop, text []byte) bool {
	w.check, w.shown = r.check, r.queue.Shown
	messages, ok := w.receive(text)
	if ok {
		r.give(messages, w.wrong)
	}
	return ok
}

func (*receipt) output() smithy.Deserializable { return new(sqs.ReceiveMessageOutput) }

func (r *receipt) convert(out smithy.Deserializable) {
	received, _ := out.(*sqs.ReceiveMessageOutput) // it is that of output, or the client's
	r.give(fromSDK(received.Messages, r.queue.Shown), r.check && wrong(received.Messages))
}

// give gives messages to who has asked for them.
func (r *receipt) give(messages []Message, wrong bool) {
	r.wrong = wrong
	if wrong || len(messages) == 0 {
		return
	}
	r.n = len(messages)
	if r.to != nil {
		r.to.Take(messages)
	}
}

// wrong reports whether a body does not have the digest that came with it.
func wrong(messages []types.Message) bool {
	for i := range messages {
		if m := &messages[i]; m.Body != nil && m.MD5OfBody != nil {
			if sum := md5.Sum([]byte(*m.Body)); hex.EncodeToString(sum[:]) != *m.MD5OfBody {
				return true
			}
		}
	}
	return false
}

// A deletion takes the answer to a delete.
type deletion verdict

func (v *deletion) read(_ *workshop, text []byte) bool { return (*verdict)(v).decode(text) }

func (*deletion) output() smithy.Deserializable { return new(sqs.DeleteMessageBatchOutput) }

func (v *deletion) convert(out smithy.Deserializable) {
	deleted, _ := out.(*sqs.DeleteMessageBatchOutput) // it is that of output
	(*verdict)(v).fromDelete(deleted)
}

// An alteration takes the answer to a change of visibility.
type alteration verdict

func (v *alteration) read(_ *workshop, text []byte) bool { return (*verdict)(v).decode(text) }

func (*alteration) output() smithy.Deserializable {
	return new(sqs.ChangeMessageVisibilityBatchOutput)
}

func (v *alteration) convert(out smithy.Deserializable) {
	changed, _ := out.(*sqs.ChangeMessageVisibilityBatchOutput) // it is that of output
	(*verdict)(v).fromChange(changed)
}

func (v *verdict) fromDelete(out *sqs.DeleteMessageBatchOutput) {
	v.done = v.done[:0]
	for _, e := range out.Successful {
		v.done = append(v.done, aws.ToString(e.Id))
	}
	v.fromFailed(out.Failed)
}

func (v *verdict) fromChange(out *sqs.ChangeMessageVisibilityBatchOutput) {
	v.done = v.done[:0]
	for _, e := range out.Successful {
		v.done = append(v.done, aws.ToString(e.Id))
	}
	v.fromFailed(out.Failed)
}

func (v *verdict) fromFailed(entries []types.BatchResultErrorEntry) {
	v.failed = v.failed[:0]
	for _, e := range entries {
		v.failed = append(v.failed, failure{aws.ToString(e.Id), aws.ToString(e.Code), aws.ToString(e.Message)})
	}
}
