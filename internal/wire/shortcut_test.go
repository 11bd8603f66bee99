package wire_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go/middleware"
	"github.com/aws/smithy-go/tracing"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/wire"
)

// A line is an HTTP client that keeps the requests that it is sent.
type line struct {
	answers  []func() (*http.Response, error) // the next ones; none: good
	requests []string
	look     func(*http.Request) // sees each request when it has been kept
}

func (l *line) Do(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	fmt.Fprintf(&text, "%s %s %s %d\n", r.Method, r.URL, r.Host, r.ContentLength)
	header := r.Header.Clone()
	if header.Get("Amz-Sdk-Invocation-Id") != "" {
		header.Set("Amz-Sdk-Invocation-Id", "random")
	}
	_ = header.Write(&text) // sorted
	text.Write(body)
	l.requests = append(l.requests, text.String())
	if l.look != nil {
		l.look(r)
	}
	if len(l.answers) > 0 {
		next := l.answers[0]
		l.answers = l.answers[1:]
		return next()
	}
	return good()
}

func good() (*http.Response, error) { return respond(http.StatusOK, time.Now(), `{}`) }

func respond(status int, at time.Time, body string) (*http.Response, error) {
	return &http.Response{
		StatusCode: status, ProtoMajor: 1, ProtoMinor: 1, Body: io.NopCloser(strings.NewReader(body)),
		Header: http.Header{
			"Content-Type": {"application/x-amz-json-1.0"}, "Date": {at.UTC().Format(http.TimeFormat)}, "X-Amzn-Requestid": {"request-1"},
		},
	}, nil
}

// A setup is a client, and what the shortcut knows of it.
type setup struct {
	line   *line
	client *sqs.Client
	fit    func(*sqs.Options)
	direct *line           // requests of the shortcut
	ctx    context.Context // of all calls that follow

	straight *wire.Direct // nil: calls go through the client, and past its middleware
}

func newSetup(optFns ...func(*sqs.Options)) *setup {
	s := &setup{line: &line{}, direct: &line{}, ctx: context.Background()}
	s.client = sqs.New(sqs.Options{
		Region: "eu-west-1", HTTPClient: s.line,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "key", SecretAccessKey: "secret", SessionToken: "token"}, nil
		}),
	}, optFns...)
	var shortcut wire.Shortcut
	s.fit = func(o *sqs.Options) {
		once(o)
		wire.Fit(o)
		shortcut.Fit(o, s.direct)
	}
	return s
}

// goStraight lets calls go past the client too.
func (s *setup) goStraight() *setup {
	var shortcut wire.Shortcut
	s.fit = func(o *sqs.Options) {
		once(o)
		wire.Fit(o)
		shortcut.Fit(o, s.direct)
	}
	own := s.client.Options()
	s.fit(&own)
	s.straight = shortcut.Direct(&own)
	return s
}

// both tells a story of calls that go past the middleware, and of those that go past
// the client.
func both(t *testing.T, set func(*sqs.Options), story func(t *testing.T, s *setup)) {
	t.Helper()
	t.Run("past the middleware", func(t *testing.T) { story(t, newSetup(set)) })
	t.Run("past the client", func(t *testing.T) { story(t, newSetup(set).goStraight()) })
}

// call makes a call as a consumer does.
func call[I, O any](s *setup, in *I, through func(context.Context, *I, ...func(*sqs.Options)) (*O, error), optFns ...func(*sqs.Options)) (*O, error) {
	trip := s.straight.Go(s.ctx, in)
	if out, ok := trip.Result.(*O); ok {
		return out, nil
	}
	defer trip.Drop()
	return through(s.ctx, in, append(optFns, trip.End)...)
}

// once makes a call of the SDK without retries.
func once(o *sqs.Options) { o.Retryer, o.RetryMaxAttempts = aws.NopRetryer{}, 0 }

var (
	aReceive = &sqs.ReceiveMessageInput{
		QueueUrl: new("https://sqs.eu-west-1.amazonaws.com/1/orders"), MaxNumberOfMessages: 10, WaitTimeSeconds: 20, VisibilityTimeout: 30,
		MessageAttributeNames: []string{"All"}, MessageSystemAttributeNames: []types.MessageSystemAttributeName{"SentTimestamp", "MessageGroupId"},
	}
	aDelete = &sqs.DeleteMessageBatchInput{QueueUrl: aReceive.QueueUrl, Entries: []types.DeleteMessageBatchRequestEntry{
		{Id: new("0"), ReceiptHandle: new("a+/=")}, {Id: new("1"), ReceiptHandle: new("<b>&'c'")},
	}}
	aChange = &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: aReceive.QueueUrl, Entries: []types.ChangeMessageVisibilityBatchRequestEntry{
		{Id: new("0"), ReceiptHandle: new("a"), VisibilityTimeout: 0}, {Id: new("1"), ReceiptHandle: new("b"), VisibilityTimeout: 43200},
	}}
)

