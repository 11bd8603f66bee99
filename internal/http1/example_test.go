package http1_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/sluice-go/sluice/internal/http1"
)

func Example() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "hello from %s", r.Header.Get("X-Target"))
	}))
	defer server.Close()
	pattern, err := http.NewRequest(http.MethodPost, server.URL, nil)
	if err != nil {
		panic(err)
	}
	pattern.Header.Set("User-Agent", "example/1")
	client, err := http1.New(new(http.Transport), pattern)
	if err != nil {
		panic(err) // in a program: it makes its requests through net/http
	}
	answer, err := client.Do(context.Background(), &http1.Request{Fields: []http1.Field{{Name: "X-Target", Value: "a server"}}})
	if err != nil {
		panic(err)
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(answer.Body)
	fmt.Println(answer.Status, string(text))
	// Output: 200 OK hello from a server
}
