package envelope

import (
	"encoding/json"
	"fmt"
	"strings"
)

// An Error is why a body is not what it should be: it is in no such envelope, or the envelope is
// broken, or what is inside does not fit its Go type. The text names the envelope, the field and
// the rule. It repeats nothing of the message, so it can be logged.
//
// A message that fails with an Error fails each time. A middleware in front of the others can send
// it to the dead-letter queue at once; see the example of this type.
type Error struct {
	envelope string // such as "SNS notification"; "": not known here
	field    string // such as Records[0].s3; "": all of it
	problem  string // such as "is a number, want a string"; "": err's text says it
	err      error  // of encoding/json, or another Error; nil: none
}

func (e *Error) Error() string {
	parts := make([]string, 0, 4)
	for _, part := range []string{"envelope", e.envelope, strings.TrimSpace(e.field + " " + e.problem)} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	if e.problem == "" && e.err != nil {
		parts = append(parts, strings.TrimPrefix(e.err.Error(), "envelope: "))
	}
	return strings.Join(parts, ": ")
}

// Unwrap returns the error of what is inside, or of encoding/json: a [*json.SyntaxError] or a
// [*json.UnmarshalTypeError]. It returns nil if there is none.
func (e *Error) Unwrap() error { return e.err }

// in returns err, which concerns a field.
func in(name string, err error) error {
	if err == nil {
		return nil
	}
	e, ok := err.(*Error) //nolint:errorlint // made a moment ago, never wrapped
	if !ok {
		return &Error{field: name, err: safe(err)}
	}
	if e.field != "" && !strings.HasPrefix(e.field, "[") {
		name += "."
	}
	return &Error{envelope: e.envelope, field: name + e.field, problem: e.problem, err: e.err}
}

// of returns err, which concerns an envelope.
func of(envelope string, err error) error {
	if err == nil {
		return nil
	}
	e, ok := err.(*Error) //nolint:errorlint // as above
	if !ok {
		e = &Error{err: safe(err)}
	}
	return &Error{envelope: envelope, field: e.field, problem: e.problem, err: e.err}
}

// inside returns err, which concerns what is inside a field.
func inside(name string, err error) error {
	if err == nil {
		return nil
	}
	return &Error{field: name, err: safe(err)}
}

// Redacted reports whether the text of e repeats nothing of the message: true. So [sluice.JSON]
// shows it.
func (e *Error) Redacted() bool { return e != nil }

// safe returns an error of encoding/json with a text that repeats nothing of what was decoded.
func safe(err error) error {
	switch e := err.(type) { //nolint:errorlint // a wrapper may say more than what it wraps
	case *Error:
		return e
	case *json.SyntaxError:
		return e
	case *json.UnmarshalTypeError:
		e.Value, _, _ = strings.Cut(e.Value, " ") // "number", not which
		return e
	default: // by the type's own decoder, such as that of time.Time: its text may have the value
		return &Error{problem: fmt.Sprintf("a value is not as its type wants it (%T)", err)}
	}
}
