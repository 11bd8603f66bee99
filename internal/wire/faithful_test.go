package wire_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/logging"
	"github.com/aws/smithy-go/middleware"
	"github.com/aws/smithy-go/tracing"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/wire"
)

// The SDK tells SQS when it will give up, once it knows by how much SQS's clock is ahead.
// That is another time for each call.
func TestShortcutNamesNoTimeThatIsOver(t *testing.T) {
	both(t, nothing, func(t *testing.T, s *setup) {
		synctest.Test(t, func(t *testing.T) {
			ahead := func() (*http.Response, error) {
				return respond(http.StatusOK, time.Now().Add(10*time.Second), `{}`)
			}
			s.line.answers = append(s.line.answers, ahead, ahead, ahead)
			inTime := func() {
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				defer cancel()
				s.ctx = ctx
				require.NoError(t, s.all(s.fit))
			}
			inTime()
			require.Contains(t, s.line.requests[2], "ttl=", "so the SDK does")
			time.Sleep(time.Hour)
			inTime()
			require.Len(t, s.direct.requests, 3)
			for _, r := range s.direct.requests {
				require.Contains(t, r, "Amz-Sdk-Request: attempt=1; max=1\r\n")
			}
		})
	})
}

// The SDK passes on the trace of a Lambda function's invocation, by which AWS finds
// functions that call each other for ever. It is another one for each invocation.
func TestShortcutIsNotForLambda(t *testing.T) {
	both(t, nothing, func(t *testing.T, s *setup) {
		t.Setenv("AWS_LAMBDA_FUNCTION_NAME", "orders")
		require.NoError(t, s.all(s.fit)) // before the first invocation
		for _, trace := range []string{"Root=1", "Root=2"} {
			t.Setenv("_X_AMZN_TRACE_ID", trace)
			s.line.requests = nil
			require.NoError(t, s.all(s.fit))
			require.Len(t, s.line.requests, 3)
			for _, r := range s.line.requests {
				require.Contains(t, r, "X-Amzn-Trace-Id: "+trace)
			}
		}
		require.Empty(t, s.direct.requests)
	})
}

// A client in front of the SDK's may have options of its own for each call, and its may
// come last.
func TestShortcutHeedsTheLastOptions(t *testing.T) {
	for name, late := range map[string]func(*sqs.Options){
		"logging":    func(o *sqs.Options) { o.ClientLogMode = aws.LogRequest },
		"tracing":    func(o *sqs.Options) { o.TracerProvider = struct{ tracing.NopTracerProvider }{} },
		"resolver":   func(o *sqs.Options) { o.EndpointResolverV2 = struct{ sqs.EndpointResolverV2 }{o.EndpointResolverV2} },
		"deprecated": sqs.WithEndpointResolver(sqs.EndpointResolverFromURL("https://sqs.example.com")), //nolint:staticcheck // and still obeyed
		"user agent": sqs.WithAPIOptions(awsmiddleware.AddUserAgentKey("mine")),
		"retries":    func(o *sqs.Options) { o.Retryer = retry.NewStandard() },
		"protocol":   func(o *sqs.Options) { o.Protocol = struct{ smithyhttp.ClientProtocol }{o.Protocol} },
		"scheme": func(o *sqs.Options) {
			o.AuthSchemes = []smithyhttp.AuthScheme{struct{ smithyhttp.AuthScheme }{o.AuthSchemes[0]}}
		},
		"signer":      func(o *sqs.Options) { o.HTTPSignerV4 = v4.NewSigner() },
		"interceptor": func(o *sqs.Options) { o.Interceptors.AddBeforeTransmit(interceptor{}) },
		"credentials": func(o *sqs.Options) { o.Credentials = struct{ aws.CredentialsProvider }{o.Credentials} },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSetup()
			require.NoError(t, s.all(s.fit))
			require.NoError(t, s.all(s.fit, late))
			require.Len(t, s.line.requests, 6)
			require.Empty(t, s.direct.requests)
			require.NoError(t, s.all(s.fit))
			require.Len(t, s.direct.requests, 3)
		})
	}
}

