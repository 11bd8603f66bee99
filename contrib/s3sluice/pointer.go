package s3sluice

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sluice-go/sluice"
)

// What Amazon's extended clients write. They read both attributes and both classes.
const (
	marker       = "ExtendedPayloadSize"
	markerLegacy = "SQSLargePayloadSize"
	class        = "software.amazon.payloadoffloading.PayloadS3Pointer"
	classLegacy  = "com.amazon.sqs.javamessaging.MessageS3Pointer"
)

const maxKey = 1024 // bytes of an object's key (S3, "Naming Amazon S3 objects")

// A pointer says where a payload is.
type pointer struct {
	Bucket string `json:"s3BucketName"`
	Key    string `json:"s3Key"`
}

// markerOf returns the attribute that makes m a pointer.
func markerOf(m *sluice.Message) (types.MessageAttributeValue, bool) {
	if a, ok := m.Attributes[marker]; ok {
		return a, true
	}
	a, ok := m.Attributes[markerLegacy]
	return a, ok
}

// withoutMarker returns a copy of attributes without those that make a message a pointer.
func withoutMarker(attributes map[string]types.MessageAttributeValue) map[string]types.MessageAttributeValue {
	rest := maps.Clone(attributes)
	delete(rest, marker)
	delete(rest, markerLegacy)
	return rest
}

// sizeIn returns the size that a marker says, from 1 to most. It is a guess: it is most if the
// marker says nothing of use.
func sizeIn(a types.MessageAttributeValue, most int64) int64 {
	if a.StringValue == nil {
		return most
	}
	n, err := strconv.ParseInt(*a.StringValue, 10, 64)
	if err != nil || n < 1 || n > most {
		return most
	}
	return n
}

var errNoPointer = fmt.Errorf(`the message has the attribute of a pointer to S3, and its body is none, want ["%s",{"s3BucketName":"…","s3Key":"…"}]`, class)

// parse returns the pointer in a body. Errors repeat nothing of the body.
func parse(body string) (p pointer, err error) {
	var parts []json.RawMessage
	var name string
	var fields map[string]*string
	if json.Unmarshal([]byte(body), &parts) != nil || len(parts) != 2 || json.Unmarshal(parts[0], &name) != nil || json.Unmarshal(parts[1], &fields) != nil {
		return p, errNoPointer
	}
	bucket, key := fields["s3BucketName"], fields["s3Key"]
	if (name != class && name != classLegacy) || len(fields) != 2 || bucket == nil || key == nil {
		return p, errNoPointer
	}
	return pointer{*bucket, *key}, nil
}

// locate returns where the payload of a pointer is, if that is a place that o allows.
func (o *Options) locate(m *sluice.Message) (pointer, error) {
	p, err := parse(m.Body)
	switch {
	case err != nil:
		return p, err
	case !slices.Contains(o.Buckets, p.Bucket):
		return p, errors.New("the message points to a bucket that is not in Options.Buckets")
	case !isKey(p.Key):
		return p, fmt.Errorf("the message points to a key that is none, want 1 to %d bytes of UTF-8, and neither . nor .. as a segment", maxKey)
	case !strings.HasPrefix(p.Key, o.Prefix):
		return p, errors.New("the message points to a key that does not begin with Options.Prefix")
	}
	return p, nil
}

// isKey reports whether key can be the key of a payload. S3 takes the segments . and .. as they are,
// but other servers may leave a prefix by them.
func isKey(key string) bool {
	if key == "" || len(key) > maxKey || !utf8.ValidString(key) || strings.ContainsRune(key, 0) {
		return false
	}
	for segment := range strings.SplitSeq(key, "/") {
		if segment == "." || segment == ".." {
			return false
		}
	}
	return true
}
