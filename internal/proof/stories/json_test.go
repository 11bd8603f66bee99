package stories_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sqstest"
)

func TestHealthAsJSONIsASentence(t *testing.T) {
	tell(t, func(w *world) {
		w.client = w.server.Client()
		w.outage(sqstest.Unavailable())
		c := w.consumer(sluice.Options{})
		stop := w.run(c, w.handler(nil))
		time.Sleep(time.Minute)
		text, err := json.Marshal(c.Health())
		require.NoError(w, err)
		require.NoError(w, stop())
		var got map[string]string
		require.NoError(w, json.Unmarshal(text, &got), "%s", text)
		require.Equal(w, "backing off", got["State"])
		require.Regexp(w, "^operation error SQS: ReceiveMessage, .*ServiceUnavailable", got["Err"])
		require.Len(w, got, 3)
	})
}

func TestARefusalAsJSONNamesQueueRegionAndCall(t *testing.T) {
	tell(t, func(w *world) {
		w.client = w.server.Client()
		c := w.consumer(sluice.Options{})
		stop := w.run(c, w.handler(nil))
		time.Sleep(time.Second)
		w.outage(sqstest.AccessDenied())
		time.Sleep(time.Minute)
		text, err := json.Marshal(c.Health())
		require.NoError(w, err)
		require.NoError(w, stop())
		require.Contains(w, string(text), `"State":"refused"`)
		require.Contains(w, string(text), `"Err":"receiving from `+w.url+` (ReceiveMessage, region us-east-1): `)
	})
}
