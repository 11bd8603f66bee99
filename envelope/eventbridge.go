package envelope

import (
	"encoding/json"
	"time"
)

const eventBridgeName = "EventBridge event"

// An EventBridgeHeader is what EventBridge says of an event, besides its detail.
type EventBridgeHeader struct {
	ID         string    // given by EventBridge; it stays the same when an event is delivered twice
	DetailType string    // such as Order Placed
	Source     string    // such as com.acme.orders; aws.s3 and the like are AWS's own
	Account    string    // that it comes from, such as 123456789012
	Region     string    // that it comes from, such as eu-central-1
	Time       time.Time // that the sender gave it, in UTC; zero: unknown
	Resources  []string  // ARNs that it concerns; may be empty
}

// An EventBridge is an event that a rule of Amazon EventBridge sent to the queue. Its detail is
// decoded from JSON.
//
// A target with InputPath or InputTransformer sends something else, such as the detail only. There
// is no EventBridge to decode then.
type EventBridge[T any] struct {
	EventBridgeHeader

	Detail T
}

// UnmarshalJSON decodes what EventBridge sends. Its errors are [*Error].
func (e *EventBridge[T]) UnmarshalJSON(data []byte) error {
	var v EventBridge[T]
	err := valid(data)
	if err == nil {
		err = v.decode(data)
	}
	if err != nil {
		return of(eventBridgeName, err)
	}
	*e = v
	return nil
}

func (e *EventBridge[T]) decode(data []byte) error {
	detail, err := parseEventBridge(data, &e.EventBridgeHeader)
	if err != nil {
		return err
	}
	return inside("detail", json.Unmarshal(detail, &e.Detail))
}

// parseEventBridge reads an event, which must be valid JSON, and returns its detail, a part of data.
func parseEventBridge(data []byte, h *EventBridgeHeader) (detail []byte, err error) {
	err = parse(data, text("id", &h.ID), text("detail-type", &h.DetailType), text("source", &h.Source),
		text("account", &h.Account), text("region", &h.Region), moment("time", &h.Time),
		texts("resources", &h.Resources), raw("detail", &detail))
	switch {
	case err != nil:
		return nil, err
	case h.Source == "":
		return nil, &Error{field: "source", problem: "is missing; a target with InputPath or InputTransformer sends no such envelope"}
	case h.DetailType == "":
		return nil, &Error{field: "detail-type", problem: "is missing"}
	case detail == nil:
		return nil, &Error{field: "detail", problem: "is missing"}
	}
	return detail, in("detail", want(detail, "object")) // as PutEvents asks for
}

// MarshalJSON returns e as EventBridge would send it. It is of use in tests.
func (e EventBridge[T]) MarshalJSON() ([]byte, error) {
	resources := e.Resources
	if resources == nil {
		resources = []string{}
	}
	return json.Marshal(struct {
		Version    string    `json:"version"`
		ID         string    `json:"id"`
		DetailType string    `json:"detail-type"`
		Source     string    `json:"source"`
		Account    string    `json:"account"`
		Time       time.Time `json:"time,omitzero"`
		Region     string    `json:"region"`
		Resources  []string  `json:"resources"`
		Detail     T         `json:"detail"`
	}{"0", e.ID, e.DetailType, e.Source, e.Account, e.Time, e.Region, resources, e.Detail})
}
