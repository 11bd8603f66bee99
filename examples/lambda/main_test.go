//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"github.com/sluice-go/sluice/sqstest"
)

// patience is how long a test waits for other processes. It is never waited for if all is well.
const patience = 2 * time.Minute

// A world is an embedded SQS that the program reaches over HTTP, with the queues of the template.
type world struct {
	*sqstest.Server

	queue, dead string
	env         []string // what a program needs to reach it
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{Server: sqstest.New()}
	w.queue, w.dead = w.MustCreateQueue("orders", nil), w.MustCreateQueue("orders-dead", nil)
	server := httptest.NewServer(w.Server)
	t.Cleanup(server.Close)
	w.env = append(os.Environ(),
		"AWS_ENDPOINT_URL_SQS="+server.URL, "AWS_REGION=us-east-1", "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test", "AWS_SESSION_TOKEN=",
		"QUEUE_URL="+server.URL+"/000000000000/orders", "DEAD_LETTER_QUEUE_URL="+server.URL+"/000000000000/orders-dead")
	return w
}

// orders are four bodies: one that is booked, and one of each kind of failure.
func (w *world) sendOrders() {
	w.Send(w.queue, `{"id":1,"customer":"Ada","cents":250}`, `{"id":2,"customer":"Ben","cents":-1}`,
		`{"id":3,"customer":"Cleo","cents":2000000}`, `{"id":4,"cents":100}`)
}

// build builds the program and returns its file.
func build(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "bootstrap")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, ".").CombinedOutput()
	require.NoError(t, err, "%s", out)
	return binary
}

func TestTheFunctionReportsInTheRuntimeEmulator(t *testing.T) {
	emulator := buildEmulator(t)
	w := newWorld(t)
	w.sendOrders()
	event := receive(t, w)

	address := freeAddress(t)
	start(t, w, emulator, "--runtime-interface-emulator-address", address, "--runtime-api-address", freeAddress(t), build(t))
	answer := invoke(t, "http://"+address+"/2015-03-31/functions/function/invocations", event)
	var report events.SQSEventResponse
	require.NoError(t, json.Unmarshal(answer, &report), "%s", answer)
	require.Equal(t, []events.SQSBatchItemFailure{{ItemIdentifier: event.Records[1].MessageId}, {ItemIdentifier: event.Records[2].MessageId}}, report.BatchItemFailures)

	dead := w.Messages(w.dead)
	require.Len(t, dead, 1)
	require.JSONEq(t, `{"id":4,"cents":100}`, dead[0].Body)
	require.Equal(t, 1, w.Stats().Calls["ChangeMessageVisibilityBatch"].Started, "for the order that waits for the bank")

	answer = invoke(t, "http://"+address+"/2015-03-31/functions/function/invocations", events.SQSEvent{Records: event.Records[1:2]})
	require.Contains(t, string(answer), "all 1 messages failed", "the second call of the same process")
}

func TestTheSameProgramConsumesTheQueue(t *testing.T) {
	w := newWorld(t)
	w.sendOrders()
	program := start(t, w, build(t))
	require.Eventually(t, func() bool { return w.Stats().Total.Deleted == 2 && len(w.Messages(w.dead)) == 1 }, patience, 10*time.Millisecond,
		"the order that is booked and the one that is a dead letter")
	require.NoError(t, program.Process.Signal(syscall.SIGTERM))
	w.Send(w.queue, `{"id":5,"customer":"Dan","cents":100}`) // ends the receive that waits
	require.NoError(t, program.Wait())
}

// buildEmulator builds AWS's runtime interface emulator, a Go module that nobody needs to depend on.
func buildEmulator(t *testing.T) string {
	t.Helper()
	const module = "github.com/aws/aws-lambda-runtime-interface-emulator/cmd/aws-lambda-rie@v0.0.0-20261030222936-bef5c4ba774d"
	folder := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	install := exec.CommandContext(ctx, "go", "install", module)
	install.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=", "GOBIN="+folder)
	if out, err := install.CombinedOutput(); err != nil {
		t.Skipf("SKIPPED: the function is not run in AWS's emulator: go install %s: %v\n%s", module, err, out)
	}
	return filepath.Join(folder, "aws-lambda-rie")
}

