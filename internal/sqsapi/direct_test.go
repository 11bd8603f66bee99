package sqsapi_test

import (
	"net/http"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/sqsapi"
	"github.com/sluice-go/sluice/sqstest"
)

// A wrapper is somebody's own client around the SDK's.
type wrapper struct{ *sqs.Client }

// The SDK's client makes the first call of each operation. Those that follow are made
// as it would make them, but without it, unless it is wrapped.
func TestCallsGoPastTheClientOnceItHasShownHow(t *testing.T) {
	s := sqstest.New()
	var through []bool // the client's own code
	sdk := s.Client()
	inner := sdk.Options().HTTPClient
	watched := sqs.New(sdk.Options(), func(o *sqs.Options) {
		o.HTTPClient = do(func(r *http.Request) (*http.Response, error) {
			through = append(through, strings.Contains(string(debug.Stack()), "invokeOperation"))
			return inner.Do(r)
		})
	})
	for _, client := range []sqsapi.Client{watched, wrapper{watched}} {
		through = nil
		q := &sqsapi.Queue{Client: client, URL: s.MustCreateQueue("orders", nil), Visibility: 30 * time.Second}
		for range 3 {
			_, err := q.Receive(t.Context(), 10, 0, "")
			require.NoError(t, err)
			q.Delete(t.Context(), []string{"handle"})
			q.Change(t.Context(), []sqsapi.Change{{Handle: "handle", Timeout: time.Minute}})
		}
		_, wrapped := client.(wrapper)
		require.Equal(t, []bool{true, true, true, wrapped, wrapped, wrapped, wrapped, wrapped, wrapped}, through)
	}
}
