package envelope

import (
	"encoding/json"
	"net/url"
	"strings"
	"time"
)

const s3Name = "S3 event"

// An S3Event is what S3 sends to a queue when something happens to objects. S3 sends it straight
// to the queue, or to a topic, as in SNS[S3Event]. What S3 sends by way of EventBridge is
// another thing: see [S3Detail].
//
// All versions 2.x of the records are read. S3 adds fields within them.
type S3Event struct {
	// Records has at least one record, unless Test is true. They may concern several objects.
	Records []S3Record

	// Test is true for the message s3:TestEvent. S3 sends one when notifications are configured.
	// It has no Records, so a handler that goes over them does nothing, and the message is deleted.
	Test bool
}

// An S3Record is one thing that happened to an object. What S3 did not send is empty.
type S3Record struct {
	Version         string    // of the record, such as 2.1
	Region          string    // of the bucket
	Time            time.Time // when S3 finished the request, in UTC; zero: unknown
	Name            string    // such as ObjectCreated:Put, without "s3:" in front
	PrincipalID     string    // who did it
	SourceIP        string    // where the request came from
	RequestID       string    // x-amz-request-id of the answer
	ConfigurationID string    // of the bucket's notification
	Bucket          string    // its name
	BucketARN       string
	Key             string // of the object, decoded: what GetObject takes
	Size            int64  // bytes
	ETag            string // without quotes
	VersionID       string // "": the bucket has no versions
	Sequencer       string // hexadecimal; see [CompareSequencers]
}

// UnmarshalJSON decodes what S3 sends. Its errors are [*Error].
func (e *S3Event) UnmarshalJSON(data []byte) error {
	var v S3Event
	err := valid(data)
	if err == nil {
		v, err = parseS3(data)
	}
	if err != nil {
		return of(s3Name, err)
	}
	*e = v
	return nil
}

// parseS3 reads an event, which must be valid JSON.
func parseS3(data []byte) (e S3Event, err error) {
	var records []byte
	var service, event string
	if err := parse(data, raw("Records", &records), text("Service", &service), text("Event", &event)); err != nil {
		return e, err
	}
	if records == nil {
		if event == "s3:TestEvent" && service == "Amazon S3" {
			return S3Event{Test: true}, nil
		}
		return e, &Error{field: "Records", problem: "is missing, and it is no s3:TestEvent"}
	}
	if err := in("Records", want(records, "array")); err != nil {
		return e, err
	}
	err = in("Records", elements(records, func(record []byte) error {
		r, err := parseS3Record(record)
		if err != nil {
			return err
		}
		e.Records = append(e.Records, r)
		return nil
	}))
	if err == nil && len(e.Records) == 0 {
		err = &Error{field: "Records", problem: "is empty"} // S3 sends no such thing: it must not succeed
	}
	return e, err
}

func parseS3Record(data []byte) (r S3Record, err error) {
	var source, key string
	err = parse(data,
		text("eventVersion", &r.Version), text("eventSource", &source), text("eventName", &r.Name),
		text("awsRegion", &r.Region), moment("eventTime", &r.Time),
		object("userIdentity", text("principalId", &r.PrincipalID)),
		object("requestParameters", text("sourceIPAddress", &r.SourceIP)),
		object("responseElements", text("x-amz-request-id", &r.RequestID)),
		object("s3",
			text("configurationId", &r.ConfigurationID),
			object("bucket", text("name", &r.Bucket), text("arn", &r.BucketARN)),
			object("object", text("key", &key), integer("size", &r.Size), text("eTag", &r.ETag),
				text("versionId", &r.VersionID), text("sequencer", &r.Sequencer))))
	if err != nil {
		return r, err
	}
	r.Name = strings.TrimPrefix(r.Name, "s3:") // as in configurations; some stand-ins send it too
	r.Key, err = url.QueryUnescape(key)        // S3 encodes it as a form: "+" is a space
	switch {
	case err != nil:
		return r, &Error{field: "s3.object.key", problem: "is not encoded as a form"}
	case source != "aws:s3":
		return r, &Error{field: "eventSource", problem: "is not aws:s3"}
	case !strings.HasPrefix(r.Version, "2."):
		return r, &Error{field: "eventVersion", problem: "is not 2.x"}
	case r.Name == "":
		return r, &Error{field: "eventName", problem: "is missing"}
	case r.Bucket == "":
		return r, &Error{field: "s3.bucket.name", problem: "is missing"}
	case r.Key == "":
		return r, &Error{field: "s3.object.key", problem: "is missing"}
	}
	return r, nil
}

