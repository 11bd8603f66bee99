package promsluice_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/contrib/promsluice"
	"github.com/sluice-go/sluice/sqstest"
)

// scrape returns what Prometheus is given, without comments.
func scrape(t require.TestingT, c prometheus.Collector) string {
	registry := prometheus.NewPedanticRegistry()
	require.NoError(t, registry.Register(c))
	w := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	body, err := io.ReadAll(w.Body)
	require.NoError(t, err)
	return regexp.MustCompile(`(?m)^#.*\n`).ReplaceAllString(string(body), "")
}

// everything lets all happen of which Stats has a row, and scrapes while a handler runs and after
// the run.
func everything(t *testing.T) (during, after string, stats []sluice.Stats, now []time.Time) {
	server := sqstest.New()
	url, dead := server.MustCreateQueue("orders", nil), server.MustCreateQueue("dead", nil)
	server.Send(url, "canary 1", "canary 2", "canary 3", "canary 4")
	server.Inject(sqstest.Fault{Op: "ReceiveMessage", Times: 1, Err: sqstest.Throttled()})
	server.Inject(sqstest.Fault{Op: "ReceiveMessage", Skip: 1, Times: 1, Twice: true})

	metrics := promsluice.New()
	opts := sluice.Options{
		Concurrency: 1, DeadLetterQueueURL: dead, Logger: slog.New(slog.DiscardHandler),
		RetryDelay: func(*sluice.Message, error) time.Duration { return time.Hour },
	}
	metrics.Install(&opts, url)
	c, err := sluice.New(server, url, opts)
	require.NoError(t, err)
	metrics.Watch(c, c)
	require.NotContains(t, scrape(t, metrics), "sluice_last_receive", "there was none")

	ctx, stop := context.WithCancel(t.Context())
	calls := 0
	require.NoError(t, c.Run(ctx, func(context.Context, []*sluice.Message) error {
		time.Sleep(time.Minute)
		switch calls++; calls {
		case 1:
			return errors.New("canary")
		case 2:
			return sluice.DeadLetter(errors.New("canary"))
		case 3:
			panic("canary")
		}
		synctest.Wait() // nothing goes on meanwhile
		during, stats, now = scrape(t, metrics), append(stats, c.Stats()), append(now, time.Now())
		stop()
		return nil
	}))
	return during, scrape(t, metrics), append(stats, c.Stats()), append(now, time.Now())
}

func TestAScrapeHasAllOfAConsumer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		during, after, _, _ := everything(t)
		for _, line := range []string{
			`sluice_handlers{queue="orders"} 1`,
			`sluice_handlers_limit{queue="orders"} 1`,
			`sluice_oldest_handler_seconds{queue="orders"} 60`,
			`sluice_in_flight_messages{queue="orders"} 1`,
			`sluice_in_flight_bytes{queue="orders"} 8`,
			`sluice_in_flight_limit_bytes{queue="orders"} 6.7108864e+07`,
			`sluice_state{queue="orders",state="stopped"} 0`,
		} {
			require.Contains(t, during, line+"\n")
		}
		for _, line := range []string{
			`sluice_handlers{queue="orders"} 0`,
			`sluice_oldest_handler_seconds{queue="orders"} 0`,
			`sluice_state{queue="orders",state="stopped"} 1`,
			`sluice_state{queue="orders",state="falling_behind"} 0`,
			`sluice_messages_total{queue="orders",result="succeeded"} 1`,
			`sluice_messages_total{queue="orders",result="failed"} 3`,
			`sluice_messages_settled_total{queue="orders",result="deleted"} 2`,
			`sluice_messages_settled_total{queue="orders",result="given_back"} 2`,
			`sluice_dead_letters_total{queue="orders"} 1`,
			`sluice_messages_settled_total{queue="orders",result="unsettled"} 0`,
			`sluice_panics_total{queue="orders"} 1`,
			`sluice_batches_total{queue="orders",reason="full"} 4`,
			`sluice_batches_total{queue="orders",reason="wait_time"} 0`,
			`sluice_call_errors_total{operation="ReceiveMessage",queue="orders"} 1`,
			`sluice_handler_duration_seconds_count{queue="orders"} 4`,
			`sluice_handler_duration_seconds_sum{queue="orders"} 240`,
			`sluice_dwell_seconds_count{queue="orders"} 4`,
			`sluice_batch_size_messages_bucket{queue="orders",le="1"} 4`,
			`sluice_batch_size_messages_sum{queue="orders"} 4`,
		} {
			require.Contains(t, after, line+"\n")
		}
		require.NotContains(t, during+after, "canary")
	})
}

