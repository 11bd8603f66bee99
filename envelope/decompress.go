package envelope

import (
	"compress/gzip"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/sluice-go/sluice"
)

const compressedName = "compressed body"

// Limits say how large a body may become that is decompressed. A field that is 0 has its default.
type Limits struct {
	// Bytes is how many bytes a decompressed body may have. The default is 16 MiB.
	Bytes int
	// Ratio is how many times as many bytes it may have as its gzip stream. Gzip reaches 1,000
	// with text that repeats itself, real JSON 5 to 30. Bodies of up to 64 KiB may have any ratio.
	// The default is 100.
	Ratio int
}

const (
	defaultBytes = 16 << 20
	defaultRatio = 100
	anyRatio     = 64 << 10 // up to so many bytes nobody is harmed
)

// Decompress returns a middleware, a func(sluice.Handler) sluice.Handler, which decompresses the
// bodies of messages that have the attribute Content-Encoding with the value "gzip,base64": a body
// that was compressed by gzip and then written in base64, since SQS takes text only. "gzip" means
// the same. The handler gets copies of these messages, without the attribute. Messages without it
// go to the handler as they are.
//
// A body that is larger than the limits, that is broken, or that has another encoding fails its
// message with an [*Error]. Decompress returns an error if a limit is negative.
//
// A batch is decompressed as a whole before it is handled. [sluice.Options.BytesInFlight] counts
// bodies as SQS delivers them, so up to that times Ratio may be in memory, and not more than
// Bytes for each message of the handlers that run.
func Decompress(l Limits) (func(sluice.Handler) sluice.Handler, error) {
	var wrong []error
	for _, limit := range []struct {
		field     string
		value     *int
		otherwise int
	}{{"Bytes", &l.Bytes, defaultBytes}, {"Ratio", &l.Ratio, defaultRatio}} {
		switch {
		case *limit.value < 0:
			wrong = append(wrong, fmt.Errorf("envelope: %s is %d, want at least 1, or 0 for the default of %d", limit.field, *limit.value, limit.otherwise))
		case *limit.value == 0:
			*limit.value = limit.otherwise
		}
	}
	if len(wrong) > 0 {
		return nil, errors.Join(wrong...)
	}
	return func(next sluice.Handler) sluice.Handler {
		if next == nil {
			return nil // New's and Run's error is clearer than a panic at the first message
		}
		return sluice.Transform(next, l.decompress)
	}, nil
}

// decompress returns m, or a copy of it with the body decompressed.
func (l *Limits) decompress(_ context.Context, m *sluice.Message) (*sluice.Message, error) {
	compressed, err := isCompressed(m)
	if err != nil || !compressed {
		return m, of(compressedName, err)
	}
	body, err := l.inflate(m.Body)
	if err != nil {
		return nil, of(compressedName, err)
	}
	c := *m
	c.Body, c.Attributes = body, without(m.Attributes, contentEncoding)
	return &c, nil
}

const contentEncoding = "content-encoding"

// isCompressed reports whether a message says that its body is compressed.
func isCompressed(m *sluice.Message) (compressed bool, err error) {
	for name, v := range m.Attributes {
		if !strings.EqualFold(name, contentEncoding) {
			continue
		}
		switch strings.ToLower(strings.ReplaceAll(orEmpty(v.StringValue), " ", "")) {
		case "gzip,base64", "gzip":
			compressed = true
		case "identity":
		default:
			return false, &Error{field: "the attribute Content-Encoding", problem: `is not "gzip,base64"`}
		}
	}
	return compressed, nil
}

// inflate returns what is in a body, as far as the limits allow it.
func (l *Limits) inflate(body string) (string, error) {
	most := l.most(base64.StdEncoding.DecodedLen(len(body)))
	r, err := gzip.NewReader(base64.NewDecoder(base64.StdEncoding, strings.NewReader(body)))
	if err != nil {
		return "", unreadable(err)
	}
	var inflated strings.Builder
	n, err := io.Copy(&inflated, io.LimitReader(r, most+1))
	switch {
	case err != nil:
		return "", unreadable(err)
	case n > most && most == int64(l.Bytes):
		return "", &Error{problem: fmt.Sprintf("is larger than %d bytes when it is decompressed, which is Limits.Bytes", most)}
	case n > most:
		return "", &Error{problem: fmt.Sprintf("is more than %d times as large when it is decompressed, which is Limits.Ratio", l.Ratio)}
	}
	return inflated.String(), nil
}

// most returns how many bytes may become of so many that are compressed.
func (l *Limits) most(compressed int) int64 {
	most := min(int64(l.Bytes), math.MaxInt64-1) // one more can be asked for
	if compressed == 0 || int64(l.Ratio) > most/int64(compressed) {
		return most
	}
	return min(most, max(int64(compressed)*int64(l.Ratio), anyRatio))
}

// unreadable returns the error of a body that is not what its attribute says. The errors of gzip and
// base64 repeat nothing of it.
func unreadable(err error) error {
	return &Error{problem: "is not gzip in base64: " + err.Error()}
}
