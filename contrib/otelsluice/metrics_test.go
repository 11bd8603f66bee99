package otelsluice_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/contrib/otelsluice"
	"github.com/sluice-go/sluice/sqstest"
)

// everything lets all happen of which there is telemetry, and looks at it while the last handler
// runs. Bodies, attributes and groups have the word canary in them.
func everything(w *world, size int) (spans []sdktrace.ReadOnlySpan, all map[string]metricdata.Metrics) {
	w.cfg.SettleSpans = true
	dead := w.server.MustCreateQueue("orders-dead", nil)
	for n := range 3 {
		w.send(fmt.Sprint("canary ", n), map[string]string{"traceparent": traceparent(n), "canary-name": "canary-value"})
	}
	remove := w.server.Inject(sqstest.Fault{Op: "ReceiveMessage", Times: 1, Err: sqstest.Throttled()})
	defer remove()
	c := w.consumer(sluice.Options{
		BatchSize: size, WaitTime: time.Second, Concurrency: 1, DeadLetterQueueURL: dead, VisibilityTimeout: 30 * time.Second,
		RetryDelay: func(*sluice.Message, error) time.Duration { return time.Hour },
	})
	registration, err := otelsluice.Observe(c, w.cfg)
	require.NoError(w, err)
	defer func() { require.NoError(w, registration.Unregister()) }()

	ctx, stop := context.WithCancel(w.Context())
	handled := 0
	require.NoError(w, c.Run(ctx, func(ctx context.Context, batch []*sluice.Message) error {
		time.Sleep(40 * time.Second) // so that leases are renewed
		var errs []error
		for _, m := range batch {
			switch handled++; handled {
			case 1:
				errs = append(errs, sluice.Failed(m, errors.New("canary: "+m.Body)))
			case 2:
				errs = append(errs, sluice.Failed(m, sluice.DeadLetter(errors.New("canary"))))
			case 3:
				_, err := w.server.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: &w.url, ReceiptHandle: &m.ReceiptHandle})
				require.NoError(w, err)
				<-ctx.Done()    // the lease is lost
				synctest.Wait() // hooks have been called
				all = w.metrics()
				stop()
			}
		}
		return errors.Join(errs...)
	}))
	after := w.metrics()
	for name, m := range after { // hooks come a little after the fact
		if !strings.HasPrefix(name, "sluice.handlers") && !strings.HasPrefix(name, "sluice.in_flight") && !strings.HasPrefix(name, "sluice.receives") {
			all[name] = m
		}
	}
	return w.spans.Ended(), all
}

// lines writes metrics as lines: name, unit, kind, and the attributes of each of its points.
func lines(all map[string]metricdata.Metrics) (out []string) {
	for _, m := range all {
		add := func(kind string, set attribute.Set, value any) {
			var attributes []string
			for iter := set.Iter(); iter.Next(); {
				kv := iter.Attribute()
				attributes = append(attributes, fmt.Sprintf("%s=%s", kv.Key, kv.Value.String()))
			}
			out = append(out, fmt.Sprintf("%s %s %s %v {%s}", m.Name, m.Unit, kind, value, strings.Join(attributes, " ")))
		}
		switch data := m.Data.(type) {
		case metricdata.Histogram[float64]:
			for _, p := range data.DataPoints {
				add("histogram", p.Attributes, p.Count)
			}
		case metricdata.Histogram[int64]:
			for _, p := range data.DataPoints {
				add("histogram", p.Attributes, p.Count)
			}
		case metricdata.Sum[int64]:
			for _, p := range data.DataPoints {
				add("counter", p.Attributes, p.Value)
			}
		case metricdata.Sum[float64]:
			for _, p := range data.DataPoints {
				add("counter", p.Attributes, p.Value)
			}
		case metricdata.Gauge[float64]:
			for _, p := range data.DataPoints {
				add("gauge", p.Attributes, p.Value)
			}
		default:
			panic(fmt.Sprintf("%T", data))
		}
	}
	slices.Sort(out)
	return out
}

