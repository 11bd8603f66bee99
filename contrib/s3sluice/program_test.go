package s3sluice_test

import (
	"context"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/sqstest"
)

func TestThePageBeginsWithTheProgram(t *testing.T) {
	page, err := os.ReadFile("../../docs/large-payloads.md")
	require.NoError(t, err)
	_, after, found := strings.Cut(string(page), "```go\n")
	require.True(t, found)
	program, _, _ := strings.Cut(after, "```")
	own, err := os.ReadFile("example/main.go")
	require.NoError(t, err)
	require.Equal(t, string(own), program)
}

func TestTheProgramSendsAndConsumes(t *testing.T) {
	server := sqstest.New()
	server.MustCreateQueue("orders", nil)
	queues, objects := httptest.NewServer(server), httptest.NewServer(gofakes3.New(s3mem.New()).Server())
	defer queues.Close()
	defer objects.Close()
	runProgram(t, queues.URL, objects.URL)
}

// Moto has both services, and was written by others.
func TestTheProgramSendsAndConsumesWithMoto(t *testing.T) {
	command, err := exec.LookPath("moto_server")
	if err != nil {
		t.Skip("SKIPPED: payloads are not tried with moto: there is no moto_server in PATH (pip install 'moto[server]')")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := listener.Addr().String()
	require.NoError(t, listener.Close())
	_, port, err := net.SplitHostPort(addr)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	moto := exec.CommandContext(ctx, command, "-H", "127.0.0.1", "-p", port)
	require.NoError(t, moto.Start())
	defer func() {
		stop()
		_ = moto.Wait() // killed
	}()
	require.Eventually(t, func() bool {
		conn, err := net.DialTimeout("tcp", addr, time.Second)
		return err == nil && conn.Close() == nil
	}, 2*time.Minute, 100*time.Millisecond)
	runProgram(t, "http://"+addr, "http://"+addr)
}

// runProgram runs the example with servers of SQS and S3, and checks that it leaves nothing behind.
func runProgram(t *testing.T, queues, objects string) {
	t.Helper()
	credentials := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
	})
	sqsClient := sqs.New(sqs.Options{Region: "us-east-1", BaseEndpoint: &queues, Credentials: credentials})
	s3Client := clientOf(objects, nil)
	queue, err := sqsClient.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: new("orders")})
	require.NoError(t, err)
	_, err = s3Client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: new(bucket)})
	require.NoError(t, err)
	// A message of another client, in the older format.
	put(t, s3Client, "orders/older", strings.Repeat("é", 1<<20))
	older := pointerTo("", "orders/older", 2<<20)
	text := strings.Replace(older.Body, newClass, oldClass, 1)
	_, err = sqsClient.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: queue.QueueUrl, MessageBody: &text, MessageAttributes: older.Attributes})
	require.NoError(t, err)

	binary := filepath.Join(t.TempDir(), "example")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "./example").CombinedOutput()
	require.NoError(t, err, "%s", out)
	program := exec.CommandContext(t.Context(), binary)
	program.Env = append(os.Environ(), "AWS_ENDPOINT_URL_SQS="+queues, "AWS_ENDPOINT_URL_S3="+objects, "AWS_REGION=us-east-1",
		"AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test", "AWS_SESSION_TOKEN=", "QUEUE_URL="+*queue.QueueUrl, "BUCKET="+bucket)
	out, err = program.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "an order of 3145725 bytes")
	require.Contains(t, string(out), "an order of 2097152 bytes")
	list, err := s3Client.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: new(bucket)})
	require.NoError(t, err)
	require.Empty(t, list.Contents)
}