// all makes each of the three calls once.
func (s *setup) all(optFns ...func(*sqs.Options)) error {
	_, received := call(s, aReceive, s.client.ReceiveMessage, optFns...)
	_, deleted := call(s, aDelete, s.client.DeleteMessageBatch, optFns...)
	_, changed := call(s, aChange, s.client.ChangeMessageVisibilityBatch, optFns...)
	return errors.Join(received, deleted, changed)
}

// The shortcut's requests are the SDK's, to the signature.
func TestShortcutMakesTheSDKsRequests(t *testing.T) {
	for name, set := range map[string]func(*sqs.Options){
		"AWS":       func(*sqs.Options) {},
		"base":      func(o *sqs.Options) { o.BaseEndpoint = new("http://127.0.0.1:9324/queues") },
		"FIPS":      func(o *sqs.Options) { o.Region = "fips-us-east-1" },
		"dual":      func(o *sqs.Options) { o.EndpointOptions.UseDualStackEndpoint = aws.DualStackEndpointStateEnabled },
		"China":     func(o *sqs.Options) { o.Region = "cn-north-1" },
		"app":       func(o *sqs.Options) { o.AppID = "orders" },
		"plain":     func(o *sqs.Options) { o.EndpointOptions.DisableHTTPS = true },
		"unchecked": func(o *sqs.Options) { o.DisableMessageChecksumValidation = true },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { likeTheSDK(t, newSetup(set)) })
			if name != "FIPS" { // the client rewrites such a region for each call
				synctest.Test(t, func(t *testing.T) { likeTheSDK(t, newSetup(set).goStraight()) })
			}
		})
	}
}

func likeTheSDK(t *testing.T, s *setup) {
	t.Helper()
	require.NoError(t, s.all(s.fit)) // by the SDK, as examples
	require.Len(t, s.line.requests, 3)
	require.NoError(t, s.all(s.fit))
	require.Len(t, s.line.requests, 3)
	require.Equal(t, unsigned(s.line.requests...), unsigned(s.direct.requests...))

	time.Sleep(90 * time.Minute) // another date, another signature
	s.line.requests, s.direct.requests = nil, nil
	require.NoError(t, s.all(s.fit))
	s.straight = nil
	require.NoError(t, s.all(once))
	require.Len(t, s.direct.requests, 3)
	require.Equal(t, unsigned(s.line.requests...), unsigned(s.direct.requests...))
}

// unsigned are requests without their signatures, which the ids of calls make random.
func unsigned(requests ...string) []string {
	var all []string
	for _, r := range requests {
		before, rest, _ := strings.Cut(r, "Signature=")
		_, after, _ := strings.Cut(rest, "\r\n")
		all = append(all, before+after)
	}
	return all
}

// A client that is not quite the SDK's own makes all its calls by itself.
func TestShortcutIsNotForOthers(t *testing.T) {
	for name, set := range map[string]func(*sqs.Options){
		"middleware": func(o *sqs.Options) {
			o.APIOptions = append(o.APIOptions, awsmiddleware.AddUserAgentKey("mine"))
		},
		"interceptor": func(o *sqs.Options) { o.Interceptors.AddBeforeTransmit(interceptor{}) },
		"logging":     func(o *sqs.Options) { o.ClientLogMode = aws.LogRequest },
		"tracing":     func(o *sqs.Options) { o.TracerProvider = struct{ tracing.NopTracerProvider }{} },
		"resolver":    func(o *sqs.Options) { o.EndpointResolverV2 = struct{ sqs.EndpointResolverV2 }{o.EndpointResolverV2} },
		"signer":      func(o *sqs.Options) { o.HTTPSignerV4 = struct{ sqs.HTTPSignerV4 }{o.HTTPSignerV4} },
		"scheme": func(o *sqs.Options) {
			own := sqs.New(*o).Options().AuthSchemes[0]
			o.AuthSchemes = []smithyhttp.AuthScheme{struct{ smithyhttp.AuthScheme }{own}}
		},
		"anonymous": func(o *sqs.Options) { o.Credentials = aws.AnonymousCredentials{} },
	} {
		t.Run(name, func(t *testing.T) {
			both(t, set, func(t *testing.T, s *setup) {
				require.Nil(t, s.straight)
				for range 3 {
					require.NoError(t, s.all(s.fit))
				}
				require.Len(t, s.line.requests, 9)
				require.Empty(t, s.direct.requests)
			})
		})
	}
	t.Run("what comes later", func(t *testing.T) {
		s := newSetup()
		for range 3 {
			require.NoError(t, s.all(s.fit, func(o *sqs.Options) { o.APIOptions = append(o.APIOptions, aMiddleware) }))
		}
		require.Empty(t, s.direct.requests)
		require.NoError(t, s.all(s.fit))
		require.NoError(t, s.all(s.fit))
		require.Len(t, s.direct.requests, 3)
		require.NoError(t, s.all(s.fit, func(o *sqs.Options) { o.APIOptions = append(o.APIOptions, aMiddleware) }))
		require.NoError(t, s.all(s.fit, func(o *sqs.Options) { o.HTTPClient = s.line }))
		require.Len(t, s.direct.requests, 3)
	})
}