// What the context of a call tells the SDK's client, it tells an HTTP client and whoever
// gives credentials too.
func TestShortcutsContextsTellWhatTheSDKsTell(t *testing.T) {
	type key struct{}
	var told []string
	tell := func(who string, ctx context.Context) {
		_, silent := middleware.GetLogger(ctx).(logging.Nop)
		told = append(told, fmt.Sprint(
			who, awsmiddleware.GetServiceID(ctx), awsmiddleware.GetOperationName(ctx), awsmiddleware.GetRegion(ctx),
			middleware.GetServiceID(ctx), middleware.GetOperationName(ctx), silent, ctx.Value(key{}),
		))
	}
	credentials := func(o *sqs.Options) {
		o.Logger = logging.LoggerFunc(func(logging.Classification, string, ...any) {})
		o.Credentials = aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials, error) {
			tell("credentials", ctx)
			return aws.Credentials{AccessKeyID: "key", SecretAccessKey: "secret"}, nil
		})
	}
	both(t, credentials, func(t *testing.T, s *setup) {
		s.ctx = context.WithValue(t.Context(), key{}, "mine")
		s.line.look = func(r *http.Request) { tell("request", r.Context()) }
		s.direct.look = s.line.look
		require.NoError(t, s.all(once))
		theirs := told
		require.NoError(t, s.all(s.fit))
		told = nil
		require.NoError(t, s.all(s.fit))
		require.Len(t, s.direct.requests, 3)
		require.Equal(t, theirs, told)
		require.Contains(t, told[0], "ReceiveMessage")
		told = nil
	})
}

// Who asks the SDK's client for an answer's metadata finds it.
func TestShortcutsResultsHaveMetadata(t *testing.T) {
	s := newSetup()
	require.NoError(t, s.all(s.fit))
	out, err := s.client.ReceiveMessage(t.Context(), aReceive, s.fit)
	require.NoError(t, err)
	require.Len(t, s.direct.requests, 1)
	raw, ok := awsmiddleware.GetRawResponse(out.ResultMetadata).(*smithyhttp.Response)
	require.True(t, ok)
	require.Equal(t, http.StatusOK, raw.StatusCode)
	id, _ := awsmiddleware.GetRequestIDMetadata(out.ResultMetadata)
	require.Equal(t, "request-1", id)
	_, ok = awsmiddleware.GetServerTime(out.ResultMetadata)
	require.True(t, ok)
	_, ok = awsmiddleware.GetResponseAt(out.ResultMetadata)
	require.True(t, ok)

	s.direct.answers = append(s.direct.answers, func() (*http.Response, error) {
		r, err := good()
		r.Header.Del("X-Amzn-Requestid")
		return r, err
	})
	out, err = s.client.ReceiveMessage(t.Context(), aReceive, s.fit)
	require.NoError(t, err)
	_, ok = awsmiddleware.GetRequestIDMetadata(out.ResultMetadata)
	require.False(t, ok)
}

// A call that was cut short, or cancelled just as its answer came, ends as it would have
// ended in the SDK.
func TestShortcutsCancelledCallsEndAsTheSDKs(t *testing.T) {
	for name, end := range map[string]func() (*http.Response, error){
		"without an answer": func() (*http.Response, error) { return nil, context.Canceled },
		"refused": func() (*http.Response, error) {
			return respond(http.StatusBadRequest, time.Now(), `{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"no such queue"}`)
		},
		"in the answer": func() (*http.Response, error) {
			r, err := respond(http.StatusOK, time.Now(), "")
			r.Body = io.NopCloser(iotest.ErrReader(context.Canceled))
			return r, err
		},
	} {
		t.Run(name, func(t *testing.T) {
			both(t, nothing, func(t *testing.T, s *setup) {
				require.NoError(t, s.all(s.fit))
				var cancel func()
				cancelled := func() (*http.Response, error) {
					cancel()
					return end()
				}
				s.line.answers, s.direct.answers = append(s.line.answers, cancelled), append(s.direct.answers, cancelled)
				s.ctx, cancel = context.WithCancel(t.Context())
				defer cancel()
				_, theirs := s.client.ReceiveMessage(s.ctx, aReceive, once)
				require.Error(t, theirs)
				s.ctx, cancel = context.WithCancel(t.Context())
				defer cancel()
				_, ours := call(s, aReceive, s.client.ReceiveMessage, s.fit)
				require.EqualError(t, ours, theirs.Error())
				require.ErrorAs(t, ours, new(*awshttp.ResponseError))
				_, cut := errors.AsType[*smithy.CanceledError](theirs)
				_, ourCut := errors.AsType[*smithy.CanceledError](ours)
				require.Equal(t, cut, ourCut)
				require.Len(t, s.direct.requests, 1)
			})
		})
	}
}

