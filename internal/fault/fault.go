// Package fault says what the errors of calls to SQS mean to a consumer. Those who make
// the calls say it, since they know the errors. docs/errors.md is the table.
package fault

// A Kind is what to do about an error.
type Kind int

const (
	// Passing errors go away by themselves: the network, 5xx, credentials that
	// somebody is about to renew. Try again, more slowly each time.
	Passing Kind = iota
	// Throttled calls are too many. Try again, with fewer at once.
	Throttled
	// Lost receipts no longer stand for a message that is in flight. Another try is
	// useless: the message was deleted or will be received again.
	Lost
	// Refused calls are not allowed, or there is no such queue. That may pass: a
	// change of a policy or a key takes time to reach all of SQS, and a queue can be
	// made again. Try again, slowly, and not for ever.
	Refused
	// Lasting errors are those that no call can cure: the same one will fail again.
	Lasting
)

// An Error is the error of a call, or of one entry of a call, with what it means.
type Error struct {
	Kind       Kind
	Unsure     bool  // the call may have had its effect although it failed
	Expired    bool  // the time of the credentials is over
	Cut        bool  // the call's deadline has cut it
	Unreadable bool  // the answer came, and nobody can read it
	Err        error // what the caller of SQS has seen
}

// Error returns the text of e.Err.
func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns e.Err.
func (e *Error) Unwrap() error { return e.Err }

// Of returns what err means. An error of which nobody has said it is Passing, and its
// call may have had its effect: an unknown error must not end a consumer.
func Of(err error) *Error {
	if known, ok := err.(*Error); ok { //nolint:errorlint // ours, and outermost; errors.As would ask the user's code
		return known
	}
	return &Error{Kind: Passing, Unsure: true, Err: err}
}
