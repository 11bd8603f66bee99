package sqstest

import "github.com/aws/aws-sdk-go-v2/service/sqs"

// queueURL returns the QueueUrl of an operation's input; nil when there is none, or no input.
//
//nolint:gocognit,funlen // one line per operation
func queueURL(in any) *string {
	switch in := in.(type) {
	case *sqs.ReceiveMessageInput:
		if in != nil {
			return in.QueueUrl
		}
	case *sqs.DeleteMessageBatchInput:
		if in != nil {
			return in.QueueUrl
		}
	case *sqs.DeleteMessageInput:
		if in != nil {
			return in.QueueUrl
		}
	case *sqs.SendMessageInput:
		if in != nil {
			return in.QueueUrl
		}
	case *sqs.SendMessageBatchInput:
		if in != nil {
			return in.QueueUrl
		}
	case *sqs.ChangeMessageVisibilityInput:
		if in != nil {
			return in.QueueUrl
		}
	case *sqs.ChangeMessageVisibilityBatchInput:
		if in != nil {
			return in.QueueUrl
		}
	case *sqs.AddPermissionInput:
		if in != nil {
			return in.QueueUrl
		}
	case *sqs.DeleteQueueInput:
		if in != nil {
			return in.QueueUrl
		}
	case *sqs.GetQueueAttributesInput:
		if in != nil {
			return in.QueueUrl
		}
	case *sqs.ListDeadLetterSourceQueuesInput:
		if in != nil {
			return in.QueueUrl
		}
	case *sqs.ListQueueTagsInput:
		if in != nil {
			return in.QueueUrl
		}
	case *sqs.PurgeQueueInput:
		if in != nil {
			return in.QueueUrl
		}
	case *sqs.RemovePermissionInput:
		if in != nil {
			return in.QueueUrl
		}
	case *sqs.SetQueueAttributesInput:
		if in != nil {
			return in.QueueUrl
		}
	case *sqs.TagQueueInput:
		if in != nil {
			return in.QueueUrl
		}
	case *sqs.UntagQueueInput:
		if in != nil {
			return in.QueueUrl
		}
	}
	return nil
}
