package sqsapi_test

import (
	"context"
	"errors"
	"net/http"
	"reflect"
	"runtime/debug"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/metrics"
	"github.com/aws/smithy-go/tracing"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/fault"
	"github.com/sluice-go/sluice/internal/sqsapi"
	"github.com/sluice-go/sluice/sqstest"
)

// A wrapper is somebody's own client around the SDK's.
type wrapper struct{ *sqs.Client }

type interceptor struct{}

func (interceptor) BeforeTransmit(context.Context, *smithyhttp.InterceptorContext) error { return nil }

func TestAClientWithAPartOfTheUsersMakesItsCalls(t *testing.T) {
	for want, set := range map[string]func(*sqs.Options){
		"middleware (APIOptions)":    sqs.WithAPIOptions(awsmiddleware.AddUserAgentKey("mine")),
		"interceptors":               func(o *sqs.Options) { o.Interceptors.AddBeforeTransmit(interceptor{}) },
		"a ClientLogMode":            func(o *sqs.Options) { o.ClientLogMode = aws.LogRequest },
		"a TracerProvider":           func(o *sqs.Options) { o.TracerProvider = struct{ tracing.NopTracerProvider }{} },
		"a MeterProvider":            func(o *sqs.Options) { o.MeterProvider = struct{ metrics.NopMeterProvider }{} },
		"a Protocol of its own":      func(o *sqs.Options) { o.Protocol = struct{ smithyhttp.ClientProtocol }{o.Protocol} },
		"an HTTPSignerV4 of its own": func(o *sqs.Options) { o.HTTPSignerV4 = struct{ sqs.HTTPSignerV4 }{o.HTTPSignerV4} },
		"AuthSchemes of its own":     func(o *sqs.Options) { o.AuthSchemes = []smithyhttp.AuthScheme{smithyhttp.NewAnonymousScheme()} },
		"an AuthSchemeResolver or AuthSchemePreference of its own": func(o *sqs.Options) { o.AuthSchemePreference = []string{"sigv4a"} },
		"an EndpointResolver of its own":                           func(o *sqs.Options) { o.EndpointResolverV2 = struct{ sqs.EndpointResolverV2 }{o.EndpointResolverV2} },
		"no credentials":                                           func(o *sqs.Options) { o.Credentials = aws.AnonymousCredentials{} },
		"no HTTPClient":                                            func(o *sqs.Options) { o.HTTPClient = nil },
	} {
		t.Run(want, func(t *testing.T) {
			_, err := sqsapi.NewLean(sqs.New(sqs.Options{Region: "eu-central-1", Credentials: keys(""), HTTPClient: &wired{}}, set))
			require.EqualError(t, err, "the client has "+want)
		})
	}
	for want, client := range map[string]sqsapi.Client{
		"the client is a sqsapi_test.wrapper":           wrapper{sqs.New(sqs.Options{})},
		"the client is a *sqs.Client":                   (*sqs.Client)(nil),
		"the client has an EndpointResolver of its own": sqs.New(sqs.Options{Credentials: keys(""), EndpointResolver: sqs.NewDefaultEndpointResolver()}), //nolint:staticcheck // deprecated, and still obeyed
		"the client has an AuthSchemeResolver or AuthSchemePreference of its own": sqs.New(sqs.Options{Credentials: keys("")}, func(o *sqs.Options) {
			o.AuthSchemeResolver = struct{ sqs.AuthSchemeResolver }{o.AuthSchemeResolver}
		}),
	} {
		_, err := sqsapi.NewLean(client)
		require.EqualError(t, err, want)
	}
	lean, err := sqsapi.NewLean(sqs.New(sqs.Options{Credentials: keys("")}))
	require.Nil(t, lean)
	require.ErrorContains(t, err, "the client makes no request: ")
	require.ErrorContains(t, err, "Missing Region")
	_, err = sqsapi.NewLean(sqs.New(sqs.Options{Region: "eu-central-1", Credentials: panicking{keys("")}}))
	require.ErrorContains(t, err, "the client panicked: no sources")
}

