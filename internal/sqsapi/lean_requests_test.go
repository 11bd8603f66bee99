package sqsapi_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go/middleware"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/internal/sqsapi"
)

const queueURL = "https://sqs.eu-central-1.amazonaws.com/123456789012/orders"

// keys are credentials that do not change, with the session's token, if there is one.
func keys(token string) aws.CredentialsProvider {
	return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", SessionToken: token}, nil
	})
}

func sum(body string) string {
	digest := sha256.Sum256([]byte(body))
	return hex.EncodeToString(digest[:])
}

// wired is an HTTP client that keeps requests, and answers nothing of use.
type wired struct {
	requests []*http.Request
	bodies   []string
	date     time.Duration // of the answers, from now; 0: they have none
	values   []string      // what the contexts of the requests tell
}

func (w *wired) Do(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	w.requests, w.bodies = append(w.requests, r), append(w.bodies, string(body))
	ctx := r.Context()
	w.values = append(w.values, fmt.Sprint(awsmiddleware.GetServiceID(ctx), awsmiddleware.GetOperationName(ctx), awsmiddleware.GetRegion(ctx),
		middleware.GetServiceID(ctx), middleware.GetOperationName(ctx), fmt.Sprintf("%T", middleware.GetLogger(ctx))))
	header := http.Header{}
	if w.date != 0 {
		header.Set("Date", time.Now().Add(w.date).UTC().Format(http.TimeFormat))
	}
	return &http.Response{StatusCode: http.StatusOK, ProtoMajor: 1, ProtoMinor: 1, Header: header, Body: io.NopCloser(strings.NewReader("{}"))}, nil
}

// written are requests as they are written to the network, but for what is random: the ids of
// calls, and the signatures that are over them. signed checks those.
func (w *wired) written(t *testing.T) (all []string) {
	t.Helper()
	for i, r := range w.requests {
		signed(t, r, w.bodies[i])
		header := r.Header.Clone()
		require.Regexp(t, `^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`, header.Get("Amz-Sdk-Invocation-Id"))
		header.Set("Amz-Sdk-Invocation-Id", "…")
		authorization, _, _ := strings.Cut(header.Get("Authorization"), "Signature=")
		header.Set("Authorization", authorization)
		copied := &http.Request{
			Method: r.Method, URL: r.URL, Host: r.Host, Header: header, ContentLength: r.ContentLength, Body: io.NopCloser(strings.NewReader(w.bodies[i])),
			Proto: r.Proto, ProtoMajor: r.ProtoMajor, ProtoMinor: r.ProtoMinor,
		}
		var text bytes.Buffer
		require.NoError(t, copied.Write(&text))
		all = append(all, fmt.Sprintf("%s %s %s\n%q\n%s", r.Method, r.URL, r.Proto, slices.Sorted(maps.Keys(r.Header)), text.String()))
	}
	return all
}

// signed checks the signature of a request with the SDK's signer.
func signed(t *testing.T, r *http.Request, body string) {
	t.Helper()
	scope, _, _ := strings.Cut(r.Header.Get("Authorization"), ",")
	parts := strings.Split(scope, "/")
	require.Len(t, parts, 5)
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	require.NoError(t, err)
	again := r.Clone(context.Background())
	again.Header.Del("Authorization")
	by, err := keys(r.Header.Get("X-Amz-Security-Token")).Retrieve(context.Background())
	require.NoError(t, err)
	require.NoError(t, v4.NewSigner().SignHTTP(context.Background(), by, again, sum(body), parts[3], parts[2], at))
	require.Equal(t, again.Header.Get("Authorization"), r.Header.Get("Authorization"))
}

// calls makes each call through a queue.
func calls(q *sqsapi.Queue) {
	ctx := context.Background()
	_, _ = q.Receive(ctx, 10, 20*time.Second, "")
	_, _ = q.Receive(ctx, 1, 0, "attempt-1")
	_ = q.Delete(ctx, []string{"AQEB+/=a", "AQEB+/=b"})
	_ = q.Change(ctx, []string{"AQEB+/=a", "AQEB+/=b"}, 0, 90*time.Second)
}

// A configuration is one of a client.
type configuration struct {
	set  func(*sqs.Options)
	env  map[string]string // read by the SDK's LoadDefaultConfig; not nil: the client is made of it
	load []func(*config.LoadOptions) error
	url  string // of the queue; "": queueURL
	skew time.Duration
}

func region(name string) func(*sqs.Options) { return func(o *sqs.Options) { o.Region = name } }

func endpoint(url string) func(*sqs.Options) { return func(o *sqs.Options) { o.BaseEndpoint = &url } }

