package sqsapi_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/fault"
	"github.com/sluice-go/sluice/internal/sqsapi"
)

var classes = map[string]fault.Kind{
	"Passing": fault.Passing, "Throttled": fault.Throttled, "Refused": fault.Refused, "Lasting": fault.Lasting, "Lost": fault.Lost,
}

// A row is one of the table of docs/errors.md that is told by codes.
type row struct {
	codes       []string
	about, want string
}

func rows(t *testing.T) (all []row) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "errors.md"))
	require.NoError(t, err)
	quoted := regexp.MustCompile("`([^`]+)`")
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(line, "|")
		if len(cells) != 7 || !strings.Contains(cells[1], "`") {
			continue
		}
		r := row{about: strings.TrimSpace(cells[2]), want: strings.TrimSpace(cells[3])}
		for _, found := range quoted.FindAllStringSubmatch(cells[1], -1) {
			r.codes = append(r.codes, found[1])
		}
		all = append(all, r)
	}
	require.Greater(t, len(all), 25, "the table was not found")
	return all
}

func TestEachRowOfTheDocumentedTableIsTrue(t *testing.T) {
	for _, r := range rows(t) {
		want, known := classes[r.want]
		require.True(t, known, r.want)
		for _, code := range r.codes {
			for _, err := range variants(coded(code)) {
				if r.about == "any" {
					require.Equal(t, want, sqsapi.Classify(err), "%v", err)
				}
				if r.about != "request" {
					require.Equal(t, want, sqsapi.ClassifyEntry(err), "%v", err)
				}
				if r.about != "entry" {
					require.Equal(t, want, sqsapi.ClassifyRequest(err), "%v", err)
				}
			}
		}
	}
}

// variants are err as it is, as a stand-in for the SDK gives it, and as the SDK does.
func variants(err error) []error {
	answer := &smithyhttp.ResponseError{Response: &smithyhttp.Response{Response: &http.Response{StatusCode: http.StatusBadRequest}}, Err: err}
	return []error{err, &smithy.OperationError{ServiceID: "SQS", Err: err}, fmt.Errorf("wrapped: %w", &smithy.OperationError{ServiceID: "SQS", Err: answer})}
}

func TestTheDocumentedTableHasEachCodeOfTheFunction(t *testing.T) {
	source, err := os.ReadFile("fault.go")
	require.NoError(t, err)
	_, body, found := strings.Cut(string(source), "\nfunc classify(")
	require.True(t, found)
	body, _, _ = strings.Cut(body, "// nameOf returns")
	documented := map[string]bool{}
	for _, r := range rows(t) {
		for _, code := range r.codes {
			code = strings.TrimPrefix(code, "AWS.SimpleQueueService.")
			code = strings.Replace(code, "KMS.", "Kms", 1)
			documented[strings.TrimSuffix(code, "Exception")] = true
		}
	}
	names := regexp.MustCompile(`"([A-Z][A-Za-z]+)"`).FindAllStringSubmatch(body, -1)
	require.Greater(t, len(names), 30)
	for _, name := range names {
		require.True(t, documented[name[1]], "docs/errors.md does not have %s", name[1])
	}
}

// status is an answer of the status with the code, as the SDK gives it.
func status(n int, code string) error {
	return &smithy.OperationError{ServiceID: "SQS", OperationName: "ReceiveMessage", Err: &smithyhttp.ResponseError{
		Response: &smithyhttp.Response{Response: &http.Response{StatusCode: n}}, Err: coded(code),
	}}
}

func TestWhatTheSDKCallsRetryablePasses(t *testing.T) {
	for _, n := range []int{500, 502, 503, 504} {
		for _, code := range []string{"AccessDenied", "NonExistentQueue", "KMS.DisabledException", "IncompleteSignature"} {
			require.Equal(t, fault.Passing, sqsapi.Classify(status(n, code)), "%d %s", n, code)
		}
		require.Equal(t, fault.Throttled, sqsapi.Classify(status(n, "SlowDown")), n)
	}
	require.Equal(t, fault.Refused, sqsapi.Classify(status(403, "AccessDenied")))
}

