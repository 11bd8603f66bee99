package sluice_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sqstest"
)

func TestAClientThatIsNilIsRefused(t *testing.T) {
	for want, client := range map[string]sluice.Client{
		"client is nil": nil,
		"client is a *sqs.Client that is nil, want one such as *sqs.Client": (*sqs.Client)(nil),
		"client is a *sqstest.Server that is nil":                           (*sqstest.Server)(nil),
		"client is a *sluice_test.three that is nil":                        (*three)(nil),
	} {
		_, err := sluice.New(client, anyQueue, sluice.Options{DeadLetterQueueURL: anyQueue + "-dead"})
		require.ErrorContains(t, err, want)
	}
}

func TestADeadLetterQueueThatIsTheQueueItselfIsRefused(t *testing.T) {
	for queue, same := range map[string][]string{
		anyQueue: {
			anyQueue, anyQueue + "/", anyQueue + "?x=y", "http://SQS.eu-central-1.amazonaws.com:443//123456789012/orders", "https://eu-central-1.queue.amazonaws.com/123456789012/orders",
			"https://sqs-fips.eu-central-1.amazonaws.com/123456789012/orders", "https://sqs.eu-central-1.api.aws/123456789012/%6Frders",
			"https://vpce-0a1b2c-3d4e.sqs.eu-central-1.vpce.amazonaws.com/123456789012/orders", "https://proxy.internal/123456789012/orders",
		},
		"https://sqs.us-east-1.amazonaws.com/1/q": {"https://queue.amazonaws.com/1/q"},
		"http://localhost:4566/000000000000/q":    {"http://127.0.0.1:4566/000000000000/q", "http://sqs.eu-west-1.localhost.localstack.cloud:4566/000000000000/q", "http://localhost:4566/queue/eu-west-1/000000000000/q"},
	} {
		for _, dead := range same {
			_, err := sluice.New(sqstest.New(), queue, sluice.Options{DeadLetterQueueURL: dead})
			require.ErrorContains(t, err, "which is the queue itself", "%s and %s", queue, dead)
		}
	}
	for _, dead := range []string{
		anyQueue + "-dead", "https://sqs.eu-central-1.amazonaws.com/123456789013/orders", "https://sqs.eu-central-1.amazonaws.com/123456789012/Orders", "https://sqs.eu-west-1.amazonaws.com/123456789012/orders",
	} {
		_, err := sluice.New(sqstest.New(), anyQueue, sluice.Options{DeadLetterQueueURL: dead})
		require.NoError(t, err, dead)
	}
}

func TestADeadLetterQueueOfTheOtherTypeIsRefusedWhereGroupsAreMissing(t *testing.T) {
	_, err := sluice.New(sqstest.New(), anyQueue, sluice.Options{DeadLetterQueueURL: anyQueue + "-dead.fifo"})
	require.ErrorContains(t, err, "want a standard queue")
	_, err = sluice.New(sqstest.New(), anyQueue+".fifo", sluice.Options{DeadLetterQueueURL: anyQueue + "-dead"})
	require.NoError(t, err, "a standard queue takes messages with groups")
	_, err = sluice.New(sqstest.New(), anyQueue+".fifo", sluice.Options{DeadLetterQueueURL: anyQueue + "-dead.fifo"})
	require.NoError(t, err)
}

func TestNamesThatAreNoSystemAttributesAreRefused(t *testing.T) {
	_, err := sluice.New(sqstest.New(), anyQueue, sluice.Options{SystemAttributes: []types.MessageSystemAttributeName{"SentTimestmap", "AWSTraceHeader", ""}})
	require.ErrorContains(t, err, `SystemAttributes has "SentTimestmap"`)
	require.ErrorContains(t, err, `SystemAttributes has ""`)
	require.Equal(t, 2, strings.Count(err.Error(), "SystemAttributes has"))
	_, err = sluice.New(sqstest.New(), anyQueue, sluice.Options{SystemAttributes: types.MessageSystemAttributeName("").Values()})
	require.NoError(t, err)
}

func TestTwoMistakesReadWell(t *testing.T) {
	_, err := sluice.New(sqstest.New(), anyQueue, sluice.Options{BatchSize: -1, Receivers: -1})
	require.EqualError(t, err, "sluice: BatchSize is -1, want at least 1\nReceivers is -1, want at least 1")
}

