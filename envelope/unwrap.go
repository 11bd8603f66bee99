package envelope

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sluice-go/sluice"
)

// Any stands for all topics or all sources in a list of [Options].
const Any = "*"

// Options say which envelopes [Unwrap] opens. Envelopes whose list is empty are not looked at.
type Options struct {
	// Topics are the ARNs of the SNS topics whose notifications are opened, or [Any].
	Topics []string
	// EventBridgeSources are the sources of the EventBridge events that are opened, such as
	// com.acme.orders, or [Any].
	EventBridgeSources []string
	// CloudEventSources are the sources of the CloudEvents that are opened, such as /orders, or
	// [Any].
	CloudEventSources []string

	// Strict fails the messages that are in none of these envelopes. Otherwise they go to the
	// handler as they are: such as those of a topic with raw message delivery. Be strict where you
	// expect none of them, since a handler that decodes JSON may take any object for what it wants.
	Strict bool
}

// An Origin says where a message came from: what its envelopes said of it.
type Origin struct {
	SNS         *SNSHeader         // nil: it was in no SNS notification that was opened
	EventBridge *EventBridgeHeader // nil: it was in no EventBridge event that was opened
	CloudEvent  *CloudEventHeader  // nil: it was in no CloudEvent that was opened
}

// Unwrap returns a middleware, a func(sluice.Handler) sluice.Handler, which opens the envelopes of
// messages. The handler gets copies of the messages. Their Body is what is inside: the Message of
// SNS, the detail of EventBridge or the data of a CloudEvent. Attributes are those that the
// publisher gave to SNS. All else is as SQS delivered it, the ID too. [From] says what the
// envelopes said.
//
// A message may be in several envelopes: an EventBridge event or a CloudEvent in an SNS
// notification, or a CloudEvent as the detail of an EventBridge event. An S3 event in an SNS
// notification is inside too: decode it as an [S3Event].
//
// The lists say who is believed, and need to be chosen: without any list Unwrap returns an error. It
// returns all mistakes in o at once. Whoever may send to the queue can write any envelope, so the
// policy of the queue has to say who that is.
//
// An envelope is known by three members of the body: Type, TopicArn and Message are those of SNS,
// source, detail-type and detail those of EventBridge, specversion, source and type those of
// CloudEvents. A CloudEvent in binary mode is known by the attribute ce-specversion. A message that
// has them fails with an [*Error] if its topic or source is not listed, or if it is broken
// otherwise: a handler might take it for what it wants, and report success.
func Unwrap(o Options) (func(sluice.Handler) sluice.Handler, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	o.Topics, o.EventBridgeSources, o.CloudEventSources = slices.Clone(o.Topics), slices.Clone(o.EventBridgeSources), slices.Clone(o.CloudEventSources)
	return func(next sluice.Handler) sluice.Handler {
		if next == nil {
			return nil // New's and Run's error is clearer than a panic at the first message
		}
		return func(ctx context.Context, batch []*sluice.Message) error {
			var origins []Origin // of the messages that next gets, in their order
			open := func(ctx context.Context, m *sluice.Message) (*sluice.Message, error) {
				origin, _ := From(ctx, m) // what an Unwrap around this one has found
				opened, err := o.open(m, &origin)
				if err == nil {
					origins = append(origins, origin)
				}
				return opened, err
			}
			handle := func(ctx context.Context, opened []*sluice.Message) error {
				return next(context.WithValue(ctx, sourcesKey{}, sourcesOf(opened, origins)), opened)
			}
			return sluice.Transform(handle, open)(ctx, batch)
		}
	}, nil
}

// validate returns all that is wrong with o.
func (o *Options) validate() error {
	var wrong []error
	if len(o.Topics)+len(o.EventBridgeSources)+len(o.CloudEventSources) == 0 {
		wrong = append(wrong, errors.New("envelope: Topics, EventBridgeSources and CloudEventSources are empty, want a topic or a source that is believed, or envelope.Any"))
	}
	for i, topic := range o.Topics {
		if topic != Any && !isTopic(topic) {
			wrong = append(wrong, fmt.Errorf("envelope: Topics[%d] is %q, want the ARN of a topic, such as arn:aws:sns:eu-central-1:123456789012:orders, or envelope.Any", i, topic))
		}
	}
	for _, list := range []struct {
		field   string
		sources []string
	}{{"EventBridgeSources", o.EventBridgeSources}, {"CloudEventSources", o.CloudEventSources}} {
		for i, source := range list.sources {
			if source != Any && (source == "" || strings.Contains(source, Any)) {
				wrong = append(wrong, fmt.Errorf("envelope: %s[%d] is %q, want a source as it is, without patterns, or envelope.Any", list.field, i, source))
			}
		}
	}
	return errors.Join(wrong...)
}

// isTopic reports whether arn is the ARN of one topic.
func isTopic(arn string) bool {
	parts := strings.Split(arn, ":")
	return len(parts) == 6 && parts[0] == "arn" && parts[1] != "" && parts[2] == "sns" && parts[3] != "" &&
		parts[4] != "" && parts[5] != "" && !strings.Contains(arn, Any)
}

