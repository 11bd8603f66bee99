package contract

import (
	"errors"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"

	"github.com/sluice-go/sluice/sqstest"
)

const apiErrors = "API reference, common errors"

// failures are the errors that no call provokes: those of the service's own state, of the network's
// far end, and of the account. A program must know them by their types and codes all the same.
func failures() []Row {
	return []Row{
		failure("RequestThrottled", sqstest.Throttled(), 400, new(*types.RequestThrottled)),
		failure("ServiceUnavailable", sqstest.Unavailable(), 503, nil),
		failure("InternalError", sqstest.InternalError(), 500, nil),
		failure("AccessDenied", sqstest.AccessDenied(), 403, nil),
		failure("ExpiredToken", sqstest.ExpiredToken(), 403, nil),
		failure("OverLimit", sqstest.OverLimit(), 403, new(*types.OverLimit)),
		failure("AWS.SimpleQueueService.MessageNotInflight", sqstest.NotInflight(), 400, new(*types.MessageNotInflight)),
		failure("KMS.ThrottlingException", sqstest.KMSThrottled(), 400, new(*types.KmsThrottled)),
		failure("KMS.AccessDeniedException", sqstest.KMSAccessDenied(), 400, new(*types.KmsAccessDenied)),
		modelled("KMS.DisabledException", func(code *string) error { return &types.KmsDisabled{ErrorCodeOverride: code} }, new(*types.KmsDisabled)),
		modelled("KMS.InvalidKeyUsageException", func(code *string) error { return &types.KmsInvalidKeyUsage{ErrorCodeOverride: code} }, new(*types.KmsInvalidKeyUsage)),
		modelled("KMS.InvalidStateException", func(code *string) error { return &types.KmsInvalidState{ErrorCodeOverride: code} }, new(*types.KmsInvalidState)),
		modelled("KMS.NotFoundException", func(code *string) error { return &types.KmsNotFound{ErrorCodeOverride: code} }, new(*types.KmsNotFound)),
		modelled("KMS.OptInRequired", func(code *string) error { return &types.KmsOptInRequired{ErrorCodeOverride: code} }, new(*types.KmsOptInRequired)),
		modelled("InvalidAddress", func(code *string) error { return &types.InvalidAddress{ErrorCodeOverride: code} }, new(*types.InvalidAddress)),
		modelled("InvalidSecurity", func(code *string) error { return &types.InvalidSecurity{ErrorCodeOverride: code} }, new(*types.InvalidSecurity)),
		modelled("InvalidIdFormat", func(code *string) error { return &types.InvalidIdFormat{ErrorCodeOverride: code} }, new(*types.InvalidIdFormat)),
		modelled("AWS.SimpleQueueService.UnsupportedOperation", func(code *string) error { return &types.UnsupportedOperation{ErrorCodeOverride: code} }, new(*types.UnsupportedOperation)),
		failedEntry("AnEntryMayFailByTheServicesFault", sqstest.InternalError(), "InternalError", false),
		failedEntry("AnEntryMayBeThrottled", sqstest.Throttled(), "RequestThrottled", true),
	}
}

func modelled(code string, build func(code *string) error, target any) Row {
	return failure(code, build(&code), 400, target)
}

// failure is a row about an error of a receive: its code, the HTTP status it comes with, its type
// in the SDK (nil: it has none, and is known by its code alone), and whose fault it is.
func failure(code string, err error, status int, target any) Row {
	return Row{Name: "AFailure/" + code, Source: apiErrors + "; the service's model", run: func(c *trial) {
		q := c.queue()
		c.inject(q, sqstest.Fault{Op: "ReceiveMessage", Err: err})
		_, err := c.ReceiveMessage(c.ctx, &sqs.ReceiveMessageInput{QueueUrl: &q}, func(o *sqs.Options) { o.RetryMaxAttempts = 1 })
		c.refused(err, code, "")
		c.answered(err, status)
		if target != nil {
			c.typed(err, target)
			return
		}
		api, _ := errors.AsType[smithy.APIError](err)
		c.thatf((api.ErrorFault() == smithy.FaultServer) == (status >= 500), "the fault is the %v's", api.ErrorFault())
	}}
}

// failedEntry is a row about one of two entries that fails in an answer of success.
func failedEntry(name string, err error, code string, sendersFault bool) Row {
	return Row{Name: name, Source: apiBatch + ", SenderFault", run: func(c *trial) {
		q := c.queue()
		c.sendBatch(q, entry("0", "a"), entry("1", "b"))
		ms := c.bring(q, 2)
		c.inject(q, sqstest.Fault{Op: "DeleteMessageBatch", Err: err, Entries: func(i int) bool { return i == 1 }})
		out := c.removeBatch(q, remove("0", ms[0]), remove("1", ms[1]))
		c.thatf(len(out.Successful) == 1 && len(out.Failed) == 1, "%d succeeded and %d failed", len(out.Successful), len(out.Failed))
		e := out.Failed[0]
		c.same([]string{*e.Id, *e.Code}, []string{"1", code})
		c.thatf(e.SenderFault == sendersFault, "the sender's fault is %t", e.SenderFault)
		c.counts(q, 0, 1, 0)
	}}
}
