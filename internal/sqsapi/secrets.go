package sqsapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go"
)

// blanked stands where a secret was.
const blanked = "…"

// A censor blanks in a text what went with a call and is secret.
type censor func(text string) string

// ofHandles is the censor of a call for messages with the given receipt handles.
func ofHandles(handles []string) censor {
	return func(text string) string { return withoutToken(withoutHandles(text, handles)) }
}

// ofMessage is the censor of a call that sends a message.
func ofMessage(in *sqs.SendMessageInput) censor {
	return func(text string) string {
		for _, s := range spelt(texts(in)) {
			text = strings.ReplaceAll(text, s, blanked)
		}
		return withoutToken(withoutHandles(text, nil))
	}
}

// blank returns the error of a whole call as it may be logged: without what its censor
// blanks, and without values of its answer. It stays what it was to errors.Is and
// errors.As, except for the parts of it that name a secret.
func blank(err error, censored censor) (fit error) {
	defer func() {
		if v := recover(); v != nil { // the error may be the user's, and it is asked for its text
			fit = errPanics
		}
	}()
	if bad := unreadable(err); bad != nil {
		return bad
	}
	text := err.Error()
	fitText := censored(text)
	if fitText == text {
		return err
	}
	hidden := redacted{text: fitText, err: err, censored: censored}
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return &redactedAPI{redacted: hidden, code: api.ErrorCode(), message: censored(api.ErrorMessage()), fault: api.ErrorFault()}
	}
	return &hidden
}

// errPanics stands for an error that panics when it is asked for its text.
var errPanics = errors.New("the client returned an error that panics")

// A redacted is an error whose text names no secret.
type redacted struct {
	text     string
	err      error
	censored censor
}

func (e *redacted) Error() string { return e.text }

// Is reports whether the error was a target.
func (e *redacted) Is(target error) bool { return errors.Is(e.err, target) }

// As finds a part of the error that names no secret.
func (e *redacted) As(target any) bool {
	if !errors.As(e.err, target) {
		return false
	}
	found := reflect.ValueOf(target).Elem()
	if part, ok := reflect.TypeAssert[error](found); ok && e.censored(part.Error()) == part.Error() {
		return true
	}
	found.SetZero()
	return false
}

// A redactedAPI is a redacted that the service gave.
type redactedAPI struct {
	redacted

	code, message string
	fault         smithy.ErrorFault
}

func (e *redactedAPI) ErrorCode() string             { return e.code }
func (e *redactedAPI) ErrorMessage() string          { return e.message }
func (e *redactedAPI) ErrorFault() smithy.ErrorFault { return e.fault }

// spelt returns secrets as they are, and as JSON and Go quote them.
func spelt(secrets []string) (all []string) {
	for _, s := range secrets {
		if s == "" {
			continue
		}
		all = append(all, s)
		if quoted := strings.Trim(strconv.Quote(s), `"`); quoted != s {
			all = append(all, quoted)
		}
		if text, err := json.Marshal(s); err == nil && len(text) > 2 && string(text[1:len(text)-1]) != s {
			all = append(all, string(text[1:len(text)-1]))
		}
	}
	return all
}

// texts are the secrets of a message that is sent: its body and its attributes' values.
func texts(in *sqs.SendMessageInput) (secrets []string) {
	const tooShort = 4 // "1" or "no" stand in every other error, and give nothing away
	add := func(s string) {
		if len(s) >= tooShort {
			secrets = append(secrets, s)
		}
	}
	add(aws.ToString(in.MessageBody))
	for _, a := range in.MessageAttributes {
		add(aws.ToString(a.StringValue))
		add(string(a.BinaryValue))
	}
	for _, a := range in.MessageSystemAttributes {
		add(aws.ToString(a.StringValue))
	}
	return secrets
}