func TestMetricsAreAsTheConventionsSay(t *testing.T) {
	tell(t, func(w *world) {
		_, all := everything(w, 3)
		for name, want := range map[string]string{
			"messaging.process.duration":          "Duration of processing operation.",
			"messaging.client.operation.duration": "Duration of messaging operation initiated by a producer or consumer client.",
			"messaging.client.consumed.messages":  "Number of messages that were delivered to the application.",
		} {
			require.Equal(w, want, all[name].Description)
		}
		first14 := []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}
		for _, name := range []string{"messaging.process.duration", "messaging.client.operation.duration"} {
			require.Equal(w, first14, all[name].Data.(metricdata.Histogram[float64]).DataPoints[0].Bounds[:14])
		}
		require.Contains(w, all["messaging.process.duration"].Data.(metricdata.Histogram[float64]).DataPoints[0].Bounds, 900.0)
	})
}

// The golden files are what a user's backend gets. To write them anew: UPDATE=1 go test.
func TestSpansAndMetricsAreThoseOfTheGoldenFiles(t *testing.T) {
	for _, size := range []int{1, 3} {
		t.Run(fmt.Sprint("batch size ", size), func(t *testing.T) {
			tell(t, func(w *world) {
				spans, all := everything(w, size)
				var told []string
				for _, s := range spans {
					one := fmt.Sprintf("%s %s, %d links, status %s %q\n", s.SpanKind(), s.Name(), len(s.Links()), s.Status().Code, s.Status().Description)
					for line := range strings.Lines(attributesOf(s.Attributes())) {
						one += "    " + regexp.MustCompile(`message.id = .*`).ReplaceAllString(line, "message.id = …")
					}
					told = append(told, one)
				}
				for _, line := range lines(all) { // not the values: how many calls there are is the consumer's business
					told = append(told, regexp.MustCompile(` \S+ \{`).ReplaceAllString(line, " {")+"\n")
				}
				slices.Sort(told)
				golden(w.T, fmt.Sprintf("testdata/batch-size-%d.golden", size), strings.Join(slices.Compact(told), ""))
			})
		})
	}
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if os.Getenv("UPDATE") != "" {
		require.NoError(t, os.WriteFile(file, []byte(got), 0o600))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), got)
}

func TestTelemetryHasNothingOfWhatMessagesSay(t *testing.T) {
	for _, size := range []int{1, 3} {
		tell(t, func(w *world) {
			spans, all := everything(w, size)
			handles := w.server.Messages(w.url)
			require.NotEmpty(w, handles)
			text := strings.Join(lines(all), "\n")
			for _, s := range spans {
				text += fmt.Sprintln(s.Name(), s.Status(), attributesOf(s.Attributes()), s.Events())
				for _, l := range s.Links() {
					text += attributesOf(l.Attributes)
				}
			}
			require.NotContains(w, text, "canary")
			require.Contains(w, text, "process orders")
		})
	}
}