// exchange makes a receive with the real client, or in its stead, which is answered with the
// text. ahead is how far the service's clock is ahead.
func exchange(t *testing.T, lean bool, set func(*sqs.Options), code int, text string, ahead time.Duration) (err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		o := sqs.Options{
			Region: "eu-central-1", Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
				return aws.Credentials{AccessKeyID: "key", SecretAccessKey: "secret"}, nil
			}),
			HTTPClient: roundTrip(func(*http.Request) (*http.Response, error) {
				header := http.Header{"Content-Type": {"application/x-amz-json-1.0"}, "Date": {time.Now().Add(ahead).UTC().Format(http.TimeFormat)}}
				return &http.Response{StatusCode: code, Header: header, Body: io.NopCloser(strings.NewReader(text))}, nil
			}),
		}
		set(&o)
		q := &sqsapi.Queue{Client: sqs.New(o), URL: "http://sqs.test/1/q", Visibility: 30 * time.Second}
		if lean {
			q.Lean, _ = sqsapi.NewLean(q.Client) // there is none where the SDK makes no request
		}
		_, err = q.Receive(t.Context(), 10, time.Second, "")
	})
	require.Error(t, err)
	return err
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) Do(r *http.Request) (*http.Response, error) { return f(r) }

func TestAnErrorIsToldByWhereItComesFrom(t *testing.T) {
	denied := coded("AccessDenied")
	provider := func(err error) func(*sqs.Options) {
		return func(o *sqs.Options) {
			o.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return aws.Credentials{}, err })
		}
	}
	const refusal = `{"__type":"com.amazon.coral.service#AccessDeniedException","message":"no"}`
	const gone = `{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"no"}`
	none := func(*sqs.Options) {}
	for name, c := range map[string]struct {
		set   func(*sqs.Options)
		code  int
		text  string
		ahead time.Duration
		want  fault.Kind
	}{
		"SQS":                       {none, 403, refusal, 0, fault.Refused},
		"SQS, no queue":             {none, 400, gone, 0, fault.Refused},
		"SQS, its clock far ahead":  {none, 403, refusal, 20 * time.Minute, fault.Passing},
		"SQS, its clock far behind": {none, 403, refusal, -20 * time.Minute, fault.Passing},
		"SQS, trouble":              {none, 503, refusal, 0, fault.Passing},
		"a page of a gateway":       {none, 403, "<html>no</html>", 0, fault.Passing},
		"nothing to read":           {none, 403, "", 0, fault.Passing},
		"STS":                       {provider(&smithy.OperationError{ServiceID: "STS", OperationName: "AssumeRole", Err: denied}), 0, "", 0, fault.Passing},
		"STS, in full":              {provider(fmt.Errorf("cached: %w", status(403, "AccessDenied"))), 0, "", 0, fault.Passing},
		"a provider without an SDK": {provider(denied), 0, "", 0, fault.Passing},
		"a provider without a code": {provider(errors.New("no")), 0, "", 0, fault.Passing},
		"no region":                 {func(o *sqs.Options) { o.Region = "" }, 0, "", 0, fault.Lasting},
		"a region that is none":     {func(o *sqs.Options) { o.Region = "eu central" }, 0, "", 0, fault.Lasting},
	} {
		t.Run(name, func(t *testing.T) {
			err := exchange(t, false, c.set, c.code, c.text, c.ahead)
			require.Equal(t, c.want, sqsapi.ClassifyRequest(err), "%v", err)
			err = exchange(t, true, c.set, c.code, c.text, c.ahead)
			if c.ahead != 0 {
				c.want = fault.Refused // with its own time SQS has said the same
			}
			require.Equal(t, c.want, sqsapi.ClassifyRequest(err), "%v", err)
		})
	}
	_, err := sqs.New(sqs.Options{Region: "eu-central-1"}).ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{})
	require.Equal(t, fault.Lasting, sqsapi.Classify(err), "%v", err)
	require.Equal(t, fault.Lasting, sqsapi.Classify(&smithy.SerializationError{Err: errors.New("?")}))
	require.Equal(t, fault.Lasting, sqsapi.Classify(&aws.MissingRegionError{}))
	require.Equal(t, fault.Passing, sqsapi.Classify(&smithy.OperationError{ServiceID: "SSO", Err: denied}), "a client that asks for credentials itself")
}