// panicking are credentials that do not know where they come from.
type panicking struct{ aws.CredentialsProvider }

func (panicking) ProviderSources() []aws.CredentialSource { panic("no sources") }

// Whoever takes a new version of the SDK looks here at what is new: an option that a Lean must
// obey or leave to the client, a kind of interceptors.
func TestALeanKnowsEachOptionOfTheSDK(t *testing.T) {
	names := func(of reflect.Type) (names []string) {
		for f := range of.Fields() {
			if f.IsExported() {
				names = append(names, f.Name)
			}
		}
		return names
	}
	require.Equal(t, []string{
		"APIOptions", "AppID", "BaseEndpoint", "ClientLogMode", "Credentials", "DefaultsMode", "DisableClockSkewCorrection",
		"DisableMessageChecksumValidation", "EndpointOptions", "EndpointResolver", "EndpointResolverV2", "HTTPSignerV4", "Logger", "MeterProvider",
		"Region", "RetryMaxAttempts", "RetryMode", "Retryer", "RuntimeEnvironment", "TracerProvider", "Protocol", "HTTPClient", "Interceptors",
		"AuthSchemeResolver", "AuthSchemes", "AuthSchemePreference",
	}, names(reflect.TypeFor[sqs.Options]()))
	require.Len(t, names(reflect.TypeFor[smithyhttp.InterceptorRegistry]()), 13)
	for i := range 13 {
		var r smithyhttp.InterceptorRegistry
		field := reflect.ValueOf(&r).Elem().Field(i)
		field.Set(reflect.MakeSlice(field.Type(), 1, 1))
		_, err := sqsapi.NewLean(sqs.New(sqs.Options{Region: "eu-central-1", Credentials: keys(""), Interceptors: r}))
		require.EqualError(t, err, "the client has interceptors")
	}
}

func TestALeansCallsDoNotPassTheClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sqstest.New()
		url := s.MustCreateQueue("orders", nil)
		through := 0
		inner := s.Client().Options().HTTPClient
		client := s.Client(func(o *sqs.Options) {
			o.HTTPClient = do(func(r *http.Request) (*http.Response, error) {
				if strings.Contains(string(debug.Stack()), "invokeOperation") {
					through++
				}
				return inner.Do(r)
			})
		})
		lean, err := sqsapi.NewLean(client)
		require.NoError(t, err)
		calls(&sqsapi.Queue{Client: client, Lean: lean, URL: url, Visibility: 30 * time.Second})
		require.Zero(t, through)
		require.Equal(t, 2, s.Stats().Calls[sqsapi.OpReceive].Started)
	})
}

// SQS refuses signatures that are more than a quarter of an hour old. Its answer has its time.
func TestACallIsMadeOnceMoreWithTheTimeOfSQS(t *testing.T) {
	for name, c := range map[string]struct {
		ahead    time.Duration
		code     string
		disabled bool
		requests int
		fails    bool
	}{
		"far behind":          {ahead: -20 * time.Minute, code: "RequestTimeTooSkewed", requests: 2},
		"far ahead":           {ahead: time.Hour, code: "SignatureDoesNotMatch", requests: 2},
		"not for this":        {ahead: time.Hour, code: "InvalidAddress", requests: 1, fails: true},
		"not far":             {ahead: time.Minute, code: "SignatureDoesNotMatch", requests: 1, fails: true},
		"corrections are off": {ahead: time.Hour, code: "SignatureDoesNotMatch", disabled: true, requests: 1, fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var requests []*http.Request
				client := sqs.New(sqs.Options{
					Region: "eu-central-1", Credentials: keys(""), DisableClockSkewCorrection: c.disabled,
					HTTPClient: do(func(r *http.Request) (*http.Response, error) {
						requests = append(requests, r)
						now := time.Now().Add(c.ahead)
						date := map[string]string{"Date": now.UTC().Format(http.TimeFormat)}
						signed, _ := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
						if now.Sub(signed).Abs() > 15*time.Minute || c.fails {
							return answer{status: 403, header: date, text: `{"__type":"` + c.code + `"}`}.Do(r)
						}
						return answer{status: 200, header: date, text: `{"Messages":[` + message("hello") + `]}`}.Do(r)
					}),
				})
				lean, err := sqsapi.NewLean(client)
				require.NoError(t, err)
				q := &sqsapi.Queue{Client: client, Lean: lean, URL: queueURL, Visibility: 30 * time.Second}
				messages, err := q.Receive(t.Context(), 10, time.Second, "")
				require.Equal(t, c.fails, err != nil, "%v", err)
				require.Len(t, requests, c.requests)
				if c.requests == 1 {
					return
				}
				require.Len(t, messages, 1)
				require.Equal(t, requests[0].Header.Get("Amz-Sdk-Invocation-Id"), requests[1].Header.Get("Amz-Sdk-Invocation-Id"))
				require.Equal(t, "attempt=1; max=1", requests[0].Header.Get("Amz-Sdk-Request"))
				require.Contains(t, requests[1].Header.Get("Amz-Sdk-Request"), "attempt=2; max=2")
				_, err = q.Receive(t.Context(), 10, time.Second, "")
				require.NoError(t, err)
				require.Len(t, requests, 3, "the time of SQS is known now")
			})
		})
	}
}

