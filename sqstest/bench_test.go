package sqstest_test

import (
	"math/rand/v2"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/sqstest"
)

// BenchmarkReceiveDelete sends, receives and deletes ten messages at a time; its cost per message must not depend on
// what else the queue holds.
func BenchmarkReceiveDelete(b *testing.B) {
	for _, queue := range []string{"q", "q.fifo"} {
		for _, size := range []struct{ queued, inFlight int }{{0, 0}, {1_000_000, 0}, {0, 100_000}, {1_000_000, 100_000}} {
			name := queue + "/queued=" + strconv.Itoa(size.queued) + "/inflight=" + strconv.Itoa(size.inFlight)
			b.Run(name, func(b *testing.B) {
				s := sqstest.New()
				url := s.MustCreateQueue(queue, map[string]string{"VisibilityTimeout": "3600"})
				fill(b, s, url, size.inFlight)
				for n := 0; n < size.inFlight; n += 10 {
					_, err := s.ReceiveMessage(b.Context(), &sqs.ReceiveMessageInput{QueueUrl: &url, MaxNumberOfMessages: 10})
					require.NoError(b, err)
				}
				fill(b, s, url, size.queued)
				runtime.GC() // the filling's garbage is not the measured calls'
				b.ReportAllocs()
				before := cpuTime(b)
				for b.Loop() {
					cycle(b, s, url)
				}
				b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N)/10, "cpu-ns/msg")
			})
		}
	}
}

// BenchmarkReceiveDeleteAsInReality is the same on many servers that keep no order and answer with less.
func BenchmarkReceiveDeleteAsInReality(b *testing.B) {
	for _, queue := range []string{"q", "q.fifo"} {
		b.Run(queue+"/queued=300000", func(b *testing.B) {
			s := sqstest.New(sqstest.Servers(200), sqstest.Disorder(100), sqstest.AnswerSize(func(r *rand.Rand) int { return 5 + r.IntN(6) }))
			url := s.MustCreateQueue(queue, map[string]string{"VisibilityTimeout": "3600"})
			fill(b, s, url, 300_000)
			runtime.GC()
			b.ReportAllocs()
			before := cpuTime(b)
			for b.Loop() {
				cycle(b, s, url)
			}
			b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N)/10, "cpu-ns/msg")
		})
	}
}

// cpuTime is what the process has used so far, its garbage collector included: it does not depend on the machine's
// other work.
func cpuTime(b *testing.B) int64 {
	b.Helper()
	var u syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return u.Utime.Nano() + u.Stime.Nano()
}

var bodies = strings.Repeat("x", 100)

func fill(b *testing.B, s *sqstest.Server, url string, n int) {
	b.Helper()
	for ; n > 0; n -= 10 {
		sendTen(b, s, url)
	}
}

var sendCount int

func sendTen(b *testing.B, s *sqstest.Server, url string) {
	b.Helper()
	in := &sqs.SendMessageBatchInput{QueueUrl: &url, Entries: make([]types.SendMessageBatchRequestEntry, 10)}
	for i := range in.Entries {
		in.Entries[i] = types.SendMessageBatchRequestEntry{Id: new(strconv.Itoa(i)), MessageBody: &bodies}
		if strings.HasSuffix(url, ".fifo") {
			sendCount++
			in.Entries[i].MessageGroupId = new(strconv.Itoa(sendCount))
			in.Entries[i].MessageDeduplicationId = new(strconv.Itoa(sendCount))
		}
	}
	_, err := s.SendMessageBatch(b.Context(), in)
	require.NoError(b, err)
}

func cycle(b *testing.B, s *sqstest.Server, url string) {
	b.Helper()
	sendTen(b, s, url)
	out, err := s.ReceiveMessage(b.Context(), &sqs.ReceiveMessageInput{QueueUrl: &url, MaxNumberOfMessages: 10, WaitTimeSeconds: 20})
	require.NoError(b, err)
	in := &sqs.DeleteMessageBatchInput{QueueUrl: &url, Entries: make([]types.DeleteMessageBatchRequestEntry, len(out.Messages))}
	for i, m := range out.Messages {
		in.Entries[i] = types.DeleteMessageBatchRequestEntry{Id: new(strconv.Itoa(i)), ReceiptHandle: m.ReceiptHandle}
	}
	_, err = s.DeleteMessageBatch(b.Context(), in)
	require.NoError(b, err)
}
