package sqsapi

import (
	"context"
	"errors"
	"net"
	"reflect"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/sluice-go/sluice/internal/fault"
)

// A subject is what an error is about.
type subject int

const (
	anything  subject = iota // nothing is known
	oneEntry                 // one receipt
	wholeCall                // a whole request: a receive, a send
)

// Classify tells what err, the error of a call or of one entry of a call, means.
// An error that it does not know is [fault.Passing]: an unknown error must not end a
// consumer that could have gone on.
func Classify(err error) fault.Kind { return classify(err, anything) }

// ClassifyEntry is [Classify] for an error that concerns one receipt. There
// InvalidParameterValue means that the receipt is of no more use: it has expired
// on a FIFO queue, its message was deleted, or it was held for twelve hours.
func ClassifyEntry(err error) fault.Kind { return classify(err, oneEntry) }

// ClassifyRequest is [Classify] for a receive or a send, where
// InvalidParameterValue means that the request can never be granted.
func ClassifyRequest(err error) fault.Kind { return classify(err, wholeCall) }

// classify is the table of docs/errors.md: a class and a reason for each error.
func classify(err error, about subject) fault.Kind { //nolint:funlen // a table
	name := nameOf(err)
	switch {
	case err == nil, ofAnotherService(err): // a credentials provider's, for one: SQS has not been asked
		return fault.Passing
	case isUnmakeable(err): // the request was never sent, and its next copy will not be
		return fault.Lasting
	case isUnanswered(err): // by SQS: what its code says is said by somebody else
		return fault.Passing
	case slices.Contains(throttles, name):
		return fault.Throttled
	case isRetryable(err): // says the SDK: probable clock skew, which it corrects for the next call, and 5xx
		return fault.Passing
	case name == "InvalidParameterValue" && about == oneEntry: // the receipt has expired on a FIFO queue, its message is deleted, or was held for 12 h
		return fault.Lost
	case name == "InvalidParameterValue" && about == wholeCall: // an option that SQS does not take
		return fault.Lasting
	case name == "MissingParameter" && about == oneEntry && isType[*entryError](err): // the message was received without a receipt
		return fault.Lost
	}
	switch name {
	case "ReceiptHandleIsInvalid", "MessageNotInflight": // deleted, or received by somebody else
		return fault.Lost
	case "AccessDenied", "NotAuthorized": // a policy of the queue, the role or the organisation, which takes time to change everywhere
		return fault.Refused
	case "InvalidClientTokenId", "UnrecognizedClient", "MissingAuthenticationToken", "OptInRequired": // a key that is new, was taken away, or whose account is not ready
		return fault.Refused
	case "KmsAccessDenied", "KmsDisabled", "KmsInvalidKeyUsage", "KmsInvalidState", "KmsNotFound", "KmsOptInRequired": // the queue's key, which somebody can enable again
		return fault.Refused
	case "QueueDoesNotExist", "NonExistentQueue": // deleted: its name is free again after 60 s
		return fault.Refused
	case "InvalidAddress": // the URL names no account
		return fault.Lasting
	case "InvalidSecurity", "IncompleteSignature": // no TLS, or a signature of another kind
		return fault.Lasting
	case "InvalidAttributeName", "InvalidAttributeValue": // a name that is no system attribute
		return fault.Lasting
	case "MissingParameter", "MissingRequiredParameter", "InvalidParameterCombination", "Validation", "ValidationError": // the request is wrong
		return fault.Lasting
	case "InvalidAction", "MissingAction", "UnknownOperation", "UnsupportedOperation", "InvalidQueryParameter", "MalformedQueryString", "Serialization": // the endpoint does not speak this protocol
		return fault.Lasting
	default:
		// InternalError, ServiceUnavailable, ExpiredToken, the network and all that is
		// unknown; SignatureDoesNotMatch too, since a clock that is wrong looks like that
		// and the SDK corrects it for the next call
		return fault.Passing
	}
}