// Each number of Stats has its metric. A field that is new must be added to the metrics and here.
func TestEachFieldOfStatsIsAMetric(t *testing.T) {
	metricOf := map[string]string{
		"Received": `sluice_messages_received_total{queue="orders"}`, "Duplicates": `sluice_messages_duplicate_total{queue="orders"}`,
		"Succeeded": `sluice_messages_total{queue="orders",result="succeeded"}`, "Failed": `sluice_messages_total{queue="orders",result="failed"}`,
		"Panics": `sluice_panics_total{queue="orders"}`, "Deleted": `sluice_messages_settled_total{queue="orders",result="deleted"}`,
		"GivenBack": `sluice_messages_settled_total{queue="orders",result="given_back"}`, "DeadLettered": `sluice_dead_letters_total{queue="orders"}`,
		"Unsettled": `sluice_messages_settled_total{queue="orders",result="unsettled"}`, "LeasesLost": `sluice_leases_lost_total{queue="orders"}`,
		"Batches": `sluice_batches_total{queue="orders",reason="%s"}`, "Calls": `sluice_calls_total{operation="%s",queue="orders"}`,
		"Errors":   `sluice_call_errors_total{operation="%s",queue="orders"}`,
		"InFlight": `sluice_in_flight_messages{queue="orders"}`, "BytesInFlight": `sluice_in_flight_bytes{queue="orders"}`,
		"Handlers": `sluice_handlers{queue="orders"}`, "OldestHandler": `sluice_oldest_handler_seconds{queue="orders"}`,
		"LastReceive": `sluice_last_receive_timestamp_seconds{queue="orders"}`, "Receives": `sluice_receives{queue="orders"}`,
		"ReceivesMost": `sluice_receives_limit{queue="orders"}`, "Lag": `sluice_lag_seconds{queue="orders"}`, "LeaseMargin": `sluice_lease_margin_seconds{queue="orders"}`,
		"BatchMessages": `sluice_batch_messages_total{queue="orders"}`, "ReceiveCounts": `sluice_message_receive_counts_total{queue="orders",receive_count="%s"}`,
		"Transport": `sluice_transport{queue="orders",transport="%s"}`, "HooksDropped": `sluice_hooks_dropped_total{queue="orders"}`,
	}
	synctest.Test(t, func(t *testing.T) {
		during, after, stats, now := everything(t)
		for i, scraped := range []string{during, after} {
			s := reflect.ValueOf(stats[i])
			for _, field := range reflect.VisibleFields(s.Type()) {
				metric, ok := metricOf[field.Name]
				require.True(t, ok, "Stats.%s is no metric", field.Name)
				for key, value := range numbers(s.FieldByIndex(field.Index), field.Name, now[i]) {
					name := metric
					if strings.Contains(metric, "%s") {
						name = fmt.Sprintf(metric, key)
					}
					require.Contains(t, scraped, fmt.Sprintf("%s %s\n", name, value), field.Name)
				}
			}
			require.Len(t, metricOf, s.NumField())
		}
	})
}

// numbers returns the numbers in a field, as Prometheus writes them at a time. Those of a map are by
// its keys.
func numbers(v reflect.Value, field string, now time.Time) map[string]string {
	number := func(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }
	rows := map[string]string{}
	switch value := v.Interface().(type) {
	case time.Duration:
		rows[""] = number(value.Seconds())
	case time.Time:
		switch {
		case field == "LastReceive":
			rows[""] = number(float64(value.UnixNano()) / 1e9)
		case value.IsZero():
			rows[""] = "0"
		default:
			rows[""] = number(now.Sub(value).Seconds())
		}
	case map[string]int64:
		for key, n := range value {
			rows[key] = number(float64(n))
		}
	case string:
		kind, _, _ := strings.Cut(value, ":")
		rows[kind] = "1"
	case map[int]int64:
		for key, n := range value {
			rows[strconv.Itoa(key)] = number(float64(n))
		}
	case map[sluice.Reason]int64:
		for key, n := range value {
			rows[strings.ReplaceAll(key.String(), " ", "_")] = number(float64(n))
		}
	default:
		rows[""] = number(float64(v.Int()))
	}
	return rows
}

func TestMetricsPassPrometheussLint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := sqstest.New()
		url := server.MustCreateQueue("orders", nil)
		metrics := promsluice.New()
		var opts sluice.Options
		metrics.Install(&opts, url)
		c, err := sluice.New(server, url, opts)
		require.NoError(t, err)
		metrics.Watch(c)
		require.NoError(t, c.Drain(t.Context(), func(context.Context, []*sluice.Message) error { return nil }))

		registry := prometheus.NewPedanticRegistry()
		require.NoError(t, registry.Register(metrics))
		problems, err := testutil.GatherAndLint(registry)
		require.NoError(t, err)
		require.Empty(t, problems)
	})
}

func TestConsumersOfQueuesOfOneNameAreToldApart(t *testing.T) {
	var consumers []*sluice.Consumer
	for _, region := range []string{"eu-central-1", "us-east-1", "eu-central-1"} {
		url := "https://sqs." + region + ".amazonaws.com/123456789012/orders"
		c, err := sluice.New(sqstest.New(), url, sluice.Options{})
		require.NoError(t, err)
		consumers = append(consumers, c)
	}
	scraped := scrape(t, promsluice.New(consumers...))
	for _, queue := range []string{"orders", "orders/2", "orders/3"} {
		require.Contains(t, scraped, fmt.Sprintf("sluice_handlers{queue=%q} 0\n", queue))
	}
}

func TestWithoutConsumersThereIsNothing(t *testing.T) {
	require.Empty(t, scrape(t, promsluice.New()))
}

func TestInstallKeepsTheHooksThatAreThere(t *testing.T) {
	called := false
	opts := sluice.Options{Hooks: sluice.Hooks{Batch: func(sluice.BatchEvent) { called = true }}}
	promsluice.New().Install(&opts, "https://sqs.eu-central-1.amazonaws.com/123456789012/orders")
	opts.Hooks.Batch(sluice.BatchEvent{})
	require.True(t, called)
}

// The page has a table of all metrics, and of no others.
func TestThePageHasAllMetrics(t *testing.T) {
	page, err := os.ReadFile("../../docs/telemetry.md")
	require.NoError(t, err)
	_, text, found := strings.Cut(string(page), "\n## Prometheus")
	require.True(t, found)
	told := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| `(sluice_[a-z_]+)`").FindAllStringSubmatch(text, -1) {
		told[row[1]] = true
	}
	described := map[string]bool{}
	ch := make(chan *prometheus.Desc, 100)
	promsluice.New().Describe(ch)
	close(ch)
	for d := range ch {
		described[regexp.MustCompile(`fqName: "([^"]+)"`).FindStringSubmatch(d.String())[1]] = true
	}
	require.Equal(t, slices.Sorted(maps.Keys(described)), slices.Sorted(maps.Keys(told)))
}