// A clock of SQS that runs away is no reason to go on for ever, or to give up.
func TestAClockThatCannotBeFollowedPasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ahead := time.Duration(0)
		theirs, ours := queues(t, do(func(r *http.Request) (*http.Response, error) {
			ahead += time.Hour
			date := time.Now().Add(ahead).UTC().Format(http.TimeFormat)
			return answer{status: 403, header: map[string]string{"Date": date}, text: `{"__type":"AccessDeniedException","message":"no"}`}.Do(r)
		}))
		_, err := ours.Receive(t.Context(), 10, time.Second, "")
		require.Equal(t, 2*time.Hour, ahead)
		require.Equal(t, fault.Passing, sqsapi.ClassifyRequest(err))
		_, want := theirs.Receive(t.Context(), 10, time.Second, "")
		require.EqualError(t, err, want.Error())
	})
}

// A call that is cut short, or cancelled just as its answer comes, ends as it ends in the SDK.
func TestCancelledCallsEndAsTheSDKs(t *testing.T) {
	for name, end := range map[string]func(*http.Request) (*http.Response, error){
		"without an answer": func(*http.Request) (*http.Response, error) { return nil, context.Canceled },
		"refused":           answer{status: 400, text: `{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"no such queue"}`}.Do,
		"in the answer":     answer{status: 200, ends: context.Canceled}.Do,
		"answered":          answer{status: 200, text: `{}`}.Do,
	} {
		t.Run(name, func(t *testing.T) {
			var cancel func()
			theirs, ours := queues(t, do(func(r *http.Request) (*http.Response, error) {
				cancel()
				return end(r)
			}))
			receive := func(q *sqsapi.Queue) error {
				ctx, stop := context.WithCancel(t.Context())
				defer stop()
				cancel = stop
				_, err := q.Receive(ctx, 10, time.Second, "")
				return err
			}
			sameError(t, receive(theirs), receive(ours))
		})
	}
	theirs, ours := queues(t, do(func(*http.Request) (*http.Response, error) {
		require.Fail(t, "sent")
		return nil, nil
	}))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, want := theirs.Receive(ctx, 10, time.Second, "")
	_, err := ours.Receive(ctx, 10, time.Second, "")
	sameError(t, want, err)
	require.ErrorIs(t, err, context.Canceled)
}

