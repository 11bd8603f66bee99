package main

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"
)

// start runs the command until the test's end; stop ends it earlier and returns its error.
func start(t *testing.T, args ...string) (endpoint string, stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	out, in := io.Pipe()
	var (
		wg  sync.WaitGroup
		err error
	)
	wg.Go(func() {
		err = run(ctx, append([]string{"-addr", "127.0.0.1:0"}, args...), in, io.Discard)
		_ = in.CloseWithError(err)
	})
	stop = func() error {
		cancel()
		wg.Wait()
		return err
	}
	t.Cleanup(func() { _ = stop() })

	lines := bufio.NewReader(out)
	line, readErr := lines.ReadString('\n')
	require.NoError(t, readErr)
	wg.Go(func() { _, _ = io.Copy(io.Discard, lines) })
	_, endpoint, found := strings.Cut(strings.TrimSpace(line), "ready at ")
	require.True(t, found, line)
	return endpoint, stop
}

func client(endpoint string) *sqs.Client { return clientIn("us-east-1", endpoint) }

func clientIn(region, endpoint string) *sqs.Client {
	return sqs.New(sqs.Options{
		Region: region, BaseEndpoint: &endpoint, RetryMaxAttempts: 1,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "x", SecretAccessKey: "x"}, nil
		}),
	})
}

func TestTheReadyLineIsTrue(t *testing.T) {
	endpoint, stop := start(t, "-queue", "orders", "-queue", "pay.fifo", "-latency", "1ms")
	out, err := client(endpoint).ListQueues(t.Context(), nil)
	require.NoError(t, err)
	require.Equal(t, []string{endpoint + "/000000000000/orders", endpoint + "/000000000000/pay.fifo"}, out.QueueUrls)
	require.NoError(t, stop())
}

func TestTheHelpTellsHowToReachIt(t *testing.T) {
	var stderr bytes.Buffer
	require.ErrorIs(t, run(t.Context(), []string{"-h"}, io.Discard, &stderr), flag.ErrHelp)
	for _, word := range []string{"AWS_ENDPOINT_URL_SQS", "-region", "-account", "-delay", "aws-sdk-go-v2"} {
		require.Contains(t, stderr.String(), word)
	}
}

func TestTheRegionIsTheClients(t *testing.T) {
	endpoint, _ := start(t, "-region", "eu-west-1", "-account", "123456789012", "-queue", "orders")
	for region, name := range map[string]string{"eu-west-1": "orders", "us-west-2": "others"} {
		c := clientIn(region, endpoint)
		out, err := c.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: &name})
		require.NoError(t, err)
		require.Equal(t, endpoint+"/123456789012/"+name, *out.QueueUrl)
		got, err := c.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: out.QueueUrl, AttributeNames: []types.QueueAttributeName{"QueueArn"}})
		require.NoError(t, err)
		require.Equal(t, "arn:aws:sqs:"+region+":123456789012:"+name, got.Attributes["QueueArn"])
	}
	_, err := clientIn("us-west-2", endpoint).GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: new("orders")})
	require.ErrorContains(t, err, "eu-west-1", "the error says where the queue is")
}

func TestItTellsThatItIsUp(t *testing.T) {
	endpoint, _ := start(t, "-latency", "1h")
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, endpoint+"/health", http.NoBody)
	require.NoError(t, err)
	answer, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer answer.Body.Close()
	require.Equal(t, http.StatusOK, answer.StatusCode)
}

func TestItStopsWhileAPollIsOpen(t *testing.T) {
	endpoint, stop := start(t, "-queue", "orders")
	var wg sync.WaitGroup
	var err error
	wg.Go(func() {
		_, err = client(endpoint).ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: new("orders"), WaitTimeSeconds: 20})
	})
	_, listErr := client(endpoint).ListQueues(t.Context(), nil) // by then the poll is most likely there
	require.NoError(t, listErr)
	begin := time.Now()
	require.NoError(t, stop())
	wg.Wait()
	require.Error(t, err, "an empty answer would say that the queue is empty")
	require.Less(t, time.Since(begin), 15*time.Second, "the poll was waited for")
}

func TestAddressesOthersCanReachAreRefused(t *testing.T) {
	for _, addr := range []string{":9324", "0.0.0.0:9324", "[::]:9324", "192.0.2.1:9324", "example.com:9324"} {
		require.ErrorContains(t, run(t.Context(), []string{"-addr", addr}, io.Discard, io.Discard), "-public", addr)
	}
	require.ErrorContains(t, run(t.Context(), []string{"-addr", "nonsense"}, io.Discard, io.Discard), "host:port")
	require.NoError(t, checkLoopback("localhost:0"))
	require.NoError(t, checkLoopback("[::1]:0"))
	require.NoError(t, checkLoopback("127.1.2.3:0"))
}

func TestAUsedPortIsAnError(t *testing.T) {
	used, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer used.Close()
	require.ErrorContains(t, run(t.Context(), []string{"-addr", used.Addr().String()}, io.Discard, io.Discard), "address already in use")
}

func TestMistakesInTheCommandLineAreTold(t *testing.T) {
	for want, args := range map[string][]string{
		"-nonsense":  {"-nonsense"},
		"unexpected": {"orders"},
		"-latency":   {"-latency", "-1s"},
		"-delay":     {"-delay", "-1s"},
		"-region":    {"-region", "EU"},
		"-account":   {"-account", "1"},
	} {
		var stderr bytes.Buffer
		require.ErrorIs(t, run(t.Context(), args, io.Discard, &stderr), errUsage)
		require.Contains(t, stderr.String(), want)
	}
	require.ErrorContains(t, run(t.Context(), []string{"-addr", "127.0.0.1:0", "-queue", "!"}, io.Discard, io.Discard), `creating queue "!"`)
}