func fips(o *sqs.Options) { o.EndpointOptions.UseFIPSEndpoint = aws.FIPSEndpointStateEnabled }

func dual(o *sqs.Options) { o.EndpointOptions.UseDualStackEndpoint = aws.DualStackEndpointStateEnabled }

func all(fs ...func(*sqs.Options)) func(*sqs.Options) {
	return func(o *sqs.Options) {
		for _, f := range fs {
			f(o)
		}
	}
}

// sourced are credentials that say where they come from.
type sourced struct{ aws.CredentialsProvider }

func (sourced) ProviderSources() []aws.CredentialSource {
	return []aws.CredentialSource{aws.CredentialSourceProfile, aws.CredentialSourceSTSAssumeRole}
}

func configurations() map[string]configuration {
	set := func(f ...func(*sqs.Options)) configuration { return configuration{set: all(f...)} }
	all := map[string]configuration{
		"as it is":                      set(),
		"another region":                set(region("us-east-1")),
		"China":                         set(region("cn-north-1")),
		"China, Ningxia":                set(region("cn-northwest-1")),
		"the government's":              set(region("us-gov-west-1")),
		"the government's, east":        set(region("us-gov-east-1")),
		"isolated":                      set(region("us-iso-east-1")),
		"isolated, b":                   set(region("us-isob-east-1")),
		"a region that is new":          set(region("eu-future-7")),
		"FIPS":                          set(fips, region("us-east-2")),
		"FIPS of the government":        set(fips, region("us-gov-west-1")),
		"FIPS by the region's name":     set(region("us-east-1-fips")),
		"FIPS by the region's old name": set(region("fips-us-west-2")),
		"dual-stack":                    set(dual),
		"dual-stack in China":           set(dual, region("cn-north-1")),
		"dual-stack of the government":  set(dual, region("us-gov-east-1")),
		"FIPS and dual-stack":           set(fips, dual, region("us-west-1")),
		"an endpoint":                   set(endpoint("https://vpce-0abc-1def.sqs.eu-central-1.vpce.amazonaws.com")),
		"an endpoint with a port":       set(endpoint("http://localhost:4566")),
		"an endpoint with its port":     set(endpoint("https://localhost:443")),
		"an endpoint with HTTP's port":  set(endpoint("http://localhost:80")),
		"an endpoint of IPv6":           set(endpoint("http://[::1]:9324")),
		"an endpoint with a path":       set(endpoint("https://gateway.example.com/aws/sqs")),
		"an endpoint with a slash":      set(endpoint("https://gateway.example.com/aws/")),
		"an endpoint with odd letters":  set(endpoint("https://gateway.example.com/a%20b/c+d/é")),
		"an endpoint with a user":       set(endpoint("https://user:pass@gateway.example.com")),
		"an endpoint with a query":      set(endpoint("https://gateway.example.com/?a=b")),
		"no HTTPS":                      set(func(o *sqs.Options) { o.EndpointOptions.DisableHTTPS = true }),
		"no HTTPS to an endpoint":       set(endpoint("https://gateway.example.com"), func(o *sqs.Options) { o.EndpointOptions.DisableHTTPS = true }),
		"a session token":               set(func(o *sqs.Options) { o.Credentials = keys("FwoGZXIvYXdzEBYaD+/=token") }),
		"an app id":                     set(func(o *sqs.Options) { o.AppID = "shop/checkout 1.0" }),
		"credentials with sources":      set(func(o *sqs.Options) { o.Credentials = sourced{keys("")} }),
		"credentials behind a cache":    set(func(o *sqs.Options) { o.Credentials = aws.NewCredentialsCache(sourced{keys("t")}) }),
		"another retryer":               set(func(o *sqs.Options) { o.Retryer = retry.NewAdaptiveMode() }),
		"more attempts":                 set(func(o *sqs.Options) { o.RetryMaxAttempts = 7 }),
		"no checksums":                  set(func(o *sqs.Options) { o.DisableMessageChecksumValidation = true }),
		"no clock skew correction":      {set: func(o *sqs.Options) { o.DisableClockSkewCorrection = true }, skew: time.Hour},
		"a clock that is behind":        {skew: 20 * time.Minute},
		"a clock that is ahead":         {skew: -20 * time.Minute},
		"a clock a little behind":       {skew: 1500 * time.Millisecond},
		"a clock a day behind":          {skew: 24 * time.Hour},
		"a queue's URL of another host": {url: "https://queue.amazonaws.com/123456789012/orders"},
		"a queue's URL of old":          {url: "https://eu-west-1.queue.amazonaws.com/123456789012/orders.fifo"},
		"a queue's name as its URL":     {url: "orders"},
		"a queue's URL in odd letters":  {url: "http://localhost/1/\"é\\<&>\u2028\x7f\x01\xff/🦥"},
		"a Lambda function":             {env: map[string]string{"AWS_LAMBDA_FUNCTION_NAME": "f", "_X_AMZN_TRACE_ID": "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"}},
		"a trace in odd letters":        {env: map[string]string{"AWS_LAMBDA_FUNCTION_NAME": "f", "_X_AMZN_TRACE_ID": "Root=1 é/%,'\"{}"}},
		"an empty trace":                {env: map[string]string{"AWS_LAMBDA_FUNCTION_NAME": "", "_X_AMZN_TRACE_ID": ""}},
		"a trace of no function":        {env: map[string]string{"_X_AMZN_TRACE_ID": "Root=1"}},
		"loaded":                        {env: map[string]string{}},
		"loaded, with an endpoint":      {env: map[string]string{"AWS_ENDPOINT_URL": "http://localstack:4566"}},
		"loaded, with SQS's endpoint":   {env: map[string]string{"AWS_ENDPOINT_URL": "http://localstack:4566", "AWS_ENDPOINT_URL_SQS": "https://sqs.internal:8443/x"}},
		"loaded, FIPS":                  {env: map[string]string{"AWS_USE_FIPS_ENDPOINT": "true"}},
		"loaded, dual-stack":            {env: map[string]string{"AWS_USE_DUALSTACK_ENDPOINT": "true"}},
		"loaded, an app id":             {env: map[string]string{"AWS_SDK_UA_APP_ID": "billing"}},
		"loaded, keys with a token":     {env: map[string]string{"AWS_SESSION_TOKEN": "token"}},
		"loaded, another retry mode":    {env: map[string]string{"AWS_RETRY_MODE": "adaptive", "AWS_MAX_ATTEMPTS": "5"}},
		"loaded, the defaults mode":     {env: map[string]string{"AWS_DEFAULTS_MODE": "in-region"}},
		"loaded, options of the code":   {env: map[string]string{}, load: []func(*config.LoadOptions) error{config.WithRegion("ap-south-1"), config.WithAppID("code")}},
	}
	return all
}