// start runs a program until the test's end.
func start(t *testing.T, w *world, name string, args ...string) *exec.Cmd {
	t.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	program := exec.CommandContext(ctx, name, args...)
	program.Env, program.Dir = w.env, t.TempDir()
	program.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // the emulator has children
	program.Cancel = func() error { return syscall.Kill(-program.Process.Pid, syscall.SIGKILL) }
	var text bytes.Buffer
	program.Stdout, program.Stderr = &text, &text
	require.NoError(t, program.Start())
	t.Cleanup(func() {
		stop()
		_ = program.Wait() // killed, or ended and waited for before
		if t.Failed() {
			t.Logf("%s:\n%s", name, text.String())
		}
	})
	return program
}

// freeAddress returns an address on loopback that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	return listener.Addr().String()
}

// invoke calls the function in the emulator, as soon as that listens.
func invoke(t *testing.T, url string, event events.SQSEvent) (answer []byte) {
	t.Helper()
	body, err := json.Marshal(event)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		resp, err := http.Post(url, "application/json", bytes.NewReader(body))
		if err != nil {
			return false // it does not listen yet
		}
		defer resp.Body.Close()
		var text bytes.Buffer
		_, err = text.ReadFrom(resp.Body)
		answer = text.Bytes()
		return err == nil
	}, patience, 100*time.Millisecond)
	return answer
}

// receive returns what Lambda makes of the messages in the queue.
func receive(t *testing.T, w *world) (event events.SQSEvent) {
	t.Helper()
	out, err := w.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{
		QueueUrl: &w.queue, MaxNumberOfMessages: 10, MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
	})
	require.NoError(t, err)
	for _, m := range out.Messages {
		event.Records = append(event.Records, events.SQSMessage{
			MessageId: *m.MessageId, ReceiptHandle: *m.ReceiptHandle, Body: *m.Body, Attributes: m.Attributes,
			EventSource: "aws:sqs", EventSourceARN: "arn:aws:sqs:us-east-1:000000000000:orders", AWSRegion: "us-east-1",
		})
	}
	return event
}

// Each of these costs messages if it is wrong.
func TestTheTemplateHasWhatTheFunctionNeeds(t *testing.T) {
	text, err := os.ReadFile("template.yaml")
	require.NoError(t, err)
	var template struct {
		Resources map[string]struct {
			Properties map[string]yaml.Node `yaml:"Properties"`
		} `yaml:"Resources"`
	}
	require.NoError(t, yaml.Unmarshal(text, &template))
	read := func(resource, property string, into any) {
		node := template.Resources[resource].Properties[property]
		require.NoError(t, node.Decode(into), "%s.%s", resource, property)
	}
	var visibility, timeout, retention int
	read("Orders", "VisibilityTimeout", &visibility)
	read("Book", "Timeout", &timeout)
	require.GreaterOrEqual(t, visibility, 6*timeout)
	read("OrdersDead", "MessageRetentionPeriod", &retention)
	require.Equal(t, 14*24*60*60, retention)

	var redrive struct {
		Receives int    `yaml:"maxReceiveCount"`
		Target   string `yaml:"deadLetterTargetArn"`
	}
	read("Orders", "RedrivePolicy", &redrive)
	require.Greater(t, redrive.Receives, 1)
	require.Equal(t, "OrdersDead.Arn", redrive.Target)

	var mappings map[string]struct {
		Properties struct {
			Queue                 string   `yaml:"Queue"`
			FunctionResponseTypes []string `yaml:"FunctionResponseTypes"`
		} `yaml:"Properties"`
	}
	read("Book", "Events", &mappings)
	require.Equal(t, "Orders.Arn", mappings["Orders"].Properties.Queue)
	require.Equal(t, []string{"ReportBatchItemFailures"}, mappings["Orders"].Properties.FunctionResponseTypes)
}

func TestThePageBeginsWithThisProgram(t *testing.T) {
	page, err := os.ReadFile("../../docs/lambda.md")
	require.NoError(t, err)
	_, after, found := strings.Cut(string(page), "```go\n")
	require.True(t, found)
	program, _, _ := strings.Cut(after, "```")
	own, err := os.ReadFile("main.go")
	require.NoError(t, err)
	require.Equal(t, string(own), program)
}
