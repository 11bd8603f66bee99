package sqstest

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"reflect"
	"syscall"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
)

// Codes of errors the service's model has no type for.
const (
	codeInvalidParameter = "InvalidParameterValue"
	codeMissingParameter = "MissingParameter"
	codeInternal         = "InternalError"
	legacyPrefix         = "AWS.SimpleQueueService." // how the query protocol named some codes; still sent in a header
)

// Throttled is the error of a call that came too fast: RequestThrottled, HTTP 400, worth retrying.
func Throttled() error {
	return &types.RequestThrottled{Message: new("Request is throttled."), ErrorCodeOverride: new("RequestThrottled")}
}

// Unavailable is the service's HTTP 503.
func Unavailable() error {
	return &smithy.GenericAPIError{Code: "ServiceUnavailable", Message: "The request has failed due to a temporary failure of the server.", Fault: smithy.FaultServer}
}

// InternalError is the service's HTTP 500.
func InternalError() error {
	return &smithy.GenericAPIError{Code: codeInternal, Message: "We encountered an internal error. Please try again.", Fault: smithy.FaultServer}
}

// AccessDenied is the HTTP 403 of a caller whose policy does not allow the call.
func AccessDenied() error {
	return &smithy.GenericAPIError{Code: "AccessDenied", Message: "Access to the resource is denied.", Fault: smithy.FaultClient}
}

// ExpiredToken is the HTTP 403 of a caller whose temporary credentials are over.
func ExpiredToken() error {
	return &smithy.GenericAPIError{Code: "ExpiredToken", Message: "The security token included in the request is expired", Fault: smithy.FaultClient}
}

// OverLimit is the error of a short poll on a standard queue with too many messages in flight.
func OverLimit() error {
	return &types.OverLimit{Message: new("Too many messages are in flight."), ErrorCodeOverride: new("OverLimit")}
}

// KMSThrottled is the error of a call on an encrypted queue whose key is used too often: HTTP 400, and the only error of
// KMS that is worth retrying.
func KMSThrottled() error {
	return &types.KmsThrottled{Message: new("The rate of requests to KMS is too high."), ErrorCodeOverride: new("KMS.ThrottlingException")}
}

// KMSAccessDenied is the error of a call on an encrypted queue whose key the caller may not use. The others of its kind
// are alike: *[types.KmsDisabled], *[types.KmsInvalidKeyUsage], *[types.KmsInvalidState], *[types.KmsNotFound] and
// *[types.KmsOptInRequired], with codes that begin with "KMS.".
func KMSAccessDenied() error {
	return &types.KmsAccessDenied{Message: new("The caller may not use the key."), ErrorCodeOverride: new("KMS.AccessDeniedException")}
}

// NotInflight is the error of a visibility change of a message that is not in flight.
func NotInflight() error {
	return &types.MessageNotInflight{Message: new("The message referred to is not in flight."), ErrorCodeOverride: new(legacyPrefix + "MessageNotInflight")}
}

// InvalidReceiptHandle is the error of a call with a receipt handle that is none.
func InvalidReceiptHandle(handle string) error {
	return &types.ReceiptHandleIsInvalid{
		Message:           new(fmt.Sprintf("The input receipt handle %q is not a valid receipt handle.", handle)),
		ErrorCodeOverride: new("ReceiptHandleIsInvalid"),
	}
}

// NoSuchQueue is the error of every call on a queue that does not exist.
func NoSuchQueue() error {
	return &types.QueueDoesNotExist{Message: new("The specified queue does not exist."), ErrorCodeOverride: new(legacyPrefix + "NonExistentQueue")}
}

// Reset is a connection reset by the peer: a [net.Error] that wraps [syscall.ECONNRESET]. Over HTTP the connection
// is cut instead of answered. See [IsReset].
func Reset() error {
	return &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ECONNRESET)}
}

// IsReset reports whether err is a connection reset, such as [Reset].
func IsReset(err error) bool { return errors.Is(err, syscall.ECONNRESET) }

func invalidParameter(format string, args ...any) error {
	return &smithy.GenericAPIError{Code: codeInvalidParameter, Message: fmt.Sprintf(format, args...), Fault: smithy.FaultClient}
}

// invalidValue words an InvalidParameterValue as the service does.
func invalidValue(value any, parameter, reason string) error {
	return invalidParameter("Value %v for parameter %s is invalid. Reason: %s", value, parameter, reason)
}

func missingParameter(name string) error {
	return &smithy.GenericAPIError{Code: codeMissingParameter, Message: "The request must contain the parameter " + name + ".", Fault: smithy.FaultClient}
}

func unknownAttribute(name string) error {
	return &types.InvalidAttributeName{Message: new("Unknown Attribute " + name + "."), ErrorCodeOverride: new("InvalidAttributeName")}
}

func invalidAttribute(name, reason string) error {
	return &types.InvalidAttributeValue{Message: new("Invalid value for the parameter " + name + "." + reason), ErrorCodeOverride: new("InvalidAttributeValue")}
}

func invalidContents() error {
	return &types.InvalidMessageContents{
		Message:           new("Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF"),
		ErrorCodeOverride: new("InvalidMessageContents"),
	}
}

func resourceNotFound(message string) error {
	return &types.ResourceNotFoundException{Message: &message, ErrorCodeOverride: new("ResourceNotFoundException")}
}

// unmodelled maps the codes of errors that have no type in the model to their names on the wire.
var unmodelled = map[string]string{
	codeInvalidParameter: "InvalidParameterValueException",
	codeMissingParameter: "MissingRequiredParameterException",
	"AccessDenied":       "AccessDeniedException",
	"ExpiredToken":       "ExpiredTokenException",
	"ServiceUnavailable": "ServiceUnavailableException",
	codeInternal:         "InternalFailure",
}

// shape returns the error's name in the wire's __type, without namespace.
func shape(err error) string {
	api, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		return unmodelled[codeInternal]
	}
	if t := reflect.TypeOf(api).Elem(); t.PkgPath() == reflect.TypeFor[types.QueueDoesNotExist]().PkgPath() {
		return t.Name()
	}
	if name, ok := unmodelled[api.ErrorCode()]; ok {
		return name
	}
	return api.ErrorCode()
}

// httpStatus returns the HTTP status the service sends with err.
func httpStatus(err error) int {
	api, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		return http.StatusInternalServerError
	}
	switch shape(err) {
	case "ServiceUnavailableException":
		return http.StatusServiceUnavailable
	case "ResourceNotFoundException":
		return http.StatusNotFound
	case "AccessDeniedException", "ExpiredTokenException", "InvalidClientTokenId", "PurgeQueueInProgress", "OverLimit":
		return http.StatusForbidden
	}
	if api.ErrorFault() == smithy.FaultServer {
		return http.StatusInternalServerError
	}
	return http.StatusBadRequest
}

// code and text take an error apart for a batch's Failed entry.
func failure(err error) (code, text string, senderFault bool) {
	api, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		return codeInternal, err.Error(), false
	}
	return api.ErrorCode(), api.ErrorMessage(), api.ErrorFault() == smithy.FaultClient
}