type interceptor struct{}

func (interceptor) BeforeTransmit(context.Context, *smithyhttp.InterceptorContext) error { return nil }

// aMiddleware joins the stack after the shortcut.
func aMiddleware(s *middleware.Stack) error {
	return s.Build.Add(middleware.BuildMiddlewareFunc("mine", func(ctx context.Context, in middleware.BuildInput, next middleware.BuildHandler) (middleware.BuildOutput, middleware.Metadata, error) {
		return next.HandleBuild(ctx, in)
	}), middleware.After)
}

// What the shortcut cannot write or read, the SDK does.
func TestShortcutLeavesWhatItDoesNotKnow(t *testing.T) {
	both(t, nothing, func(t *testing.T, s *setup) {
		require.NoError(t, s.all(s.fit))
		for _, handle := range []string{"é", "\"", "\\", "\n", "\x7f"} {
			_, err := call(s, &sqs.DeleteMessageBatchInput{
				QueueUrl: aReceive.QueueUrl, Entries: []types.DeleteMessageBatchRequestEntry{{Id: new("0"), ReceiptHandle: &handle}},
			}, s.client.DeleteMessageBatch, s.fit)
			require.NoError(t, err)
		}
		require.Len(t, s.line.requests, 3+5)
		require.Empty(t, s.direct.requests)

		s.direct.answers = append(s.direct.answers, func() (*http.Response, error) {
			return respond(http.StatusOK, time.Now(), `{"Successful":[{"Id":"0"}],"Failed":[{"Id":"1","Code":"ReceiptHandleIsInvalid","SenderFault":true}]}`)
		})
		out, err := call(s, aDelete, s.client.DeleteMessageBatch, s.fit)
		require.NoError(t, err)
		require.Equal(t, "ReceiptHandleIsInvalid", *out.Failed[0].Code)
		require.Len(t, s.direct.requests, 1, "the request is not made again")
		require.Len(t, s.line.requests, 3+5)
		id, _ := awsmiddleware.GetRequestIDMetadata(out.ResultMetadata)
		require.Equal(t, "request-1", id)
	})
}

func nothing(*sqs.Options) {}