// client makes a client of the configuration, whose requests go to w.
func (c *configuration) client(t *testing.T, w *wired) *sqs.Client {
	t.Helper()
	if c.env == nil {
		return sqs.New(sqs.Options{Region: "eu-central-1", Credentials: keys(""), HTTPClient: w}, func(o *sqs.Options) {
			if c.set != nil {
				c.set(o)
			}
		})
	}
	cfg, err := config.LoadDefaultConfig(context.Background(), c.load...)
	require.NoError(t, err)
	return sqs.NewFromConfig(cfg, func(o *sqs.Options) { o.HTTPClient = w })
}

// The requests of a Lean are those of the SDK, to the byte, with the same clock.
func TestRequestsAreThoseOfTheSDK(t *testing.T) {
	all := configurations()
	require.GreaterOrEqual(t, len(all), 40)
	for name, c := range all {
		t.Run(name, func(t *testing.T) {
			environment(t, c.env)
			synctest.Test(t, func(t *testing.T) {
				theirs, ours := &wired{date: c.skew}, &wired{date: c.skew}
				url := c.url
				if url == "" {
					url = queueURL
				}
				ask := []types.MessageSystemAttributeName{"ApproximateReceiveCount", "SentTimestamp"}
				q := &sqsapi.Queue{URL: url, Visibility: 30 * time.Second, Attributes: ask}
				q.Client = c.client(t, theirs)
				calls(q)
				client := c.client(t, ours)
				lean, err := sqsapi.NewLean(client)
				require.NoError(t, err)
				require.Empty(t, ours.requests, "nothing is sent")
				calls(&sqsapi.Queue{URL: url, Visibility: 30 * time.Second, Attributes: ask, Client: client, Lean: lean})
				want := theirs.written(t)
				require.Len(t, want, 4)
				for i, r := range ours.written(t) {
					require.Equal(t, strings.Split(want[i], "\n"), strings.Split(r, "\n"))
				}
				require.Equal(t, theirs.values, ours.values)
			})
		})
	}
}

// environment lets the test have the variables, and no others that the SDK reads.
func environment(t *testing.T, env map[string]string) {
	t.Helper()
	for name, value := range map[string]string{
		"AWS_REGION": "eu-west-3", "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
		"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null", "AWS_EC2_METADATA_DISABLED": "true",
	} {
		t.Setenv(name, value)
	}
	for name, value := range env {
		t.Setenv(name, value)
	}
}

