package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/sluice-go/sluice"
)

// A fate is what becomes of a message.
type fate string

const (
	fine    fate = "fine"    // it is handled
	late    fate = "late"    // it fails when it is received for the first time
	panics  fate = "panics"  // and this one panics then
	dropped fate = "dropped" // it is discarded
	buried  fate = "buried"  // it is sent to the dead-letter queue
	cursed  fate = "cursed"  // it fails whenever it is handled, until SQS moves it to the dead-letter queue
)

// drawn returns the fate of a message.
func drawn() fate {
	switch roll := rand.Float64(); {
	case roll < 0.010:
		return late
	case roll < 0.012:
		return panics
	case roll < 0.014:
		return dropped
	case roll < 0.016:
		return buried
	case roll < 0.017:
		return cursed
	default:
		return fine
	}
}

var padding = strings.Repeat("x", 2000)

// body is a message's body: its number in its queue, its fate, and some more.
func body(number int) string {
	return fmt.Sprintf("%d %s %s", number, drawn(), padding[:rand.IntN(len(padding))])
}

func parse(body string) (number int, f fate, err error) {
	if _, err := fmt.Sscan(body, &number, &f); err != nil {
		return 0, "", fmt.Errorf("reading a body: %w", err)
	}
	return number, f, nil
}

var (
	errLate    = errors.New("not yet")
	errCursed  = errors.New("never")
	errUseless = errors.New("of no use")
)

// handle is the handler's part for one message.
func (b *book) handle(ctx context.Context, m *sluice.Message) error {
	number, f, err := parse(m.Body)
	if err != nil {
		return err
	}
	first := m.ReceiveCount == 1
	switch {
	case f == late && first:
		return sluice.RetryAfter(time.Second, errLate)
	case f == panics && first:
		panic("at the disco")
	case f == dropped:
		b.write(number)
		return sluice.Discard(errUseless)
	case f == buried:
		return sluice.DeadLetter(errUseless)
	case f == cursed:
		return errCursed
	}
	select {
	case <-time.After(rand.N(4 * time.Millisecond)):
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	b.write(number)
	return nil
}