// Whatever ends badly, the error is the SDK's, and nothing is sent twice.
func TestShortcutsErrorsAreTheSDKs(t *testing.T) {
	reset := errors.New("connection reset by peer")
	for name, end := range map[string]func() (*http.Response, error){
		"refused": func() (*http.Response, error) {
			return respond(http.StatusBadRequest, time.Now(), `{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"no such queue"}`)
		},
		"server": func() (*http.Response, error) { return respond(http.StatusInternalServerError, time.Now(), `{}`) },
		"reset":  func() (*http.Response, error) { return nil, reset },
		"cut": func() (*http.Response, error) {
			r, err := respond(http.StatusOK, time.Now(), "")
			r.Body = io.NopCloser(io.MultiReader(strings.NewReader(`{"Mess`), iotest.ErrReader(reset)))
			return r, err
		},
		"garbage": func() (*http.Response, error) { return respond(http.StatusOK, time.Now(), `{"Messages":[{]}`) },
		"digest": func() (*http.Response, error) {
			return respond(http.StatusOK, time.Now(), `{"Messages":[{"MessageId":"m","ReceiptHandle":"h","MD5OfBody":"wrong","Body":"b"}]}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			both(t, nothing, func(t *testing.T, s *setup) {
				require.NoError(t, s.all(s.fit))
				s.line.answers = append(s.line.answers, end)
				_, theirs := s.client.ReceiveMessage(context.Background(), aReceive, once)
				require.Error(t, theirs)
				s.direct.answers = append(s.direct.answers, end)
				_, ours := call(s, aReceive, s.client.ReceiveMessage, s.fit)
				require.EqualError(t, ours, theirs.Error())
				require.Len(t, s.direct.requests, 1)
				require.Len(t, s.line.requests, 3+1)
				if name == "refused" {
					require.ErrorAs(t, ours, new(*types.QueueDoesNotExist))
					require.ErrorAs(t, ours, new(*awshttp.ResponseError))
				}
				require.NoError(t, s.all(s.fit))
				require.Len(t, s.direct.requests, 1+3, "the next call goes the shortcut again")
			})
		})
	}
}

// With a clock that is wrong the SDK signs with SQS's time. The shortcut does not know
// how, and is not taken until the clock is right.
func TestShortcutNeedsARightClock(t *testing.T) {
	both(t, nothing, func(t *testing.T, s *setup) {
		synctest.Test(t, func(t *testing.T) {
			wrong := func() (*http.Response, error) { return respond(http.StatusOK, time.Now().Add(-time.Hour), `{}`) }
			s.line.answers = append(s.line.answers, wrong, wrong, wrong)
			require.NoError(t, s.all(s.fit))
			require.NoError(t, s.all(s.fit)) // signed for another time: no example, but no reason to give up either
			require.Empty(t, s.direct.requests)
			require.NoError(t, s.all(s.fit))
			require.NoError(t, s.all(s.fit))
			require.Len(t, s.direct.requests, 6)

			expired := func() (*http.Response, error) {
				return respond(http.StatusForbidden, time.Now().Add(-time.Hour), `{"__type":"InvalidSignatureException","message":"Signature expired"}`)
			}
			s.direct.answers = append(s.direct.answers, expired, expired, expired)
			require.Error(t, s.all(s.fit))
			require.Len(t, s.direct.requests, 9)
			require.NoError(t, s.all(s.fit), "by the SDK")
			require.Len(t, s.direct.requests, 9)
		})
	})
}

// Credentials are asked for at each call.
func TestShortcutSignsWithNewCredentials(t *testing.T) {
	s := newSetup()
	require.NoError(t, s.all(s.fit))
	renewed := func(o *sqs.Options) {
		o.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "other", SecretAccessKey: "secret"}, nil
		})
	}
	require.NoError(t, s.all(renewed, s.fit))
	require.Len(t, s.direct.requests, 3)
	for _, r := range s.direct.requests {
		require.Contains(t, r, "Credential=other/")
		require.NotContains(t, r, "X-Amz-Security-Token")
	}
	expired := func(o *sqs.Options) {
		o.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{}, errors.New("no credentials")
		})
	}
	require.ErrorContains(t, s.all(expired, s.fit), "no credentials")
	require.Len(t, s.direct.requests, 3)
}

// Another region or address is another example.
func TestShortcutFollowsTheSetup(t *testing.T) {
	s := newSetup()
	require.NoError(t, s.all(s.fit))
	moved := func(o *sqs.Options) { o.Region = "us-east-1" }
	require.NoError(t, s.all(moved, s.fit))
	require.Len(t, s.line.requests, 6)
	require.NoError(t, s.all(moved, s.fit))
	require.Len(t, s.direct.requests, 3)
	require.Equal(t, unsigned(s.line.requests[3:]...), unsigned(s.direct.requests...))
}

func FuzzShortcutMakesTheSDKsRequests(f *testing.F) {
	f.Add("handle", "https://sqs.eu-west-1.amazonaws.com/1/q", int32(10), int32(20), int32(30), "attempt")
	f.Add("a/+=<>&' \u2028\xff", "", int32(0), int32(0), int32(0), "")
	f.Fuzz(func(t *testing.T, handle, url string, n, wait, visible int32, attempt string) {
		synctest.Test(t, func(t *testing.T) {
			s := newSetup()
			require.NoError(t, s.all(s.fit))
			s.line.requests = nil
			in := &sqs.ReceiveMessageInput{
				QueueUrl: &url, MaxNumberOfMessages: n, WaitTimeSeconds: wait, VisibilityTimeout: visible, ReceiveRequestAttemptId: &attempt,
			}
			entries := &sqs.DeleteMessageBatchInput{QueueUrl: &url, Entries: []types.DeleteMessageBatchRequestEntry{{Id: &attempt, ReceiptHandle: &handle}}}
			for _, opt := range []func(*sqs.Options){s.fit, once} {
				_, _ = s.client.ReceiveMessage(context.Background(), in, opt)
				_, _ = s.client.DeleteMessageBatch(context.Background(), entries, opt)
			}
			all := unsigned(append(s.direct.requests, s.line.requests...)...)
			require.Len(t, all, 4)
			counts := map[string]int{}
			for _, r := range all {
				counts[r]++
			}
			for r, n := range counts {
				require.Equal(t, 2, n, "%q", r)
			}
		})
	})
}