// open returns m, or a copy of it with what is in its envelopes, and notes in origin what they say.
// SNS is outermost, since no other service can put it inside of something.
func (o *Options) open(m *sluice.Message, origin *Origin) (*sluice.Message, error) {
	opened := false
	for _, layer := range []struct {
		envelope string
		allowed  []string
		open     func(*Options, *sluice.Message, *Origin) (*sluice.Message, error)
	}{
		{snsName, o.Topics, (*Options).openSNS},
		{eventBridgeName, o.EventBridgeSources, (*Options).openEventBridge},
		{cloudEventName, o.CloudEventSources, (*Options).openCloudEvent},
	} {
		if len(layer.allowed) == 0 {
			continue
		}
		inner, err := layer.open(o, m, origin)
		if err != nil {
			return nil, of(layer.envelope, err)
		}
		if inner != nil {
			m, opened = inner, true
		}
	}
	if o.Strict && !opened {
		return nil, &Error{problem: "the message is in no envelope that is opened, and Strict wants one"}
	}
	return m, nil
}

// openSNS returns nil if m is not in a notification.
func (o *Options) openSNS(m *sluice.Message, origin *Origin) (*sluice.Message, error) {
	data, ok := withMembers(m.Body, "Type", "TopicArn", "Message")
	if !ok {
		return nil, nil
	}
	var h SNSHeader
	message, err := parseSNS(data, &h)
	if err == nil {
		err = listed("TopicArn", h.TopicARN, "Topics", o.Topics)
	}
	if err != nil {
		return nil, err
	}
	c := *m
	c.Body, c.Attributes = message, h.Attributes
	origin.SNS = &h
	return &c, nil
}

// openEventBridge returns nil if m is not an event of EventBridge.
func (o *Options) openEventBridge(m *sluice.Message, origin *Origin) (*sluice.Message, error) {
	data, ok := withMembers(m.Body, "source", "detail-type", "detail")
	if !ok {
		return nil, nil
	}
	var h EventBridgeHeader
	detail, err := parseEventBridge(data, &h)
	if err == nil {
		err = listed("source", h.Source, "EventBridgeSources", o.EventBridgeSources)
	}
	if err != nil {
		return nil, err
	}
	c := *m
	c.Body = string(detail)
	origin.EventBridge = &h
	return &c, nil
}

// openCloudEvent returns nil if m has no CloudEvent.
func (o *Options) openCloudEvent(m *sluice.Message, origin *Origin) (*sluice.Message, error) {
	var h CloudEventHeader
	if isBinaryCloudEvent(m) {
		origin.CloudEvent = &h
		err := binaryCloudEvent(m, &h)
		if err == nil {
			err = listed("ce-source", h.Source, "CloudEventSources", o.CloudEventSources)
		}
		return m, err // the body is the data as it is
	}
	data, ok := withMembers(m.Body, "specversion", "source", "type")
	if !ok {
		return nil, nil
	}
	content, err := parseCloudEvent(data, &h)
	if err == nil {
		err = listed("source", h.Source, "CloudEventSources", o.CloudEventSources)
	}
	if err != nil {
		return nil, err
	}
	c := *m
	c.Body, c.Attributes = string(content), without(m.Attributes, contentType) // which is that of the event
	origin.CloudEvent = &h
	return &c, nil
}

// listed returns an error if a sender is not in its list.
func listed(field, sender, list string, senders []string) error {
	if slices.Contains(senders, Any) || slices.Contains(senders, sender) {
		return nil
	}
	return &Error{field: field, problem: "is not in " + list}
}

// withMembers returns the bytes of a body that is an object with certain members. They may be
// anything, and more than one of each.
func withMembers(body string, names ...string) (data []byte, ok bool) {
	if !strings.HasPrefix(strings.TrimLeft(body, space), "{") {
		return nil, false // and not copied
	}
	data = []byte(body)
	if !json.Valid(data) {
		return nil, false
	}
	found := make([]bool, len(names))
	_ = members(data, func(name string, _ []byte) error {
		if i := slices.Index(names, name); i >= 0 {
			found[i] = true
		}
		return nil
	})
	return data, !slices.Contains(found, false)
}

// without returns attributes without the one of a name, in letters of any case.
func without(attributes map[string]types.MessageAttributeValue, name string) map[string]types.MessageAttributeValue {
	rest := maps.Clone(attributes)
	maps.DeleteFunc(rest, func(is string, _ types.MessageAttributeValue) bool { return strings.EqualFold(is, name) })
	if len(rest) == 0 {
		return nil
	}
	return rest
}

// sourcesKey is the key of the [*sources] in a context.
type sourcesKey struct{}

// sources are where the messages of a batch came from. Nothing changes them.
type sources struct {
	origins map[*sluice.Message]Origin
	byID    map[string]*sluice.Message // nil: several have the id
}

func sourcesOf(batch []*sluice.Message, origins []Origin) *sources {
	s := &sources{
		origins: make(map[*sluice.Message]Origin, len(batch)),
		byID:    make(map[string]*sluice.Message, len(batch)),
	}
	for i, m := range batch {
		s.origins[m] = origins[i]
		if _, twice := s.byID[m.ID]; twice {
			s.byID[m.ID] = nil
		} else {
			s.byID[m.ID] = m
		}
	}
	return s
}

// From returns where a message came from. ctx is the context that the handler behind [Unwrap] got,
// or one made of it. m is a message that the handler got, or a copy of one that other middleware
// made. From reports whether an envelope was opened. Several goroutines may call it.
func From(ctx context.Context, m *sluice.Message) (Origin, bool) {
	s, _ := ctx.Value(sourcesKey{}).(*sources)
	if s == nil || m == nil {
		return Origin{}, false
	}
	origin, known := s.origins[m]
	if !known {
		origin = s.origins[s.byID[m.ID]]
	}
	return origin, origin != Origin{}
}
