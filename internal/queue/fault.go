package queue

import (
	"context"
	"errors"
	"net"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// A Fault is what an error of SQS means to a consumer.
type Fault int

const (
	// Passing errors go away by themselves: the network, 5xx, credentials that
	// somebody is about to renew. Try again, more slowly each time.
	Passing Fault = iota
	// Throttled calls are too many. Try again, with fewer at once.
	Throttled
	// Lost receipts no longer stand for a message that is in flight. Trying again
	// is pointless; the message was deleted or will be received again.
	Lost
	// Lasting errors stay until a person changes something.
	Lasting
)

// Classify tells what err, the error of a call or of one entry of a call, means.
// An error that it does not know is Passing: an unknown error must not end a
// consumer that could have gone on.
func Classify(err error) Fault {
	switch {
	case err == nil:
		return Passing
	case isType[*types.QueueDoesNotExist](err): // deleted, or the URL is wrong
		return Lasting
	case isType[*types.InvalidAddress](err), isType[*types.InvalidSecurity](err): // wrong account, endpoint or no TLS
		return Lasting
	case isType[*types.UnsupportedOperation](err):
		return Lasting
	case isType[*types.KmsThrottled](err):
		return Throttled
	case isType[*types.KmsAccessDenied](err), isType[*types.KmsDisabled](err), isType[*types.KmsInvalidKeyUsage](err),
		isType[*types.KmsInvalidState](err), isType[*types.KmsNotFound](err), isType[*types.KmsOptInRequired](err): // the queue's key
		return Lasting
	case isType[*types.ReceiptHandleIsInvalid](err), isType[*types.MessageNotInflight](err): // deleted, or received by somebody else
		return Lost
	case isType[*types.RequestThrottled](err), isType[*types.OverLimit](err): // OverLimit: 120,000 in flight, they become fewer
		return Throttled
	default:
		return classifyCode(code(err))
	}
}

// classifyCode covers the errors that the SDK has no types for. They are told
// apart by their code, with and without the query protocol's prefix and suffix.
func classifyCode(code string) Fault {
	code = strings.TrimPrefix(code, "AWS.SimpleQueueService.")
	switch strings.TrimSuffix(code, "Exception") {
	case "NonExistentQueue", "QueueDoesNotExist":
		return Lasting
	case "AccessDenied", "InvalidClientTokenId", "InvalidAddress", "InvalidSecurity", "UnsupportedOperation", "OptInRequired":
		return Lasting
	case "MissingParameter", "InvalidAction": // the request itself is wrong, it will not be better next time
		return Lasting
	case "Throttling", "RequestThrottled", "ThrottledException", "TooManyRequests", "SlowDown", "RequestLimitExceeded", "OverLimit":
		return Throttled
	case "ReceiptHandleIsInvalid", "MessageNotInflight":
		return Lost
	default:
		// InternalError, ServiceUnavailable, ExpiredToken, the network and all that is
		// unknown; SignatureDoesNotMatch too, since a clock that is wrong looks like that
		// and the SDK corrects it for the next call
		return Passing
	}
}

// ClassifyEntry is [Classify] for an error that concerns one receipt. There
// InvalidParameterValue means that the receipt is of no more use: it has expired
// on a FIFO queue, its message was deleted, or it was held for twelve hours.
func ClassifyEntry(err error) Fault {
	switch strings.TrimSuffix(code(err), "Exception") {
	case "InvalidParameterValue":
		return Lost
	case "MissingParameter": // it was received without one
		if isType[*entryError](err) {
			return Lost
		}
	}
	return Classify(err)
}

// ClassifyRequest is [Classify] for a receive or a send, where
// InvalidParameterValue means that the request can never be granted.
func ClassifyRequest(err error) Fault {
	if code(err) == "InvalidParameterValue" || code(err) == "InvalidParameterValueException" {
		return Lasting
	}
	return Classify(err)
}

// Expired tells whether err says that the credentials' time is over. They are
// renewed from outside, so the call is worth another try.
func Expired(err error) bool {
	switch code(err) {
	case "ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired":
		return true
	}
	return false
}

// Unsure tells whether the call may have had its effect although it failed: it may have
// been sent, and either no answer of the service was seen, or one that says that the
// service does not know.
func Unsure(err error) bool {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return false
	}
	if isType[*entryError](err) {
		return false
	}
	switch strings.TrimSuffix(code(err), "Exception") {
	case "", "InternalError", "InternalFailure", "InternalServerError":
		return err != nil
	}
	return errors.Is(err, context.DeadlineExceeded)
}

func code(err error) string {
	if coded, ok := errors.AsType[interface {
		error
		ErrorCode() string
	}](err); ok {
		return coded.ErrorCode()
	}
	return ""
}

func isType[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}
