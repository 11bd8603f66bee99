package s3sluice

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"
)

const (
	defaultMaxBytes = 16 << 20
	defaultInFlight = 64 << 20 // as sluice.Options.BytesInFlight
	defaultParallel = 32
	defaultTimeout  = time.Minute
)

// Options are the options of [Fetch] and [NewDeleter]. Buckets must be set.
type Options struct {
	// Buckets are the buckets that payloads may lie in. At least one is required.
	Buckets []string

	// Prefix is what the keys of payloads begin with, such as "orders/". "" means that any key is
	// allowed.
	Prefix string

	// MaxBytes is how large a payload may be, in bytes. A larger one fails its message. 0 means
	// 16 MiB. Only Fetch uses it.
	MaxBytes int

	// BytesInFlight is how many bytes of payloads are in memory at most, in all calls of the handler
	// together. Calls for whose payloads there is no room wait. It is at least MaxBytes. 0 means 64 MiB, or
	// MaxBytes if that is more. Only Fetch uses it.
	BytesInFlight int

	// Parallel is how many requests to S3 are out at once, in all calls of the handler together. 0
	// means 32. The HTTP client should keep as many connections; the SDK's own keeps ten.
	Parallel int

	// Timeout is how long one request may take, with the SDK's retries and the reading of the payload. 0
	// means 1 min.
	Timeout time.Duration

	// Logger gets a line for each object that could not be deleted. nil means slog.Default(). Only a
	// Deleter uses it.
	Logger *slog.Logger
}

// withDefaults returns o with each zero field set to what it means, or all that is wrong with it.
func (o Options) withDefaults() (Options, error) {
	o.Buckets = slices.Clone(o.Buckets)
	if o.MaxBytes == 0 {
		o.MaxBytes = defaultMaxBytes
	}
	if o.BytesInFlight == 0 {
		o.BytesInFlight = max(defaultInFlight, o.MaxBytes)
	}
	if o.Parallel == 0 {
		o.Parallel = defaultParallel
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o, o.validate()
}

func (o *Options) validate() error {
	var wrong []error
	if len(o.Buckets) == 0 {
		wrong = append(wrong, errors.New("s3sluice: Buckets is empty, want the buckets that payloads may lie in"))
	}
	for i, bucket := range o.Buckets {
		if bucket == "" || strings.ContainsAny(bucket, "*?") {
			wrong = append(wrong, fmt.Errorf("s3sluice: Buckets[%d] is %q, want the name of a bucket, without patterns", i, bucket))
		}
	}
	if o.MaxBytes < 1 {
		wrong = append(wrong, fmt.Errorf("s3sluice: MaxBytes is %d, want at least 1", o.MaxBytes))
	}
	if o.BytesInFlight < o.MaxBytes || o.BytesInFlight < 1 {
		wrong = append(wrong, fmt.Errorf("s3sluice: BytesInFlight is %d, want at least MaxBytes, %d", o.BytesInFlight, o.MaxBytes))
	}
	if o.Parallel < 1 {
		wrong = append(wrong, fmt.Errorf("s3sluice: Parallel is %d, want at least 1", o.Parallel))
	}
	if o.Timeout < 0 {
		wrong = append(wrong, fmt.Errorf("s3sluice: Timeout is %v, want at least 0", o.Timeout))
	}
	return errors.Join(wrong...)
}