// The page has a table of each attribute and metric. Whatever is in telemetry is in it, and the
// other way around.
func TestThePageHasAllSpansAndMetrics(t *testing.T) {
	page, err := os.ReadFile("../../docs/telemetry.md")
	require.NoError(t, err)
	text, _, found := strings.Cut(string(page), "\n## Prometheus")
	require.True(t, found)
	told := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_.]+)`").FindAllStringSubmatch(text, -1) {
		told[row[1]] = true
	}
	seen := map[string]bool{
		"sluice.links.omitted": true, // see TestLinksAreBoundedAndDifferentOnesComeFirst
	}
	for _, size := range []int{1, 3} {
		tell(t, func(w *world) {
			spans, all := everything(w, size)
			for name := range all {
				seen[name] = true
			}
			for _, s := range spans {
				for _, kv := range s.Attributes() {
					seen[string(kv.Key)] = true
				}
			}
			for line := range strings.Lines(strings.Join(lines(all), "\n")) {
				for _, kv := range regexp.MustCompile(`([a-z_.]+)=`).FindAllStringSubmatch(line, -1) {
					seen[kv[1]] = true
				}
			}
		})
	}
	require.Equal(t, slices.Sorted(maps.Keys(seen)), slices.Sorted(maps.Keys(told)))
}

func TestMetricsCountWhatHappened(t *testing.T) {
	tell(t, func(w *world) {
		_, all := everything(w, 3)
		var counts []string
		for _, line := range lines(all) {
			i := strings.LastIndexByte(line, '{')
			what, attributes := line[:i-1], line[i:]
			_, row, _ := strings.Cut(attributes, " sluice.")
			counts = append(counts, strings.TrimRight(what+" "+row, "} "))
		}
		require.Subset(w, counts, []string{
			"messaging.client.consumed.messages {message} counter 3",
			"messaging.process.duration s histogram 1",
			"sluice.batch.fill.duration s histogram 1 batch.reason=full",
			"sluice.batch.size {message} histogram 1 batch.reason=full",
			"sluice.dwell s histogram 3",
			"sluice.leases.lost {message} counter 1",
			"sluice.in_flight.messages {message} gauge 3",
			"sluice.handlers.running {call} gauge 1",
			"sluice.messages.handled {message} counter 1 result=succeeded",
			"sluice.messages.handled {message} counter 2 result=failed",
			"sluice.messages.settled {message} counter 2 result=deleted",
			"sluice.messages.settled {message} counter 1 result=given back",
			"sluice.messages.dead_lettered {message} counter 1",
			"sluice.state 1 gauge 1 state=stopped",
		})
	})
}

func TestThePageHasTheProgram(t *testing.T) {
	page, err := os.ReadFile("../../docs/telemetry.md")
	require.NoError(t, err)
	program, err := os.ReadFile("examples/trace/main.go")
	require.NoError(t, err)
	_, code, _ := strings.Cut(string(program), "package main")
	require.Contains(t, string(page), "```go\npackage main"+code+"```\n")
}

func TestDwellIsOfTheFirstHandlingOnly(t *testing.T) {
	tell(t, func(w *world) {
		w.server.Send(w.url, "a")
		time.Sleep(time.Hour)
		calls := 0
		w.drain(sluice.Options{RetryDelay: func(*sluice.Message, error) time.Duration { return 0 }}, func(context.Context, []*sluice.Message) error {
			if calls++; calls < 3 {
				return errors.New("bad")
			}
			return nil
		})
		require.Equal(w, 3, calls)
		points := w.metrics()["sluice.dwell"].Data.(metricdata.Histogram[float64]).DataPoints
		require.Len(w, points, 1)
		require.EqualValues(w, 1, points[0].Count)
		require.InDelta(w, 3600, points[0].Sum, 0.001)
	})
}

func TestAMessageOfTheFutureHasNotWaited(t *testing.T) {
	tell(t, func(w *world) {
		require.NoError(w, w.call(sluice.Options{}, succeed, &sluice.Message{SentAt: time.Now().Add(time.Hour)}))
		require.Zero(w, w.metrics()["sluice.dwell"].Data.(metricdata.Histogram[float64]).DataPoints[0].Sum)
	})
}

func TestADurationCanBeFollowedToItsSpan(t *testing.T) {
	tell(t, func(w *world) {
		require.NoError(w, w.call(sluice.Options{}, succeed, from(1)))
		exemplars := w.metrics()["messaging.process.duration"].Data.(metricdata.Histogram[float64]).DataPoints[0].Exemplars
		require.Len(w, exemplars, 1)
		id := producer(1).TraceID()
		require.Equal(w, id[:], exemplars[0].TraceID)
	})
}

func TestAServerThatIsNotSQSMakesNoMetricsOfItsOwn(t *testing.T) {
	for code, want := range map[string]string{
		"OverLimit": "OverLimit", "AWS.SimpleQueueService.NonExistentQueue": "AWS.SimpleQueueService.NonExistentQueue",
		"<html> 12345": "_OTHER", strings.Repeat("x", 81): "_OTHER", "": "_OTHER",
	} {
		require.Equal(t, want, otelsluice.KindOfCall(fmt.Errorf("x: %w", apiError(code))))
	}
	require.Equal(t, "timeout", otelsluice.KindOfCall(fmt.Errorf("x: %w", context.DeadlineExceeded)))
	require.Equal(t, "canceled", otelsluice.KindOfCall(context.Canceled))
	require.Equal(t, "network", otelsluice.KindOfCall(fmt.Errorf("x: %w", sqstest.Reset())))
}

func TestAQueueIsToldByItsURL(t *testing.T) {
	for url, want := range map[string]string{
		"https://sqs.eu-central-1.amazonaws.com/123456789012/orders.fifo": "orders.fifo sqs.eu-central-1.amazonaws.com 443",
		"http://localhost:4566/000000000000/orders/":                      "orders localhost 4566",
		"http://[::1]:1/a/b": "b ::1 1",
		"orders":             "orders",
		"":                   "",
		"http://%zz":         "http://%zz",
	} {
		opts := sluice.Options{}
		w := newWorld(t)
		w.url = url
		require.NoError(t, w.call(opts, succeed, from(1)))
		var got []string
		s := w.spans.Ended()[0]
		for _, key := range []attribute.Key{"messaging.destination.name", "server.address", "server.port"} {
			for _, kv := range s.Attributes() {
				if kv.Key == key && kv.Value.String() != "" {
					got = append(got, kv.Value.String())
				}
			}
		}
		require.Equal(t, want, strings.Join(got, " "))
	}
}

func TestObserveShowsAConsumerUntilItIsUnregistered(t *testing.T) {
	tell(t, func(w *world) {
		w.server.Send(w.url, "a")
		c := w.consumer(sluice.Options{})
		w.cfg.Attributes = []attribute.KeyValue{attribute.String("part", "one")}
		registration, err := otelsluice.Observe(c, w.cfg)
		require.NoError(w, err)
		require.NoError(w, c.Drain(w.Context(), func(context.Context, []*sluice.Message) error {
			time.Sleep(time.Minute)
			all := lines(w.metrics())
			const who = "{messaging.destination.name=orders messaging.system=aws_sqs part=one server.address=sqs.us-east-1.localhost server.port=80}"
			require.Contains(w, all, "sluice.handlers.oldest s gauge 60 "+who)
			require.Contains(w, all, "sluice.in_flight.messages {message} gauge 1 "+who)
			require.Contains(w, all, "sluice.in_flight.size By gauge 1 "+who)
			return nil
		}))
		require.NoError(w, registration.Unregister())
		require.NotContains(w, w.metrics(), "sluice.handlers.oldest")
	})
}

func TestInstrumentsThatCannotBeMadeAreReported(t *testing.T) {
	w := newWorld(t)
	c := w.consumer(sluice.Options{})
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader()))
	require.NoError(t, meters.Shutdown(t.Context()))
	_, err := otelsluice.Observe(c, otelsluice.Config{MeterProvider: meters})
	require.NoError(t, err, "a provider that is shut down has instruments that do nothing")
}

// Without a program's SDK a handler call gets no slower by memory that the garbage collector has
// to find again.
func TestWithoutAnSDKAHandlerCallCostsNoMemory(t *testing.T) {
	for name, batch := range map[string][]*sluice.Message{"one message": {from(1)}, "a batch": {from(1), from(2)}} {
		t.Run(name, func(t *testing.T) {
			h := installed(noops(), len(batch))
			ctx := trace.ContextWithSpanContext(t.Context(), producer(99))
			most := map[int]float64{1: 0, 2: 1}[len(batch)] // a batch is copied, since its handler may change the slice
			require.LessOrEqual(t, testing.AllocsPerRun(100, func() { _ = h(ctx, batch) }), most)
		})
	}
}