// withoutHandles blanks receipt handles, and parts of them: those of a call, and what
// looks like one of SQS's.
func withoutHandles(text string, handles []string) string {
	const longWord, begin, longHandle = 8, "AQEB", 16
	for _, h := range handles {
		if h != "" {
			text = strings.ReplaceAll(text, h, blanked)
		}
	}
	for _, word := range strings.FieldsFunc(text, func(c rune) bool { return !strings.ContainsRune(ofHandle, c) }) {
		part := func(handle string) bool { return len(word) >= longWord && strings.Contains(handle, word) }
		if slices.ContainsFunc(handles, part) || len(word) >= longHandle && strings.HasPrefix(word, begin) {
			text = strings.ReplaceAll(text, word, blanked)
		}
	}
	return text
}

// ofHandle are the characters that receipt handles are made of.
const ofHandle = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=-_#"

// withoutToken blanks a session token. The service names it in SignatureDoesNotMatch, with
// all headers that it has signed.
func withoutToken(text string) string {
	const header = "x-amz-security-token:"
	at := strings.Index(strings.ToLower(text), header)
	if at < 0 {
		return text
	}
	at += len(header)
	end := strings.IndexAny(text[at:], "\r\n\\'\" ")
	if end < 0 {
		end = len(text) - at
	}
	if text[at:at+end] == blanked {
		return text
	}
	return text[:at] + blanked + text[at+end:]
}

// An unreadableError says that there was an answer, and that it is not one of SQS's. Its
// text has nothing from the answer.
type unreadableError struct {
	status  int    // of HTTP; 0: not known
	request string // SQS's id; "": not known
	why     string
	cause   error // of the network; nil: none
}

func (e *unreadableError) Error() string {
	text := "the answer cannot be read"
	if e.status != 0 {
		text += fmt.Sprintf(" (HTTP %d", e.status)
		if e.request != "" {
			text += ", request " + e.request
		}
		text += ")"
	}
	if e.cause != nil {
		return fmt.Sprintf("%s: %v", text, e.cause)
	}
	return text + ": " + e.why
}

func (e *unreadableError) Unwrap() error { return e.cause }

// Unreadable reports whether err says that SQS has answered a receive with what cannot be
// read as messages: those of the answer are hidden now, and have lost a receive.
func Unreadable(err error) bool {
	bad, ok := errors.AsType[*unreadableError](err)
	return ok && bad.cause == nil && bad.status == http.StatusOK
}

// unreadable returns what may be said of an answer that could not be read; nil: err is
// something else.
func unreadable(err error) error {
	bad := unreadableError{why: "it is not in the form that SQS gives"}
	_, undecoded := errors.AsType[*smithy.DeserializationError](err)
	switch {
	case errors.Is(err, errTooLong):
		bad.why, bad.status = errTooLong.Error(), http.StatusOK
	case strings.Contains(err.Error(), "message checksum validation failed"): // the SDK has no type for it
		bad.why, bad.status = "a body does not have the MD5 digest that came with it", http.StatusOK
	case undecoded:
		bad.cause = ofNetwork(err)
	default:
		return nil
	}
	if response, ok := errors.AsType[*awshttp.ResponseError](err); ok {
		bad.request = response.ServiceRequestID()
		if response.Response != nil && response.Response.Response != nil {
			bad.status = response.HTTPStatusCode()
		}
	}
	if late, ok := errors.AsType[*lateError](err); ok {
		return &lateError{late.after, &bad}
	}
	return &bad
}

// ofNetwork returns the part of err that concerns the network; nil: there is none.
func ofNetwork(err error) error {
	for _, known := range []error{io.ErrUnexpectedEOF, context.DeadlineExceeded, context.Canceled, net.ErrClosed} {
		if errors.Is(err, known) {
			return known
		}
	}
	if part, ok := errors.AsType[net.Error](err); ok {
		return part
	}
	return nil
}

// Cut reports whether err is that of a call that was cut by its deadline.
func Cut(err error) bool {
	_, ok := errors.AsType[*lateError](err)
	return ok && !errors.Is(err, errIgnored) // that is the client's doing, not the line's
}
