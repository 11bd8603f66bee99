package sqstest

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// operation decodes one request, passes it to the server, and encodes the result.
type operation func(ctx context.Context, s *Server, in []byte, e *encoder) error

// table has every operation by its name on the wire.
var table = map[string]operation{
	"AddPermission":                rpc((*Server).AddPermission, empty),
	"CancelMessageMoveTask":        rpc((*Server).CancelMessageMoveTask, encodeCancelledTask),
	"ChangeMessageVisibility":      carry(changeVisibility, empty),
	"ChangeMessageVisibilityBatch": rpc((*Server).ChangeMessageVisibilityBatch, encodeChangedBatch),
	"CreateQueue":                  rpc((*Server).CreateQueue, encodeCreated),
	"DeleteMessage":                rpc((*Server).DeleteMessage, empty),
	"DeleteMessageBatch":           rpc((*Server).DeleteMessageBatch, encodeDeletedBatch),
	"DeleteQueue":                  rpc((*Server).DeleteQueue, empty),
	"GetQueueAttributes":           rpc((*Server).GetQueueAttributes, encodeQueueAttributes),
	"GetQueueUrl":                  rpc((*Server).GetQueueUrl, encodeQueueURL),
	"ListDeadLetterSourceQueues":   rpc((*Server).ListDeadLetterSourceQueues, encodeSourceQueues),
	"ListMessageMoveTasks":         rpc((*Server).ListMessageMoveTasks, encodeTasks),
	"ListQueueTags":                rpc((*Server).ListQueueTags, encodeTags),
	"ListQueues":                   rpc((*Server).ListQueues, encodeQueues),
	"PurgeQueue":                   rpc((*Server).PurgeQueue, empty),
	"ReceiveMessage":               carry(receive, encodeReceived),
	"RemovePermission":             rpc((*Server).RemovePermission, empty),
	"SendMessage":                  carry(send, encodeSent),
	"SendMessageBatch":             carry(sendBatch, encodeSentBatch),
	"SetQueueAttributes":           rpc((*Server).SetQueueAttributes, empty),
	"StartMessageMoveTask":         rpc((*Server).StartMessageMoveTask, encodeStartedTask),
	"TagQueue":                     rpc((*Server).TagQueue, empty),
	"UntagQueue":                   rpc((*Server).UntagQueue, empty),
}

// method is an operation of the server; out is its result.
type method[I, O any] func(*Server, context.Context, *I, ...func(*sqs.Options)) (*O, error)

// rpc is the operation that needs nothing but the fields of its SDK types, whose names are those of
// the wire.
func rpc[I, O any](call method[I, O], encode func(*encoder, *O)) operation {
	return carry(func(ctx context.Context, s *Server, in *I) (*O, error) { return call(s, ctx, in) }, encode)
}

// carry decodes a request into an R, lets pass ask the server for it, and encodes the result.
func carry[R, O any](pass func(context.Context, *Server, *R) (*O, error), encode func(*encoder, *O)) operation {
	return func(ctx context.Context, s *Server, in []byte, e *encoder) error {
		var r R
		if err := decode(in, &r); err != nil {
			return err
		}
		out, err := pass(ctx, s, &r)
		if err != nil {
			return err
		}
		e.open()
		encode(e, out)
		e.close()
		return nil
	}
}

// decode reads a JSON object into v. No body at all is the empty object.
func decode(in []byte, v any) error {
	if len(in) == 0 {
		return nil
	}
	if err := json.Unmarshal(in, v); err != nil {
		return protocolError(http.StatusBadRequest, "SerializationException", "decoding the request: "+err.Error())
	}
	return nil
}

func empty[O any](*encoder, *O) {}

func encodeCreated(e *encoder, out *sqs.CreateQueueOutput) { e.queueURL("QueueUrl", out.QueueUrl) }

func encodeQueueURL(e *encoder, out *sqs.GetQueueUrlOutput) { e.queueURL("QueueUrl", out.QueueUrl) }

func encodeQueues(e *encoder, out *sqs.ListQueuesOutput) {
	e.queueURLs("QueueUrls", out.QueueUrls)
	e.optional("NextToken", out.NextToken)
}

// encodeSourceQueues writes queueUrls, in lower case: the only such name in an answer of SQS.
func encodeSourceQueues(e *encoder, out *sqs.ListDeadLetterSourceQueuesOutput) {
	e.queueURLs("queueUrls", out.QueueUrls)
	e.optional("NextToken", out.NextToken)
}

