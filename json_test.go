package sluice_test

import (
	"encoding/json"
	"errors"
	"runtime"
	"testing"

	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sqstest"
)

func TestWhatIsNotKnownIsNotInJSON(t *testing.T) {
	c, err := sluice.New(sqstest.New(), anyQueue, sluice.Options{})
	require.NoError(t, err)
	text, err := json.Marshal(c.Health())
	require.NoError(t, err)
	require.JSONEq(t, `{"State": "stopped"}`, string(text))
	text, err = json.Marshal(c.Stats()) //nolint:musttag // the names are the fields'
	require.NoError(t, err)
	require.NotContains(t, string(text), "0001-01-01")
	require.NotContains(t, string(text), "LastReceive")
	require.NotContains(t, string(text), "OldestHandler")
	require.Contains(t, string(text), `"Received":0`)
}

// exits is an error whose text ends the goroutine that asks for it.
type exits struct{}

func (exits) Error() string {
	runtime.Goexit()
	return ""
}

func TestErrorsAreSentencesInAllJSON(t *testing.T) {
	failed := &smithy.OperationError{ServiceID: "SQS", OperationName: "ReceiveMessage", Err: errors.New("no route")}
	const want = `"Err":"operation error SQS: ReceiveMessage, no route"`
	for _, v := range []any{
		sluice.Health{Err: failed},
		&sluice.Health{Err: failed},
		sluice.CallEvent{Operation: "ReceiveMessage", Duration: 7, Err: failed},
		sluice.BatchEvent{Failed: 7, Err: failed},
		sluice.LeaseEvent{Err: failed},
		map[string]any{"health": sluice.Health{Err: failed}},
	} {
		text, err := json.Marshal(v)
		require.NoError(t, err)
		require.Contains(t, string(text), want, "%T", v)
	}
	text, err := json.Marshal(sluice.CallEvent{Operation: "ReceiveMessage", Duration: 7})
	require.NoError(t, err)
	require.JSONEq(t, `{"Operation": "ReceiveMessage", "Entries": 0, "Failed": 0, "Duration": 7}`, string(text))
	for _, bad := range []error{exits{}, (*smithy.OperationError)(nil)} {
		_, err := json.Marshal(sluice.Health{Err: bad})
		require.NoError(t, err, "whatever the error does")
	}
}