// throttles are the codes of calls that are too many.
var throttles = []string{
	"RequestThrottled", "Throttling", "Throttled", "TooManyRequests", "SlowDown", "RequestLimitExceeded",
	"KmsThrottled", "KmsThrottling", // by the service that has the queue's key
	"OverLimit", // 120,000 messages in flight: they become fewer
}

// nameOf returns the name of the service's error in err: that of the SDK's type, else its
// code without the query protocol's prefix and suffix. "" is none.
func nameOf(err error) string {
	found, ok := errors.AsType[interface {
		error
		ErrorCode() string
	}](err)
	if !ok {
		return ""
	}
	if t := reflect.TypeOf(found); t.Kind() == reflect.Pointer && t.Elem().PkgPath() == modelled {
		return t.Elem().Name() // whatever code the answer's header has put in its place
	}
	name := strings.TrimPrefix(found.ErrorCode(), "AWS.SimpleQueueService.")
	if key, ofKey := strings.CutPrefix(name, "KMS."); ofKey {
		name = "Kms" + key
	}
	return strings.TrimSuffix(name, "Exception")
}

// modelled is the package that has a type for each error of SQS's model.
var modelled = reflect.TypeFor[types.QueueDoesNotExist]().PkgPath()

// ofAnotherService reports whether err is the error of a call to another service: one
// that the client made to get credentials, say.
func ofAnotherService(err error) bool {
	call, ok := errors.AsType[*smithy.OperationError](err)
	if !ok {
		return false
	}
	return call.ServiceID != sqs.ServiceID || isType[*smithy.OperationError](call.Err)
}

// isUnmakeable reports whether the SDK could not make a request of the input. It has no
// type for what its rules for endpoints say, such as of a region that is missing.
func isUnmakeable(err error) bool {
	if isType[*aws.MissingRegionError](err) || isType[smithy.InvalidParamsError](err) || isType[*smithy.SerializationError](err) {
		return true
	}
	call, ok := errors.AsType[*smithy.OperationError](err)
	if !ok || call.Err == nil || isType[*smithyhttp.ResponseError](call.Err) {
		return false
	}
	text := call.Err.Error()
	return strings.Contains(text, "endpoint rule error") || strings.Contains(text, "failed to bind endpoint params")
}

// isUnanswered reports whether err is that of a call of the SDK's that no answer has come
// to. The SDK puts a ResponseError around what an answer says; a stand-in for it may put
// the service's error there as it is.
func isUnanswered(err error) bool {
	call, ok := errors.AsType[*smithy.OperationError](err)
	if !ok || isType[*smithyhttp.ResponseError](call.Err) {
		return false
	}
	_, direct := call.Err.(interface{ ErrorCode() string }) // what is inside of another error is not the answer
	return !direct
}

// isRetryable reports whether the SDK would repeat a call that ended with err.
func isRetryable(err error) bool {
	return retry.IsErrorRetryables(retry.DefaultRetryables).IsErrorRetryable(err) == aws.TrueTernary
}

// Expired reports whether err says that the credentials' time is over. They are
// renewed from outside, so the call is worth another try.
func Expired(err error) bool {
	switch code(err) {
	case "ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired":
		return true
	}
	return false
}

// Unsure reports whether the call may have had its effect although it failed: it may have
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

// Requesting returns err, the error of a receive or of a send, with what it means. nil: there
// is none.
func Requesting(err error) error { return meaning(err, wholeCall) }

// Settling returns errs, those of the entries of a call, each with what it means. They are
// written over.
func Settling(errs []error) []error {
	for i, err := range errs {
		errs[i] = meaning(err, oneEntry)
	}
	return errs
}

func meaning(err error, about subject) error {
	if err == nil {
		return nil
	}
	return &fault.Error{
		Kind: classify(err, about), Unsure: Unsure(err), Expired: Expired(err), Cut: Cut(err), Unreadable: Unreadable(err), Err: err,
	}
}