// CompareSequencers compares the sequencers of two records for the same key. It returns -1 if a's
// event was before b's, +1 if it was after it, and 0 if they are the same. Sequencers of different
// keys say nothing about each other. Not all events have one.
func CompareSequencers(a, b string) int {
	// S3 says: pad the shorter one with zeros on the right, then compare as text.
	n := max(len(a), len(b))
	return strings.Compare(padded(a, n), padded(b, n))
}

func padded(sequencer string, n int) string {
	return strings.ToUpper(sequencer) + strings.Repeat("0", n-len(sequencer))
}

// MarshalJSON returns e as S3 would send it. It is of use in tests. A record without a Version is
// of version 2.1.
func (e S3Event) MarshalJSON() ([]byte, error) {
	if e.Test {
		return []byte(`{"Service":"Amazon S3","Event":"s3:TestEvent"}`), nil
	}
	records := make([]s3Wire, len(e.Records))
	for i := range e.Records {
		records[i] = e.Records[i].wire()
	}
	return json.Marshal(map[string][]s3Wire{"Records": records})
}

// s3Wire is a record as S3 writes it.
type s3Wire struct {
	Version           string            `json:"eventVersion"`
	Source            string            `json:"eventSource"`
	Region            string            `json:"awsRegion"`
	Time              time.Time         `json:"eventTime,omitzero"`
	Name              string            `json:"eventName"`
	UserIdentity      map[string]string `json:"userIdentity"`
	RequestParameters map[string]string `json:"requestParameters"`
	ResponseElements  map[string]string `json:"responseElements"`
	S3                s3WireObject      `json:"s3"`
}

type s3WireObject struct {
	SchemaVersion   string            `json:"s3SchemaVersion"`
	ConfigurationID string            `json:"configurationId"`
	Bucket          map[string]string `json:"bucket"`
	Object          struct {
		Key       string `json:"key"`
		Size      int64  `json:"size,omitempty"`
		ETag      string `json:"eTag,omitempty"`
		VersionID string `json:"versionId,omitempty"`
		Sequencer string `json:"sequencer,omitempty"`
	} `json:"object"`
}

func (r *S3Record) wire() s3Wire {
	w := s3Wire{
		Version: r.Version, Source: "aws:s3", Region: r.Region, Time: r.Time, Name: r.Name,
		UserIdentity:      map[string]string{"principalId": r.PrincipalID},
		RequestParameters: map[string]string{"sourceIPAddress": r.SourceIP},
		ResponseElements:  map[string]string{"x-amz-request-id": r.RequestID},
		S3: s3WireObject{
			SchemaVersion: "1.0", ConfigurationID: r.ConfigurationID,
			Bucket: map[string]string{"name": r.Bucket, "arn": r.BucketARN},
		},
	}
	if w.Version == "" {
		w.Version = "2.1"
	}
	o := &w.S3.Object
	o.Key = strings.ReplaceAll(url.QueryEscape(r.Key), "%2F", "/") // S3 leaves slashes as they are
	o.Size, o.ETag, o.VersionID, o.Sequencer = r.Size, r.ETag, r.VersionID, r.Sequencer
	return w
}

// An S3Detail is the detail of an event that S3 sends by way of EventBridge, as in
// EventBridge[S3Detail]. The DetailType of the event says what happened, such as Object Created.
type S3Detail struct {
	Bucket struct {
		Name string `json:"name"`
	} `json:"bucket"`
	Object struct {
		Key       string `json:"key"` // as it is: S3 does not encode it here
		Size      int64  `json:"size"`
		ETag      string `json:"etag"`
		VersionID string `json:"version-id"`
		Sequencer string `json:"sequencer"` // see [CompareSequencers]
	} `json:"object"`
	RequestID    string `json:"request-id"`
	Requester    string `json:"requester"`         // an account, or a service of AWS
	SourceIP     string `json:"source-ip-address"` // "": none
	Reason       string `json:"reason"`            // such as PutObject; "": the event has none
	DeletionType string `json:"deletion-type"`     // of Object Deleted, such as Permanently Deleted
}
