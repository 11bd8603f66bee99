package envelope

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"mime"
	"strings"
	"time"

	"github.com/sluice-go/sluice"
)

const cloudEventName = "CloudEvent"

// A CloudEventHeader has the context attributes of a CloudEvent, as the specification of CloudEvents
// names them. Version 1.0 of it is read.
type CloudEventHeader struct {
	ID              string            // source and ID together name the event
	Source          string            // a URI reference, such as /orders
	Type            string            // such as com.acme.order.placed
	DataContentType string            // "": application/json
	DataSchema      string            // "": none
	Subject         string            // "": none
	Time            time.Time         // in UTC; zero: none
	Extensions      map[string]string // all others. A value that is not a string is its JSON. nil: none
}

// A CloudEvent is an event in the format of cloudevents.io. [sluice.JSON] decodes the structured
// mode: the body is the whole event. [ReadCloudEvent] reads the binary mode too, in which the
// attributes of the event are attributes of the message.
//
// Data that is JSON is decoded into a T. Other data needs a T that is string or []byte. A T that
// is []byte takes all data, as it is. Without data, Data is the zero T.
type CloudEvent[T any] struct {
	CloudEventHeader

	Data T
}

// UnmarshalJSON decodes an event in structured mode. Its errors are [*Error].
func (e *CloudEvent[T]) UnmarshalJSON(data []byte) error {
	var v CloudEvent[T]
	err := valid(data)
	if err == nil {
		err = v.decodeStructured(data)
	}
	if err != nil {
		return of(cloudEventName, err)
	}
	*e = v
	return nil
}

// ReadCloudEvent reads the event in a message, in structured or in binary mode. Its errors are
// [*Error]. In a handler that takes messages:
//
//	sluice.Each(func(ctx context.Context, m *sluice.Message) error {
//		event, err := envelope.ReadCloudEvent[Order](m)
//		…
func ReadCloudEvent[T any](m *sluice.Message) (e CloudEvent[T], err error) {
	if !isBinaryCloudEvent(m) {
		err = e.UnmarshalJSON([]byte(m.Body))
		return e, err
	}
	if err = binaryCloudEvent(m, &e.CloudEventHeader); err == nil {
		err = e.decode([]byte(m.Body))
	}
	if err != nil {
		return CloudEvent[T]{}, of(cloudEventName, err)
	}
	return e, nil
}

func (e *CloudEvent[T]) decodeStructured(data []byte) error {
	content, err := parseCloudEvent(data, &e.CloudEventHeader)
	if err != nil || content == nil {
		return err
	}
	return e.decode(content)
}

// decode decodes the data of an event.
func (e *CloudEvent[T]) decode(content []byte) error {
	if to, ok := any(&e.Data).(*[]byte); ok {
		*to = bytes.Clone(content) // it may be a part of what the caller will change
		return nil
	}
	if isJSON(e.DataContentType) {
		return inside("data", json.Unmarshal(content, &e.Data))
	}
	if to, ok := any(&e.Data).(*string); ok {
		*to = string(content)
		return nil
	}
	return &Error{field: "datacontenttype", problem: "is not JSON; data of other types needs a Go type that is string or []byte"}
}

// isJSON reports whether data of a media type is JSON. Data without one is.
func isJSON(mediaType string) bool {
	if mediaType == "" {
		return true
	}
	name, _, err := mime.ParseMediaType(mediaType)
	return err == nil && (name == "application/json" || name == "text/json" || strings.HasSuffix(name, "+json"))
}

// parseCloudEvent reads an event in structured mode, which must be valid JSON. It returns its data
// as it would be in binary mode; nil: none.
func parseCloudEvent(data []byte, h *CloudEventHeader) (content []byte, err error) {
	var version, encoded string
	var plain []byte
	err = parseRest(data, h.extension,
		text("specversion", &version), text("id", &h.ID), text("source", &h.Source), text("type", &h.Type),
		text("datacontenttype", &h.DataContentType), text("dataschema", &h.DataSchema), text("subject", &h.Subject),
		moment("time", &h.Time), raw("data", &plain), text("data_base64", &encoded))
	if err == nil {
		err = h.check(version)
	}
	switch {
	case err != nil:
		return nil, err
	case encoded == "":
		return plainData(plain, h.DataContentType), nil
	case plain != nil:
		return nil, &Error{field: "data_base64", problem: "comes with data, want one of them"}
	}
	content, err = base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, &Error{field: "data_base64", problem: "is not base64"}
	}
	return content, nil
}

