package s3sluice

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	smithyrand "github.com/aws/smithy-go/rand"
)

const (
	defaultOver   = 256 << 10 // as Amazon's extended clients
	maxMessage    = 1 << 20   // bytes of a message with its attributes
	maxAttributes = 10        // of a message; SQS rejects more
	uuidLength    = 36
)

// A PutObjectClient writes objects. *s3.Client is one.
type PutObjectClient interface {
	PutObject(ctx context.Context, in *s3.PutObjectInput, optFns ...func(*s3.Options)) (*s3.PutObjectOutput, error)
}

// A Store puts large bodies into S3, and makes messages that point to them. Client and Bucket must be
// set. Its method may be called concurrently.
type Store struct {
	Client PutObjectClient
	Bucket string

	// Prefix is what the keys of objects begin with, such as "orders/". A random UUID follows. "" means
	// none. It may have letters, digits and the characters . / _ and -.
	Prefix string

	// Over is how large a message may be without being put into S3, in bytes of body and attributes,
	// 1 to 1 MiB. 0 means 256 KiB, as in Amazon's clients.
	Over int

	// Legacy writes the attribute and the class of Amazon's older clients, SQSLargePayloadSize and
	// MessageS3Pointer. Amazon's newer clients read both; the older ones read nothing else.
	Legacy bool
}

// Put returns the body and the attributes of a message to send. If body and attributes are larger than
// [Store.Over], Put writes body to a new object, and what it returns points to that. Otherwise it
// returns what it was given. The map is not changed.
//
// If Put returns an error, nothing is to be sent. If the message is not sent after Put, the object
// stays: give the bucket a lifecycle rule.
func (s Store) Put(ctx context.Context, body string, attributes map[string]types.MessageAttributeValue) (string, map[string]types.MessageAttributeValue, error) {
	if s.Over == 0 {
		s.Over = defaultOver
	}
	if err := s.validate(attributes); err != nil {
		return "", nil, err
	}
	size := sizeOf(attributes)
	if len(body)+size <= s.Over {
		return body, attributes, nil
	}
	key, err := smithyrand.NewUUID(rand.Reader).GetUUID()
	if err != nil {
		return "", nil, fmt.Errorf("s3sluice: making a key: %w", err)
	}
	at := pointer{Bucket: s.Bucket, Key: s.Prefix + key}
	name, text, err := s.pointTo(at)
	if err != nil {
		return "", nil, fmt.Errorf("s3sluice: writing a pointer: %w", err)
	}
	value := strconv.Itoa(len(body))
	switch total := len(text) + size + len(name) + len("Number") + len(value); {
	case len(attributes) >= maxAttributes:
		return "", nil, fmt.Errorf("s3sluice: the message has %d attributes, want at most %d, since a pointer to S3 takes one", len(attributes), maxAttributes-1)
	case total > maxMessage:
		return "", nil, fmt.Errorf("s3sluice: the message has %d bytes without its body, want at most %d", total, maxMessage)
	}
	if _, err := s.Client.PutObject(ctx, &s3.PutObjectInput{Bucket: &at.Bucket, Key: &at.Key, Body: strings.NewReader(body)}); err != nil {
		return "", nil, fmt.Errorf("s3sluice: putting a payload into bucket %s: %w", s.Bucket, err)
	}
	marked := make(map[string]types.MessageAttributeValue, len(attributes)+1)
	maps.Copy(marked, attributes)
	marked[name] = types.MessageAttributeValue{DataType: new("Number"), StringValue: &value}
	return text, marked, nil
}

// pointTo returns the attribute and the body of a message that points to a payload.
func (s *Store) pointTo(at pointer) (name, body string, err error) {
	name, className := marker, class
	if s.Legacy {
		name, className = markerLegacy, classLegacy
	}
	text, err := json.Marshal([]any{className, at})
	return name, string(text), err
}

var prefixes = regexp.MustCompile(`^([A-Za-z0-9_-][A-Za-z0-9./_-]*)?$`) // as Amazon's clients

func (s *Store) validate(attributes map[string]types.MessageAttributeValue) error {
	var wrong []error
	if s.Client == nil {
		wrong = append(wrong, errors.New("s3sluice: Client is nil, want one such as *s3.Client"))
	}
	if s.Bucket == "" {
		wrong = append(wrong, errors.New("s3sluice: Bucket is empty, want the name of a bucket"))
	}
	if len(s.Prefix) > maxKey-uuidLength || !prefixes.MatchString(s.Prefix) || strings.Contains(s.Prefix, "..") || !isKey(s.Prefix+"x") {
		wrong = append(wrong, fmt.Errorf("s3sluice: Prefix is %q, want at most %d letters, digits and . / _ -, not two dots in a row, and not . or / first", s.Prefix, maxKey-uuidLength))
	}
	if s.Over < 1 || s.Over > maxMessage {
		wrong = append(wrong, fmt.Errorf("s3sluice: Over is %d, want 1 to %d", s.Over, maxMessage))
	}
	for _, name := range []string{marker, markerLegacy} {
		if _, ok := attributes[name]; ok {
			wrong = append(wrong, fmt.Errorf("s3sluice: the message has the attribute %s, which is for pointers to S3", name))
		}
	}
	return errors.Join(wrong...)
}

// sizeOf returns how many bytes of a message its attributes are.
func sizeOf(attributes map[string]types.MessageAttributeValue) (n int) {
	for name, a := range attributes {
		n += len(name) + len(a.BinaryValue)
		for _, s := range []*string{a.DataType, a.StringValue} {
			if s != nil {
				n += len(*s)
			}
		}
	}
	return n
}
