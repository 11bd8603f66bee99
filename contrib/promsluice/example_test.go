package promsluice_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/contrib/promsluice"
	"github.com/sluice-go/sluice/sqstest"
)

// A program of yours takes its own client and queue, and serves promhttp.Handler() at /metrics.
func Example() {
	server := sqstest.New()
	url := server.MustCreateQueue("orders", nil)
	server.Send(url, "first", "second")

	metrics := promsluice.New()
	opts := sluice.Options{MaxMessages: 2} // so that the example ends
	metrics.Install(&opts, url)
	consumer, err := sluice.New(server.Client(), url, opts)
	if err != nil {
		log.Fatal(err)
	}
	metrics.Watch(consumer)
	registry := prometheus.NewRegistry()
	registry.MustRegister(metrics)

	err = consumer.Run(context.Background(), func(context.Context, []*sluice.Message) error { return nil })
	fmt.Println("error:", err)

	page := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(page, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for line := range strings.Lines(page.Body.String()) {
		if strings.HasPrefix(line, "sluice_messages_") {
			fmt.Print(line)
		}
	}
	// Output:
	// error: <nil>
	// sluice_messages_duplicate_total{queue="orders"} 0
	// sluice_messages_received_total{queue="orders"} 2
	// sluice_messages_settled_total{queue="orders",result="deleted"} 2
	// sluice_messages_settled_total{queue="orders",result="given_back"} 0
	// sluice_messages_settled_total{queue="orders",result="unsettled"} 0
	// sluice_messages_total{queue="orders",result="failed"} 0
	// sluice_messages_total{queue="orders",result="succeeded"} 2
}