// plainData returns the member data of an event as the data is outside of JSON: text of another
// media type is a string there.
func plainData(plain []byte, mediaType string) []byte {
	var written string
	if plain == nil || isJSON(mediaType) || json.Unmarshal(plain, &written) != nil {
		return plain
	}
	return []byte(written)
}

// extension reads a member that the specification does not name. An error does not name it either.
func (h *CloudEventHeader) extension(name string, value []byte) error {
	written := string(value)
	switch kind(value) {
	case "null":
		return nil
	case "string":
		if err := json.Unmarshal(value, &written); err != nil {
			return err
		}
	}
	if _, twice := h.Extensions[name]; twice {
		return &Error{problem: "an extension comes twice"}
	}
	if h.Extensions == nil {
		h.Extensions = map[string]string{}
	}
	h.Extensions[name] = strings.ToValidUTF8(written, "\uFFFD") // as encoding/json has it in strings
	return nil
}

// check returns what is missing in h.
func (h *CloudEventHeader) check(version string) error {
	switch {
	case version == "":
		return &Error{field: "specversion", problem: "is missing"}
	case version != "1.0":
		return &Error{field: "specversion", problem: "is not 1.0"}
	case h.ID == "":
		return &Error{field: "id", problem: "is missing"}
	case h.Source == "":
		return &Error{field: "source", problem: "is missing"}
	case h.Type == "":
		return &Error{field: "type", problem: "is missing"}
	}
	return nil
}

// The attributes of a message that has an event in binary mode. There is no binding for SQS in the
// specification. These are the names of the HTTP binding, and of the CloudEvents SDKs.
const (
	cloudEventPrefix = "ce-"
	contentType      = "content-type"
)

// isBinaryCloudEvent reports whether a message says that it has an event in binary mode.
func isBinaryCloudEvent(m *sluice.Message) bool {
	binary := false
	for name, v := range m.Attributes {
		switch strings.ToLower(name) {
		case cloudEventPrefix + "specversion":
			binary = true
		case contentType:
			if strings.HasPrefix(strings.ToLower(orEmpty(v.StringValue)), "application/cloudevents") {
				return false // so the body has the whole event
			}
		}
	}
	return binary
}

// binaryCloudEvent reads the attributes of an event in binary mode.
func binaryCloudEvent(m *sluice.Message, h *CloudEventHeader) error {
	named := map[string]string{}
	for name, v := range m.Attributes {
		name = strings.ToLower(name) // as with headers of HTTP
		if name != contentType && !strings.HasPrefix(name, cloudEventPrefix) {
			continue
		}
		if _, twice := named[name]; twice {
			return &Error{problem: "an attribute comes twice, in letters of another case"}
		}
		named[name] = orEmpty(v.StringValue) // an attribute that is binary counts as missing
	}
	take := func(name string) string {
		value := named[name]
		delete(named, name)
		return value
	}
	h.DataContentType = take(contentType)
	version, at := take("ce-specversion"), take("ce-time")
	h.ID, h.Source, h.Type = take("ce-id"), take("ce-source"), take("ce-type")
	h.DataSchema, h.Subject = take("ce-dataschema"), take("ce-subject")
	for name, value := range named {
		if h.Extensions == nil {
			h.Extensions = make(map[string]string, len(named))
		}
		h.Extensions[strings.TrimPrefix(name, cloudEventPrefix)] = value
	}
	err := h.check(version)
	if err == nil && at != "" {
		h.Time, err = parseMoment(at)
		err = in("time", err)
	}
	return err
}

// MarshalJSON returns e in structured mode. A T that is []byte becomes data_base64.
func (e CloudEvent[T]) MarshalJSON() ([]byte, error) {
	event := make(map[string]any, 9+len(e.Extensions))
	for name, value := range e.Extensions {
		event[name] = value
	}
	event["specversion"], event["id"], event["source"], event["type"] = "1.0", e.ID, e.Source, e.Type
	for name, value := range map[string]string{
		"datacontenttype": e.DataContentType, "dataschema": e.DataSchema, "subject": e.Subject,
	} {
		if value != "" {
			event[name] = value
		}
	}
	if !e.Time.IsZero() {
		event["time"] = e.Time
	}
	if binary, ok := any(e.Data).([]byte); ok {
		event["data_base64"] = binary
	} else {
		event["data"] = e.Data
	}
	return json.Marshal(event)
}
