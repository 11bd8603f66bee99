package envelope_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/envelope"
	"github.com/sluice-go/sluice/sqstest"
)

// allocated returns how many bytes fn allocates, about.
func allocated(fn func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	fn()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

const canary = "c4n4ry"

// A prudish has a decoder whose errors repeat the value, as those of many types do.
type prudish struct{}

func (*prudish) UnmarshalJSON(data []byte) error {
	return errors.Join(fmt.Errorf("bad value %s", data), json.Unmarshal([]byte("{"), new(int)))
}

// hostiles are bodies that are a golden one with a canary wherever a value can be.
func hostiles(t testing.TB, name string) (bodies []string) {
	t.Helper()
	var members map[string]json.RawMessage
	require.NoError(t, json.Unmarshal([]byte(golden(t, name)), &members))
	for spoiled := range members {
		for _, value := range []string{
			`"` + canary + `"`, `1234567890`, `null`, `{"` + canary + `":"` + canary + `"}`, `["` + canary + `"]`,
			`"` + canary + `","c4n4ry":"` + canary + `","TopicArn":"` + canary + `"`,
		} {
			var body strings.Builder
			body.WriteString(`{"` + canary + `":1`)
			for member, was := range members {
				if member == spoiled {
					was = json.RawMessage(value)
				}
				fmt.Fprintf(&body, ",%q:%s", member, was)
			}
			bodies = append(bodies, body.String()+"}", body.String()+fmt.Sprintf(",%q:%s}", spoiled, value), body.String())
		}
	}
	deep := strings.Repeat(`{"`+canary+`":[`, 5_000)
	return append(bodies, deep, deep+strings.Repeat("]}", 5_000), `"`+canary, canary)
}

// requireQuiet requires that an error, if there is one, repeats nothing of a body. Whoever asks for the causes
// gets no more.
func requireQuiet(t testing.TB, err error) {
	t.Helper()
	for ; err != nil; err = errors.Unwrap(err) {
		require.NotContains(t, err.Error(), canary)
		require.NotContains(t, err.Error(), "4n4r")
		require.NotContains(t, err.Error(), "123456789")
		_, joined := err.(interface{ Unwrap() []error })
		require.False(t, joined, "sluice takes the parts of joined errors for those of several messages, and logs them")
	}
}

func TestErrorsRepeatNothingOfABody(t *testing.T) {
	type picky struct {
		Order int       `json:"order"`
		Item  time.Time `json:"item"`
	}
	for name, decoders := range map[string][]func(body string) error{
		"sns.json":         {decodes[envelope.SNS[picky]](t), decodes[envelope.SNS[prudish]](t)},
		"eventbridge.json": {decodes[envelope.EventBridge[picky]](t), decodes[envelope.EventBridge[prudish]](t)},
		"s3.json":          {decodes[envelope.S3Event](t)},
		"cloudevent.json":  {decodes[envelope.CloudEvent[picky]](t), decodes[envelope.CloudEvent[prudish]](t)},
	} {
		failures := 0
		for _, body := range hostiles(t, name) {
			_, unopened := unwrapOne(t, all, &sluice.Message{Body: body})
			_, compressed := decompress(t, envelope.Limits{}, encoded(body, "gzip"))
			_, unknown := decompress(t, envelope.Limits{}, encoded(body, canary))
			errs := []error{unopened, compressed, unknown}
			for _, decode := range decoders {
				errs = append(errs, decode(body))
			}
			for _, err := range errs {
				requireQuiet(t, err)
				if err != nil {
					failures++
				}
			}
		}
		require.Greater(t, failures, 50, name)
	}
}

// decodes returns what sluice.JSON says of a body that is to be a T.
func decodes[T any](t testing.TB) func(body string) error {
	return func(body string) error {
		_, err := decode[T](t, body)
		return err
	}
}

func TestOneMebibyteOfBracketsFailsQuickly(t *testing.T) {
	brackets := strings.Repeat("[", 1<<20)
	for _, decode := range []func(body string) error{
		decodes[envelope.SNS[string]](t), decodes[envelope.EventBridge[order]](t), decodes[envelope.S3Event](t), decodes[envelope.CloudEvent[order]](t),
	} {
		require.ErrorContains(t, decode(brackets), "exceeded max depth")
		require.ErrorContains(t, decode(`{"Type":`+brackets), "exceeded max depth")
	}
}

func TestTheReasonIsShownThroughJSON(t *testing.T) {
	_, err := decode[envelope.SNS[prudish]](t, golden(t, "sns.json"))
	require.ErrorContains(t, err, "SNS notification: Message: a value is not as its type wants it")
	_, err = decode[envelope.SNS[envelope.EventBridge[time.Time]]](t, inSNS(t, ordersTopic, golden(t, "eventbridge.json")))
	require.ErrorContains(t, err, "SNS notification: Message: EventBridge event: detail: ")
	ours, ok := errors.AsType[*envelope.Error](err)
	require.True(t, ok)
	require.NotNil(t, ours)
}

// A large body is copied a few times, and no more: no map of it is made.
func TestALargeBodyIsCopiedAFewTimesOnly(t *testing.T) {
	const size = 256 << 10
	pad := strings.Repeat("é and ", size/7)
	notification := inSNS(t, ordersTopic, pad)
	escaped := inSNS(t, ordersTopic, strings.Repeat(`"a`, size/3))
	many := `{"TopicArn":"` + ordersTopic + `","Type":"Notification","Message":"x","a":[` + strings.Repeat(`{"b":1},`, size/8) + `1]}`
	event := `{"source":"x","detail-type":"y","detail":{"pad":"` + pad + `"}}`
	for what, fn := range map[string]func(){
		"SNS":                func() { mustDecode[envelope.SNS[string]](t, notification) },
		"an escaped SNS":     func() { mustDecode[envelope.SNS[string]](t, escaped) },
		"Unwrap of escapes":  func() { _, _ = unwrapOne(t, all, &sluice.Message{Body: escaped}) },
		"a wide SNS":         func() { mustDecode[envelope.SNS[string]](t, many) },
		"EventBridge":        func() { mustDecode[envelope.EventBridge[json.RawMessage]](t, event) },
		"Unwrap":             func() { _, _ = unwrapOne(t, all, &sluice.Message{Body: notification}) },
		"Unwrap of a detail": func() { _, _ = unwrapOne(t, all, &sluice.Message{Body: event}) },
		"Unwrap of no JSON":  func() { _, _ = unwrapOne(t, all, &sluice.Message{Body: pad}) },
	} {
		fn() // what is made once
		taken := allocated(fn)
		t.Logf("%s: %.1f times its size", what, float64(taken)/size)
		require.Less(t, taken, uint64(6*size), what)
	}
}

func TestAHandlerMayKeepWhatIsInAnEnvelope(t *testing.T) {
	body := []byte(golden(t, "cloudevent.json"))
	var e envelope.CloudEvent[[]byte]
	require.NoError(t, json.Unmarshal(body, &e))
	want := string(e.Data)
	clear(body)
	require.Equal(t, want, string(e.Data))
}

func TestAConsumerUnwrapsWhatItHandlesAndKeepsTheRestAsItCame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := sqstest.New()
		queue, dead := server.MustCreateQueue("orders", nil), server.MustCreateQueue("dead", nil)
		broken := `{"TopicArn":"` + ordersTopic + `","Type":"Notification","Message":2}`
		server.Send(queue, golden(t, "sns.json"), broken, inSNS(t, ordersTopic, "no order"))

		unwrap := unwrap(t, envelope.Options{Topics: []string{ordersTopic}})
		deadLetters := func(next sluice.Handler) sluice.Handler {
			return func(ctx context.Context, batch []*sluice.Message) error {
				var errs []error
				for m, err := range sluice.Outcomes(batch, next(ctx, batch)) {
					errs = append(errs, sluice.Failed(m, sluice.DeadLetter(err)))
				}
				return errors.Join(errs...)
			}
		}
		consumer, err := sluice.New(server.Client(), queue, sluice.Options{
			BatchSize: 10, DeadLetterQueueURL: dead, Middleware: []func(sluice.Handler) sluice.Handler{deadLetters, unwrap},
			Logger: slog.New(slog.DiscardHandler),
		})
		require.NoError(t, err)
		var handled []order
		require.NoError(t, consumer.Drain(t.Context(), sluice.JSON(func(_ context.Context, o order) error {
			handled = append(handled, o)
			return nil
		})))
		require.Len(t, handled, 1)
		require.Equal(t, 1000, handled[0].Order)

		bodies := map[string]string{}
		drain, err := sluice.New(server.Client(), dead, sluice.Options{Concurrency: 1, Logger: slog.New(slog.DiscardHandler)})
		require.NoError(t, err)
		require.NoError(t, drain.Drain(t.Context(), sluice.Each(func(_ context.Context, m *sluice.Message) error {
			bodies[m.Body] = *m.Attributes["Sluice.Reason"].StringValue
			return nil
		})))
		require.Equal(t, map[string]string{
			broken:                            "envelope: SNS notification: Message is a number, want a string",
			inSNS(t, ordersTopic, "no order"): "decoding the body as envelope_test.order: invalid character 'o' in literal null (expecting 'u')",
		}, bodies, "a dead letter is the message as it came")
	})
}