// Whatever has become of the credentials meanwhile, the call that was made with them ends
// as it has ended, and nobody is asked for others.
func TestShortcutsCallsEndWithTheirOwnCredentials(t *testing.T) {
	asked := 0
	denied := &smithy.GenericAPIError{Code: "AccessDenied", Message: "no more"}
	lapsing := func(o *sqs.Options) {
		o.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			if asked++; asked > 7 { // two for each example, one for the call
				return aws.Credentials{}, denied
			}
			return aws.Credentials{AccessKeyID: "key", SecretAccessKey: "secret"}, nil
		})
	}
	both(t, lapsing, func(t *testing.T, s *setup) {
		asked = 0
		require.NoError(t, s.all(s.fit))
		reset := errors.New("connection reset by peer")
		s.direct.answers = append(s.direct.answers, func() (*http.Response, error) { return nil, reset })
		_, err := call(s, aReceive, s.client.ReceiveMessage, s.fit)
		require.ErrorIs(t, err, reset)
		require.Len(t, s.direct.requests, 1)
		require.Len(t, s.line.requests, 3)
		_, err = call(s, aReceive, s.client.ReceiveMessage, s.fit)
		require.ErrorIs(t, err, denied)
	})
}

// An HTTP client may write into the requests that it is given.
func TestShortcutsRequestsShareNothing(t *testing.T) {
	both(t, nothing, func(t *testing.T, s *setup) {
		require.NoError(t, s.all(s.fit))
		s.direct.look = func(r *http.Request) {
			for _, values := range r.Header {
				values[0] += " mine"
			}
			r.URL.Path += "mine"
		}
		require.NoError(t, s.all(s.fit))
		require.NoError(t, s.all(s.fit))
		require.Len(t, s.direct.requests, 6)
		for _, r := range s.direct.requests {
			require.NotContains(t, r, "mine")
		}
	})
}

// An HTTP client that returns nothing is the SDK's to be surprised at.
func TestShortcutEndsWithoutAnAnswerAsTheSDK(t *testing.T) {
	both(t, nothing, func(t *testing.T, s *setup) {
		silence := func() (*http.Response, error) { return nil, nil }
		s.line.answers = append(s.line.answers, silence, silence)
		_, theirs := s.client.ReceiveMessage(t.Context(), aReceive, once)
		require.Error(t, theirs)
		_, ours := call(s, aReceive, s.client.ReceiveMessage, s.fit)
		require.EqualError(t, ours, theirs.Error())
		require.NoError(t, s.all(s.fit))
		s.direct.answers = append(s.direct.answers, silence)
		_, ours = call(s, aReceive, s.client.ReceiveMessage, s.fit)
		require.EqualError(t, ours, theirs.Error())
	})
}

// SQS refuses requests that are signed for another time. A clock that goes wrong slowly,
// or jumps, is noticed before that.
func TestShortcutNoticesAClockThatGoesWrong(t *testing.T) {
	both(t, nothing, func(t *testing.T, s *setup) {
		synctest.Test(t, func(t *testing.T) {
			require.NoError(t, s.all(s.fit))
			drifted := func() (*http.Response, error) {
				return respond(http.StatusOK, time.Now().Add(2*time.Minute), `{}`)
			}
			s.direct.answers = append(s.direct.answers, drifted, drifted, drifted)
			require.NoError(t, s.all(s.fit))
			require.Len(t, s.direct.requests, 3)
			require.NoError(t, s.all(s.fit))
			require.Len(t, s.direct.requests, 3)
			require.Len(t, s.line.requests, 6)
		})
	})
}

// What a signer logs, for itself, are credentials too. The SDK silences it.
func TestShortcutSignsInSilence(t *testing.T) {
	var logged strings.Builder
	chatty := func(o *sqs.Options) {
		o.HTTPSignerV4 = v4.NewSigner(func(so *v4.SignerOptions) {
			so.LogSigning = true
			so.Logger = logging.NewStandardLogger(&logged)
		})
	}
	both(t, chatty, func(t *testing.T, s *setup) {
		require.NoError(t, s.all(s.fit))
		require.NoError(t, s.all(s.fit))
		require.Len(t, s.direct.requests, 3)
		require.Empty(t, logged.String())
	})
}

// A call whose context is done is not made, whether the HTTP client looks at that or not.
func TestShortcutMakesNoCancelledCalls(t *testing.T) {
	both(t, nothing, func(t *testing.T, s *setup) {
		require.NoError(t, s.all(s.fit))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, theirs := s.client.ReceiveMessage(ctx, aReceive, once)
		s.ctx = ctx
		_, ours := call(s, aReceive, s.client.ReceiveMessage, s.fit)
		require.EqualError(t, ours, theirs.Error())
		require.ErrorIs(t, ours, context.Canceled)
		require.Empty(t, s.direct.requests)
		require.Len(t, s.line.requests, 3)
	})
}