// The next day has another key, and so has another secret.
func TestTheKeyOfADayIsNotKeptForLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wired{}
		secret := 0
		client := sqs.New(sqs.Options{Region: "eu-central-1", HTTPClient: w, Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			secret++
			return aws.Credentials{AccessKeyID: fmt.Sprint("key-", secret/3), SecretAccessKey: fmt.Sprint("secret-", secret/3), SessionToken: fmt.Sprint("token-", secret/3)}, nil
		})})
		lean, err := sqsapi.NewLean(client)
		require.NoError(t, err)
		require.Zero(t, secret, "nobody has asked for credentials")
		q := &sqsapi.Queue{Client: client, Lean: lean, URL: queueURL, Visibility: 30 * time.Second}
		for range 10 {
			_, err := q.Receive(t.Context(), 10, time.Second, "")
			require.NoError(t, err)
			time.Sleep(7 * time.Hour)
		}
		days := map[string]bool{}
		for i, r := range w.requests {
			days[r.Header.Get("X-Amz-Date")[:8]] = true
			n := (i + 1) / 3
			require.Equal(t, fmt.Sprint("token-", n), r.Header.Get("X-Amz-Security-Token"))
			by := aws.Credentials{AccessKeyID: fmt.Sprint("key-", n), SecretAccessKey: fmt.Sprint("secret-", n), SessionToken: fmt.Sprint("token-", n)}
			at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
			require.NoError(t, err)
			again := r.Clone(t.Context())
			require.NoError(t, v4.NewSigner().SignHTTP(t.Context(), by, again, sum(w.bodies[i]), "sqs", "eu-central-1", at))
			require.Equal(t, again.Header.Get("Authorization"), r.Header.Get("Authorization"))
		}
		require.Len(t, days, 3)
	})
}

func FuzzRequestsAreThoseOfTheSDK(f *testing.F) {
	f.Add("handle", "https://sqs.eu-west-1.amazonaws.com/1/q", 10, 20, 30, "attempt")
	f.Add("a/+=<>&' \u2028\xff", "", 0, 0, 0, "")
	f.Fuzz(func(t *testing.T, handle, url string, n, wait, visible int, attempt string) {
		n, wait, visible = n&1023, wait&1023, visible&0xffff // as New sees to
		synctest.Test(t, func(t *testing.T) {
			make := func() (*wired, *sqsapi.Queue) {
				w := &wired{}
				c := configuration{}
				return w, &sqsapi.Queue{Client: c.client(t, w), URL: url, Visibility: time.Duration(visible) * time.Second}
			}
			theirs, through := make()
			ours, past := make()
			var err error
			past.Lean, err = sqsapi.NewLean(past.Client)
			require.NoError(t, err)
			for _, q := range []*sqsapi.Queue{through, past} {
				_, _ = q.Receive(t.Context(), n, time.Duration(wait)*time.Second, attempt)
				_ = q.Delete(t.Context(), []string{handle, "another"})
				_ = q.Change(t.Context(), []string{handle}, time.Duration(visible)*time.Second)
			}
			require.Equal(t, theirs.written(t), ours.written(t))
		})
	})
}

// NewClient's client is plain, and so are those of the SDK.
func TestWhichClientsArePlain(t *testing.T) {
	cfg := aws.Config{Region: "eu-central-1", Credentials: keys("")}
	for name, client := range map[string]sqsapi.Client{
		"NewClient":                    sluice.NewClient(cfg),
		"the SDK's":                    sqs.NewFromConfig(cfg),
		"with a http.Client":           sqs.NewFromConfig(cfg, func(o *sqs.Options) { o.HTTPClient = http.DefaultClient }),
		"with a buildable client":      sqs.NewFromConfig(cfg, func(o *sqs.Options) { o.HTTPClient = awshttp.NewBuildableClient().WithTimeout(time.Minute) }),
		"with another one":             sqs.NewFromConfig(cfg, func(o *sqs.Options) { o.HTTPClient = do(nil) }),
		"made of another's options":    sqs.New(sluice.NewClient(cfg).Options()),
		"with a signer of the SDK's":   sqs.NewFromConfig(cfg, func(o *sqs.Options) { o.HTTPSignerV4 = v4.NewSigner() }),
		"with the resolver of the SDK": sqs.NewFromConfig(cfg, func(o *sqs.Options) { o.EndpointResolverV2 = sqs.NewDefaultEndpointResolverV2() }),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := sqsapi.NewLean(client)
			require.NoError(t, err)
		})
	}
}