func TestErrorsOfCredentialsAreTheSDKs(t *testing.T) {
	for name, provide := range map[string]func(context.Context) error{
		"refused": func(context.Context) error { return &smithy.GenericAPIError{Code: "AccessDenied"} },
		"unknown": func(context.Context) error { return errors.New("no file") },
		"another service": func(context.Context) error {
			return &smithy.OperationError{ServiceID: "STS", OperationName: "AssumeRole", Err: coded("AccessDenied")}
		},
		"they never come": func(ctx context.Context) error { <-ctx.Done(); return &aws.RequestCanceledError{Err: ctx.Err()} },
		"a panic":         func(context.Context) error { panic("no credentials") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				asked := 0
				theirs, ours := queues(t, do(nil), func(o *sqs.Options) {
					o.Credentials = aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials, error) {
						asked++
						return aws.Credentials{}, provide(ctx)
					})
				})
				_, want := theirs.Receive(t.Context(), 10, time.Second, "")
				require.Equal(t, 1, asked)
				_, err := ours.Receive(t.Context(), 10, time.Second, "")
				sameError(t, want, err)
				require.Equal(t, 2, asked)
			})
		})
	}
}

// An HTTP client may write into the requests that it is given.
func TestRequestsShareNothing(t *testing.T) {
	w := &wired{}
	_, ours := queues(t, do(func(r *http.Request) (*http.Response, error) {
		for _, values := range r.Header {
			require.NotContains(t, values[0], "mine")
			values[0] += " mine"
		}
		require.NotContains(t, r.URL.Path, "mine")
		r.URL.Path += "mine"
		return w.Do(r)
	}))
	calls(ours)
	calls(ours)
	require.Len(t, w.requests, 8)
}

// What is kept of a message does not change with the next answer.
func TestAnswersDoNotShareMemory(t *testing.T) {
	text := ""
	_, ours := queues(t, do(func(r *http.Request) (*http.Response, error) { return answer{status: 200, text: text}.Do(r) }))
	ask := func(body string) sqsapi.Message {
		text = `{"Messages":[` + message(body) + `]}`
		messages, err := ours.Receive(t.Context(), 10, time.Second, "")
		require.NoError(t, err)
		return messages[0]
	}
	first, long := ask("the\nfirst"), ask(strings.Repeat("l", 5000))
	for range 10 {
		ask("another\none")
		ask(strings.Repeat("m", 5000))
	}
	require.Equal(t, "the\nfirst", first.Body)
	require.Equal(t, "AQEB+/=", first.Handle)
	require.Equal(t, "tenant", first.Group)
	require.Equal(t, strings.Repeat("l", 5000), long.Body)
}

// Where nobody asks for more system attributes than those that have fields, there is no map.
func TestSystemAttributesAreShownToThoseWhoAsk(t *testing.T) {
	theirs, ours := queues(t, answer{status: 200, text: `{"Messages":[` + message("x") + `]}`})
	for _, q := range []*sqsapi.Queue{theirs, ours} {
		for _, c := range []struct {
			shown []string
			want  map[string]string
		}{
			{},
			{[]string{"SenderId"}, nil},
			{[]string{"SentTimestamp"}, map[string]string{"SentTimestamp": "1700000000000"}},
			{[]string{"All"}, map[string]string{"SentTimestamp": "1700000000000", "ApproximateReceiveCount": "1", "MessageGroupId": "tenant"}},
		} {
			q.Shown = nil
			for _, name := range c.shown {
				q.Shown = append(q.Shown, types.MessageSystemAttributeName(name))
			}
			messages, err := q.Receive(t.Context(), 1, time.Second, "")
			require.NoError(t, err)
			require.Equal(t, c.want, messages[0].System)
			require.Equal(t, "1", messages[0].ReceiveCount)
		}
	}
}

func BenchmarkReceive(b *testing.B) {
	text := `{"Messages":[` + strings.Repeat(message(strings.Repeat("x", 512))+",", 9) + message("x") + `]}`
	client := sqs.New(sqs.Options{Region: "eu-central-1", Credentials: keys(""), HTTPClient: answer{status: 200, text: text}})
	lean, err := sqsapi.NewLean(client)
	require.NoError(b, err)
	for name, q := range map[string]*sqsapi.Queue{"lean": {Client: client, Lean: lean}, "SDK": {Client: client}} {
		q.URL, q.Visibility = queueURL, 30*time.Second
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, err := q.Receive(b.Context(), 10, time.Second, "")
				require.NoError(b, err)
			}
		})
	}
}