// wraps is a client as users wrap it.
type wraps struct{ *sqs.Client }

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestAQueueOfAnotherRegionThanTheClientIsRefused(t *testing.T) {
	plain := sqs.Options{Region: "eu-west-1", Credentials: aws.AnonymousCredentials{}}
	with := func(set func(*sqs.Options)) sluice.Client { return sqs.New(plain, set) }
	config := aws.Config{Region: "eu-west-1", Credentials: aws.AnonymousCredentials{}}
	mistake := map[string]sluice.Client{
		"plain": sqs.New(plain), "of the configuration": sqs.NewFromConfig(config), "of NewClient": sluice.NewClient(config), "wrapped": wraps{sqs.New(plain)},
		"an HTTP client of its own": with(func(o *sqs.Options) { o.HTTPClient = &http.Client{Timeout: time.Minute} }),
	}
	doubt := map[string]sluice.Client{
		"an endpoint":   with(func(o *sqs.Options) { o.BaseEndpoint = new("https://proxy.internal") }),
		"a resolver":    with(func(o *sqs.Options) { o.EndpointResolverV2 = struct{ sqs.EndpointResolverV2 }{} }),
		"an old one":    sqs.New(plain, sqs.WithEndpointResolver(sqs.EndpointResolverFromURL("https://proxy.internal"))), //nolint:staticcheck // it is old, and still heeded
		"a transport":   with(func(o *sqs.Options) { o.HTTPClient = &http.Client{Transport: roundTripper(nil)} }),
		"another thing": with(func(o *sqs.Options) { o.HTTPClient = nobody{} }),
	}
	urls := []string{
		"https://sqs.eu-central-1.amazonaws.com/1/q", "https://eu-central-1.queue.amazonaws.com/1/q", "https://queue.amazonaws.com/1/q", "https://sqs.cn-north-1.amazonaws.com.cn/1/q",
		"https://sqs-fips.us-east-1.amazonaws.com/1/q", "https://sqs.eu-central-1.api.aws/1/q",
	}
	for _, url := range urls {
		for name, client := range mistake {
			_, err := sluice.New(client, url, sluice.Options{})
			require.ErrorContains(t, err, "but the client is of eu-west-1", "%s %s", name, url)
		}
		for name, client := range doubt {
			require.Contains(t, warnings(t, client, url, ""), "but the client is of eu-west-1", "%s %s", name, url)
		}
	}
	const same = "https://sqs.eu-west-1.amazonaws.com/1/q"
	const endpoint = "https://vpce-0a1b2c-3d4e.sqs.eu-central-1.vpce.amazonaws.com/1/q"
	require.Contains(t, warnings(t, sqs.New(plain), endpoint, ""), "of region eu-central-1")
	require.Contains(t, warnings(t, doubt["an endpoint"], same, urls[0]), "DeadLetterQueueURL")
	_, err := sluice.New(sqs.New(plain), same, sluice.Options{DeadLetterQueueURL: urls[0]})
	require.ErrorContains(t, err, "DeadLetterQueueURL")
	for _, url := range []string{same, "https://eu-west-1.queue.amazonaws.com/1/q", "http://localhost:4566/1/q", "https://sqs.test/1/q", "http://sqs.us-east-1.localhost.localstack.cloud:4566/000000000000/q"} {
		require.Empty(t, warnings(t, sqs.New(plain), url, ""), url)
		require.Empty(t, warnings(t, doubt["an endpoint"], url, ""), url)
	}
	require.Empty(t, warnings(t, sqstest.New(), urls[0], ""), "nobody knows")
	require.Empty(t, warnings(t, wraps{}, urls[0], ""), "nor of a client inside of which there is none")
}

// nobody is an HTTP client of nobody's.
type nobody struct{}

func (nobody) Do(*http.Request) (*http.Response, error) { return nil, context.Canceled }

// warnings is what New logs, which must not fail.
func warnings(t *testing.T, client sluice.Client, url, dead string) string {
	t.Helper()
	var out bytes.Buffer
	_, err := sluice.New(client, url, sluice.Options{Logger: slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})), DeadLetterQueueURL: dead})
	require.NoError(t, err, url)
	return out.String()
}
