package lease

// ErrUnanswered is the failure of a renewal without a result.
var ErrUnanswered = errUnanswered