func encodeQueueAttributes(e *encoder, out *sqs.GetQueueAttributesOutput) {
	e.texts("Attributes", out.Attributes)
}

func encodeTags(e *encoder, out *sqs.ListQueueTagsOutput) { e.texts("Tags", out.Tags) }

func encodeReceived(e *encoder, out *sqs.ReceiveMessageOutput) {
	if len(out.Messages) == 0 {
		return
	}
	e.openList("Messages")
	for i := range out.Messages {
		m := &out.Messages[i]
		e.open()
		e.optional("MessageId", m.MessageId)
		e.optional("ReceiptHandle", m.ReceiptHandle)
		e.optional("MD5OfBody", m.MD5OfBody)
		e.optional("Body", m.Body)
		e.texts("Attributes", m.Attributes)
		e.optional("MD5OfMessageAttributes", m.MD5OfMessageAttributes)
		e.messageAttributes(m.MessageAttributes)
		e.close()
	}
	e.closeList()
}

func encodeSent(e *encoder, out *sqs.SendMessageOutput) {
	e.optional("MessageId", out.MessageId)
	e.optional("MD5OfMessageBody", out.MD5OfMessageBody)
	e.optional("MD5OfMessageAttributes", out.MD5OfMessageAttributes)
	e.optional("MD5OfMessageSystemAttributes", out.MD5OfMessageSystemAttributes)
	e.optional("SequenceNumber", out.SequenceNumber)
}

func encodeSentBatch(e *encoder, out *sqs.SendMessageBatchOutput) {
	if len(out.Successful) > 0 {
		e.openList("Successful")
		for i := range out.Successful {
			entry := &out.Successful[i]
			e.open()
			e.optional("Id", entry.Id)
			e.optional("MessageId", entry.MessageId)
			e.optional("MD5OfMessageBody", entry.MD5OfMessageBody)
			e.optional("MD5OfMessageAttributes", entry.MD5OfMessageAttributes)
			e.optional("MD5OfMessageSystemAttributes", entry.MD5OfMessageSystemAttributes)
			e.optional("SequenceNumber", entry.SequenceNumber)
			e.close()
		}
		e.closeList()
	}
	e.failed(out.Failed)
}

func encodeDeletedBatch(e *encoder, out *sqs.DeleteMessageBatchOutput) {
	if len(out.Successful) > 0 {
		e.openList("Successful")
		for i := range out.Successful {
			e.id(out.Successful[i].Id)
		}
		e.closeList()
	}
	e.failed(out.Failed)
}

func encodeChangedBatch(e *encoder, out *sqs.ChangeMessageVisibilityBatchOutput) {
	if len(out.Successful) > 0 {
		e.openList("Successful")
		for i := range out.Successful {
			e.id(out.Successful[i].Id)
		}
		e.closeList()
	}
	e.failed(out.Failed)
}

func encodeStartedTask(e *encoder, out *sqs.StartMessageMoveTaskOutput) {
	e.optional("TaskHandle", out.TaskHandle)
}

func encodeCancelledTask(e *encoder, out *sqs.CancelMessageMoveTaskOutput) {
	e.number("ApproximateNumberOfMessagesMoved", out.ApproximateNumberOfMessagesMoved)
}

func encodeTasks(e *encoder, out *sqs.ListMessageMoveTasksOutput) {
	e.openList("Results")
	for i := range out.Results {
		task := &out.Results[i]
		e.open()
		e.optional("TaskHandle", task.TaskHandle)
		e.optional("Status", task.Status)
		e.optional("SourceArn", task.SourceArn)
		e.optional("DestinationArn", task.DestinationArn)
		e.optional("FailureReason", task.FailureReason)
		e.number("ApproximateNumberOfMessagesMoved", task.ApproximateNumberOfMessagesMoved)
		if task.ApproximateNumberOfMessagesToMove != nil {
			e.number("ApproximateNumberOfMessagesToMove", *task.ApproximateNumberOfMessagesToMove)
		}
		if task.MaxNumberOfMessagesPerSecond != nil {
			e.number("MaxNumberOfMessagesPerSecond", int64(*task.MaxNumberOfMessagesPerSecond))
		}
		e.number("StartedTimestamp", task.StartedTimestamp)
		e.close()
	}
	e.closeList()
}
