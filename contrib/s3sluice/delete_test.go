package s3sluice_test

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/contrib/s3sluice"
	"github.com/sluice-go/sluice/sqstest"
)

// deleter returns a Deleter for the bucket.
func deleter(t *testing.T, client s3sluice.DeleteObjectClient, o s3sluice.Options) *s3sluice.Deleter {
	t.Helper()
	o.Buckets = []string{bucket}
	d, err := s3sluice.NewDeleter(client, o)
	require.NoError(t, err)
	return d
}

// left returns the keys of the objects that are there.
func (o *objects) left() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Sorted(maps.Keys(o.bodies))
}

func TestAPayloadGoesWhenItsMessageIsDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &objects{bodies: map[string]string{}}
		settled, err := consume(t, sqstest.New(), o, "ok", "discard", "dead", "retry")
		require.NoError(t, err)
		require.Equal(t, map[sluice.SettleResult]int{sluice.ResultDeleted: 2, sluice.ResultDeadLettered: 1, sluice.ResultGivenBack: 1}, settled)
		require.Equal(t, []string{"kdead", "kretry"}, o.left())
	})
}

func TestAPayloadStaysUntilTheDeleteOfItsMessageIsConfirmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, after := range []bool{false, true} { // the delete, or only its answer, is lost
			server, o := sqstest.New(), &objects{bodies: map[string]string{}}
			server.Inject(sqstest.Fault{Op: "DeleteMessageBatch", Err: errBad, After: after})
			settled, _ := consume(t, server, o, "ok") // the run ends and leaves something, or its lease was lost
			require.Empty(t, settled)
			require.Equal(t, []string{"kok"}, o.left())
		}
	})
}

// consume consumes messages that point to payloads with the given bodies, which say what the handler
// does, with a Deleter. It returns what was settled, and Run's error.
func consume(t *testing.T, server *sqstest.Server, o *objects, bodies ...string) (settled map[sluice.SettleResult]int, err error) {
	t.Helper()
	queue, dead := server.MustCreateQueue("orders", nil), server.MustCreateQueue("orders-dead", nil)
	for _, m := range o.pointers(nil, bodies...) {
		_, err := server.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &queue, MessageBody: &m.Body, MessageAttributes: m.Attributes})
		require.NoError(t, err)
	}
	settled = map[sluice.SettleResult]int{}
	remove := deleter(t, o, s3sluice.Options{})
	c, err := sluice.New(server, queue, sluice.Options{
		DeadLetterQueueURL: dead, MaxDuration: 10 * time.Second, Logger: slog.New(slog.DiscardHandler),
		Middleware: []func(sluice.Handler) sluice.Handler{fetch(t, o, s3sluice.Options{})},
		Hooks: sluice.Hooks{Settled: func(e sluice.SettledEvent) {
			settled[e.Result] += len(e.Messages)
			for _, m := range e.Messages {
				require.Contains(t, o.left(), keyIn(m), "nothing is deleted before")
			}
		}}.And(sluice.Hooks{Settled: remove.Settled}),
	})
	require.NoError(t, err)
	err = c.Run(t.Context(), sluice.Each(func(_ context.Context, m *sluice.Message) error {
		switch m.Body {
		case "discard":
			return sluice.Discard(errBad)
		case "dead":
			return sluice.DeadLetter(errBad)
		case "retry":
			return sluice.RetryAfter(time.Hour, errBad)
		default:
			return nil
		}
	}))
	remove.Wait()
	return settled, err
}

// keyIn returns the key in a message of pointerTo.
func keyIn(m *sluice.Message) string {
	_, key, _ := strings.Cut(m.Body, `"s3Key":"`)
	return strings.TrimSuffix(key, `"}]`)
}

func TestADeleterDeletesNothingElse(t *testing.T) {
	o := &objects{bodies: map[string]string{}}
	m := pointerTo("a", "secret", 10)
	foreign := *m
	foreign.Body = strings.ReplaceAll(m.Body, bucket, "another-bucket")
	plain := *m
	plain.Attributes = nil
	deleter(t, o, s3sluice.Options{Prefix: "orders/"}).Settled(sluice.SettledEvent{Result: sluice.ResultDeleted, Messages: []*sluice.Message{m, &foreign, &plain, {}}})
	require.Empty(t, o.gets)
}

func TestADeleteThatFailsIsALogLineWithoutTheKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var text strings.Builder
		logger := slog.New(slog.NewTextHandler(&text, nil))
		o := &objects{bodies: map[string]string{}, fail: map[string]error{"secret": &smithy.GenericAPIError{Code: "AccessDenied", Message: "secret"}}}
		for _, client := range []s3sluice.DeleteObjectClient{o, panickingDeletes{}} {
			d := deleter(t, client, s3sluice.Options{Logger: logger, Parallel: 1})
			d.Settled(sluice.SettledEvent{Result: sluice.ResultDeleted, Messages: []*sluice.Message{pointerTo("a", "secret", 10)}})
			d.Wait()
		}
		require.Contains(t, text.String(), `level=WARN msg="a payload could not be deleted" bucket=orders-payloads message_id=a error=AccessDenied`)
		require.Contains(t, text.String(), `error="the S3 client panicked: oh"`)
		require.NotContains(t, text.String(), "secret")
	})
}

type panickingDeletes struct{}

func (panickingDeletes) DeleteObject(context.Context, *s3.DeleteObjectInput, ...func(*s3.Options)) (*s3.DeleteObjectOutput, error) {
	panic("oh")
}

func TestDeletesRunInParallelAndAreWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &objects{bodies: map[string]string{}}
		d := deleter(t, o, s3sluice.Options{Parallel: 2})
		began := time.Now()
		d.Settled(sluice.SettledEvent{Result: sluice.ResultDeleted, Messages: o.pointers(nil, "a", "b", "c", "d", "e")})
		require.Equal(t, 2*time.Second, time.Since(began), "the fifth has begun")
		d.Wait()
		require.Equal(t, 3*time.Second, time.Since(began))
		require.Empty(t, o.left())
	})
}

func TestADeletedPayloadOfS3IsGone(t *testing.T) {
	client := fakeS3(t)
	put(t, client, "ka", "payload")
	d := deleter(t, client, s3sluice.Options{})
	for range 2 { // SQS may confirm a delete twice
		d.Settled(sluice.SettledEvent{Result: sluice.ResultDeleted, Messages: []*sluice.Message{pointerTo("a", "ka", 7)}})
		d.Wait()
	}
	_, err := client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: new(bucket), Key: new("ka")})
	api, ok := errors.AsType[smithy.APIError](err)
	require.True(t, ok)
	require.Equal(t, "NoSuchKey", api.ErrorCode())
}
