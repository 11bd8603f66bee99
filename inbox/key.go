package inbox

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"unicode/utf8"

	"github.com/sluice-go/sluice"
)

// A Key returns the key of a message. An error, a panic or an empty key fails the message. It is
// called by several goroutines at once.
type Key func(m *sluice.Message) (string, error)

// ByID is the [Key] that is the message id. It is the same for each delivery of a message. It is a
// new one when the producer sends again, and when a message is sent from one queue to another.
func ByID(m *sluice.Message) (string, error) { return m.ID, nil }

// ByAttribute returns the [Key] that is the value of a message attribute. A message without the
// attribute fails.
func ByAttribute(name string) Key {
	return func(m *sluice.Message) (string, error) {
		a, ok := m.Attributes[name]
		switch {
		case !ok:
			return "", fmt.Errorf("the message has no attribute %q", name)
		case a.StringValue != nil:
			return *a.StringValue, nil
		default:
			return string(a.BinaryValue), nil
		}
	}
}

const (
	maxKey = 255 // bytes, as the column; with the name of the handler it fits each database's index
	hashed = "sha256:"
)

// key returns the key of a message as it is stored.
func (b *Inbox) key(m *sluice.Message) (string, error) {
	key, err := guarded(b.opts.Key, m)
	if err != nil {
		return "", fmt.Errorf("inbox: the key of a message: %w", err)
	}
	if key == "" { // else all messages with an empty key would be one
		return "", errors.New("inbox: the key of a message is empty")
	}
	return stored(key), nil
}

// guarded calls key. A panic concerns this message, and not the batch.
func guarded(key Key, m *sluice.Message) (k string, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &sluice.PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	return key(m)
}

// stored returns a key as it is stored: itself or, if it does not fit, its hash. A key that looks
// like a hash is hashed too, so that it is not taken for another one's.
func stored(key string) string {
	fits := len(key) <= maxKey && utf8.ValidString(key) && !strings.ContainsRune(key, 0) // PostgreSQL's text
	if fits && !strings.HasPrefix(key, hashed) {
		return key
	}
	sum := sha256.Sum256([]byte(key))
	return hashed + hex.EncodeToString(sum[:])
}
