package otelsluice

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"reflect"
	"strings"

	"github.com/aws/smithy-go"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/sluice-go/sluice"
)

// Values of error.type, besides types of Go and codes of SQS.
const (
	kindPanic       = "panic"           // the handler panicked or called runtime.Goexit
	kindLeaseLost   = "lease_lost"      // the handler's context ended: a message is visible to others
	kindTimeout     = "handler_timeout" // the handler's context ended: it took too long
	kindShutdown    = "shutdown"        // the handler's context ended: the run does
	kindDecode      = "decode"          // JSON could not be decoded
	kindUnknownType = "unknown_type"    // a Mux has no handler for the message

	kindCallTimeout = "timeout"  // a call to SQS took too long
	kindCanceled    = "canceled" // a call to SQS was cut
	kindNetwork     = "network"  // a call to SQS did not reach it, or its answer did not come
)

// kindOf returns the error.type of a message that failed. If it failed because the context of its
// call ended, the cause says why.
func kindOf(ctx context.Context, err error) string {
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		err = errors.Join(context.Cause(ctx), err)
	}
	switch {
	case isA[*sluice.PanicError](err):
		return kindPanic
	case errors.Is(err, sluice.ErrLeaseLost):
		return kindLeaseLost
	case errors.Is(err, sluice.ErrHandlerTimeout):
		return kindTimeout
	case errors.Is(err, sluice.ErrShutdown):
		return kindShutdown
	case errors.Is(err, sluice.ErrUnknownType):
		return kindUnknownType
	case isA[*json.SyntaxError](err), isA[*json.UnmarshalTypeError](err):
		return kindDecode
	default:
		return semconv.ErrorType(unwrapped(err)).Value.AsString()
	}
}

func isA[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// unwrapped returns the first error of a chain whose type says something: not one that combines
// errors, or that says only which message failed and what becomes of it.
func unwrapped(err error) error {
	for {
		var next error
		if joined, ok := err.(interface{ Unwrap() []error }); ok {
			if parts := joined.Unwrap(); len(parts) > 0 {
				next = parts[0]
			}
		} else if isWrapper(err) {
			next = errors.Unwrap(err)
		}
		if next == nil {
			return err
		}
		err = next
	}
}

// isWrapper reports whether the type of err is one of package fmt or of this library.
func isWrapper(err error) bool {
	t := reflect.TypeOf(err)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.PkgPath() == "fmt" || t.PkgPath() == reflect.TypeFor[sluice.MessageError]().PkgPath()
}

// textOf returns the text of an error of the user's, whose methods may panic.
func textOf(err error) (text string) {
	defer func() {
		if recover() != nil {
			text = "the error's text cannot be had: its method panicked"
		}
	}()
	return err.Error()
}

// kindOfCall returns the error.type of a call to SQS that failed: SQS's code, or why there is none.
func kindOfCall(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		if code := api.ErrorCode(); isCode(code) {
			return code
		}
	}
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		return kindCallTimeout
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return kindCallTimeout
	case errors.Is(err, context.Canceled):
		return kindCanceled
	case isA[net.Error](err):
		return kindNetwork
	default:
		return semconv.ErrorTypeOther.Value.AsString()
	}
}

// isCode reports whether text is like a code of SQS, such as AWS.SimpleQueueService.NonExistentQueue.
// Whatever answers in place of SQS must not make metrics of its own.
func isCode(text string) bool {
	return text != "" && len(text) <= 80 && !strings.ContainsFunc(text, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '.'
	})
}