// Credentials that are refused, or do not come in time, are asked for once, and the error
// is the SDK's.
func TestShortcutAsksForCredentialsOnce(t *testing.T) {
	for name, provide := range map[string]func(context.Context) error{
		"refused": func(context.Context) error { return &smithy.GenericAPIError{Code: "AccessDenied"} },
		"late": func(ctx context.Context) error {
			<-ctx.Done()
			return &aws.RequestCanceledError{Err: ctx.Err()}
		},
	} {
		t.Run(name, func(t *testing.T) {
			asked, there := 0, true
			lapsing := func(o *sqs.Options) {
				o.Credentials = aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials, error) {
					if asked++; there {
						return aws.Credentials{AccessKeyID: "key", SecretAccessKey: "secret"}, nil
					}
					return aws.Credentials{}, provide(ctx)
				})
			}
			both(t, lapsing, func(t *testing.T, s *setup) {
				synctest.Test(t, func(t *testing.T) {
					asked, there = 0, true
					require.NoError(t, s.all(s.fit))
					asked, there = 0, false
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					defer cancel()
					_, theirs := s.client.ReceiveMessage(ctx, aReceive, once)
					require.Equal(t, 1, asked)
					s.ctx, cancel = context.WithTimeout(t.Context(), time.Second)
					defer cancel()
					_, ours := call(s, aReceive, s.client.ReceiveMessage, s.fit)
					require.EqualError(t, ours, theirs.Error())
					require.Equal(t, 2, asked)
				})
			})
		})
	}
}

// Options of a call may also be given to a new client, by a client that makes others. Its
// calls have options of their own, and come at the same time.
func TestShortcutIsForCallsAndNotForClients(t *testing.T) {
	s := newSetup()
	require.NoError(t, s.all(s.fit))
	made := sqs.New(s.client.Options(), s.fit)
	for range 2 {
		_, err := made.ReceiveMessage(t.Context(), aReceive, func(o *sqs.Options) { o.Region = "us-east-1" })
		require.NoError(t, err)
	}
	require.Empty(t, s.direct.requests)
	require.Len(t, s.line.requests, 5)
	for _, r := range s.line.requests[3:] {
		require.Contains(t, r, "https://sqs.us-east-1.amazonaws.com/")
	}

	var shortcut wire.Shortcut
	line := smithyhttp.ClientDoFunc(func(*http.Request) (*http.Response, error) { return good() })
	busy := sqs.New(s.client.Options(), func(o *sqs.Options) {
		once(o)
		wire.Fit(o)
		o.HTTPClient = line
		shortcut.Fit(o, line)
	})
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			for range 10 {
				_, err := busy.ReceiveMessage(t.Context(), aReceive)
				assert.NoError(t, err)
			}
		})
	}
	wg.Wait()
}

// What the SDK refuses to send, or writes in another way, is left to it. A client in front
// of the SDK's may make inputs of its own.
func TestShortcutLeavesUncommonInputsToTheSDK(t *testing.T) {
	both(t, nothing, func(t *testing.T, s *setup) {
		require.NoError(t, s.all(s.fit))
		_, err := call(s, &sqs.DeleteMessageBatchInput{QueueUrl: aReceive.QueueUrl}, s.client.DeleteMessageBatch, s.fit)
		require.ErrorContains(t, err, "missing required field, DeleteMessageBatchInput.Entries")
		_, err = call(s, &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: aReceive.QueueUrl}, s.client.ChangeMessageVisibilityBatch, s.fit)
		require.ErrorContains(t, err, "missing required field, ChangeMessageVisibilityBatchInput.Entries")
		_, err = call(s, &sqs.ReceiveMessageInput{}, s.client.ReceiveMessage, s.fit)
		require.ErrorContains(t, err, "missing required field, ReceiveMessageInput.QueueUrl")
		_, err = call(s, &sqs.ReceiveMessageInput{
			QueueUrl:       aReceive.QueueUrl,
			AttributeNames: []types.QueueAttributeName{}, //nolint:staticcheck // deprecated, and still sent
		}, s.client.ReceiveMessage, s.fit)
		require.NoError(t, err)
		require.Len(t, s.line.requests, 3+1)
		require.Contains(t, s.line.requests[3], `"AttributeNames":[]`)
		require.Empty(t, s.direct.requests)
	})
}
