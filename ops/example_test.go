package ops_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/ops"
	"github.com/sluice-go/sluice/sqstest"
)

func ExampleHealth() {
	queues := sqstest.New()
	consumer, err := sluice.New(queues, queues.MustCreateQueue("orders", nil), sluice.Options{})
	if err != nil {
		log.Fatal(err)
	}
	health := ops.Health(consumer)
	for _, path := range []string{"/livez", "/readyz"} {
		answer := httptest.NewRecorder()
		health.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, path, nil))
		fmt.Printf("%s %d %s", path, answer.Code, answer.Body)
	}
	// Output:
	// /livez 200 ok
	// /readyz 503 orders: no run has begun
}

func ExamplePage() {
	queues := sqstest.New()
	consumer, err := sluice.New(queues, queues.MustCreateQueue("orders", nil), sluice.Options{})
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := context.WithTimeout(context.Background(), time.Second)
	defer stop()
	page := ops.Page(consumer)
	go page.Record(ctx)
	mux := http.NewServeMux()
	mux.Handle("/sluice/", http.StripPrefix("/sluice", page))
	server := &http.Server{Addr: "127.0.0.1:8080", Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	server.RegisterOnShutdown(page.Close) // else Shutdown waits for browsers that watch
	// server.ListenAndServe()
}
