package envelope

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

const snsName = "SNS notification"

// An SNSHeader is what SNS says of a message, besides the message.
type SNSHeader struct {
	TopicARN       string    // such as arn:aws:sns:eu-central-1:123456789012:orders
	MessageID      string    // given by SNS; the id of the SQS message is another one
	SequenceNumber string    // FIFO topics only: the topic's, not the queue's
	Subject        string    // "": none
	Time           time.Time // when it was published, in UTC; zero: unknown

	// Attributes are what the publisher gave it, in the form of [sluice.Message]; nil: none.
	Attributes map[string]types.MessageAttributeValue
}

// An SNS is a message that SNS sent to the queue, without raw message delivery. If T is string,
// Message is what was published, as it is. Else it is decoded from JSON. T may be another
// envelope, as in SNS[S3Event] and SNS[EventBridge[Order]].
//
// With raw message delivery the body is what was published, so there is no SNS to decode.
type SNS[T any] struct {
	SNSHeader

	Message T
}

// UnmarshalJSON decodes what SNS sends. Topics need not sign it: FIFO topics do not, and signatures
// are not checked. Its errors are [*Error].
func (n *SNS[T]) UnmarshalJSON(data []byte) error {
	var v SNS[T]
	err := valid(data)
	if err == nil {
		err = v.decode(data)
	}
	if err != nil {
		return of(snsName, err)
	}
	*n = v
	return nil
}

func (n *SNS[T]) decode(data []byte) error {
	message, err := parseSNS(data, &n.SNSHeader)
	if err != nil {
		return err
	}
	return inside("Message", decodeText(message, &n.Message))
}

// decodeText decodes a text that is JSON, or any text if T is string.
func decodeText[T any](text string, to *T) error {
	if s, ok := any(to).(*string); ok {
		*s = text
		return nil
	}
	return json.Unmarshal([]byte(text), to)
}

// parseSNS reads a notification, which must be valid JSON, and returns its message.
func parseSNS(data []byte, h *SNSHeader) (message string, err error) {
	var kind string
	var body []byte
	err = parse(data, text("Type", &kind), text("TopicArn", &h.TopicARN), text("MessageId", &h.MessageID),
		text("SequenceNumber", &h.SequenceNumber), text("Subject", &h.Subject), moment("Timestamp", &h.Time),
		raw("Message", &body), field{"MessageAttributes", h.attributes})
	switch {
	case err != nil:
		return "", err
	case kind == "":
		return "", &Error{field: "Type", problem: "is missing; with raw message delivery a body has no such envelope"}
	case kind == "SubscriptionConfirmation" || kind == "UnsubscribeConfirmation":
		return "", &Error{field: "Type", problem: "asks to confirm a subscription; only the owner of the queue may do that, by hand"}
	case kind != "Notification":
		return "", &Error{field: "Type", problem: "is not Notification"}
	case h.TopicARN == "":
		return "", &Error{field: "TopicArn", problem: "is missing"}
	case body == nil:
		return "", &Error{field: "Message", problem: "is missing"}
	}
	err = text("Message", &message).read(body)
	return message, in("Message", err)
}

// attributes reads the attributes of a notification. An error names none of them: their names are
// the publisher's.
func (h *SNSHeader) attributes(data []byte) error {
	if err := want(data, "object"); err != nil {
		return err
	}
	return members(data, func(name string, value []byte) error {
		if _, twice := h.Attributes[name]; twice {
			return &Error{problem: "has one twice"}
		}
		v, err := snsAttribute(value)
		if err != nil {
			return err
		}
		if h.Attributes == nil {
			h.Attributes = map[string]types.MessageAttributeValue{}
		}
		h.Attributes[name] = v
		return nil
	})
}

func snsAttribute(data []byte) (v types.MessageAttributeValue, err error) {
	var dataType, value string
	if err := parse(data, text("Type", &dataType), text("Value", &value)); err != nil {
		return v, err
	}
	v.DataType = &dataType
	switch kind, _, _ := strings.Cut(dataType, "."); kind {
	case "String", "Number":
		v.StringValue = &value
	case "Binary":
		v.BinaryValue, err = base64.StdEncoding.DecodeString(value)
		if err != nil {
			return v, &Error{field: "Value", problem: "is not base64"}
		}
	default:
		return v, &Error{field: "Type", problem: "is not String, Number or Binary"}
	}
	return v, nil
}

// MarshalJSON returns n as SNS would send it, without a signature. It is of use in tests.
func (n SNS[T]) MarshalJSON() ([]byte, error) {
	message, ok := any(n.Message).(string)
	if !ok {
		encoded, err := json.Marshal(n.Message)
		if err != nil {
			return nil, err
		}
		message = string(encoded)
	}
	type attribute struct {
		Type  string `json:"Type"`
		Value string `json:"Value"`
	}
	var attributes map[string]attribute
	for name, v := range n.Attributes {
		if attributes == nil {
			attributes = map[string]attribute{}
		}
		a := attribute{Type: orEmpty(v.DataType), Value: orEmpty(v.StringValue)}
		if v.BinaryValue != nil {
			a.Value = base64.StdEncoding.EncodeToString(v.BinaryValue)
		}
		attributes[name] = a
	}
	return json.Marshal(struct {
		Type           string               `json:"Type"`
		MessageID      string               `json:"MessageId,omitempty"`
		SequenceNumber string               `json:"SequenceNumber,omitempty"`
		TopicARN       string               `json:"TopicArn"`
		Subject        string               `json:"Subject,omitempty"`
		Message        string               `json:"Message"`
		Time           time.Time            `json:"Timestamp,omitzero"`
		Attributes     map[string]attribute `json:"MessageAttributes,omitempty"`
	}{"Notification", n.MessageID, n.SequenceNumber, n.TopicARN, n.Subject, message, n.Time, attributes})
}

func orEmpty(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// valid returns the error of encoding/json for what is not JSON.
func valid(data []byte) error {
	if json.Valid(data) {
		return nil
	}
	return json.Unmarshal(data, new(struct{})) // which says where
}
