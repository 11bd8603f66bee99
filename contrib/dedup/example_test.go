package dedup_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"strings"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/contrib/dedup"
	"github.com/sluice-go/sluice/sqstest"
)

// A producer hears no answer and asks for an email twice. One is sent.
func Example() {
	server := sqstest.New()
	url := server.MustCreateQueue("emails", nil)
	server.Send(url, "order 7: thank you", "order 7: thank you")

	store := new(dedup.Memory) // redisstore.New(client, "dedup:") for several processes
	d, err := dedup.New(store, dedup.Options{
		Handler: "emails",
		Key: func(m *sluice.Message) (string, error) { // or inbox.ByAttribute("order")
			number, _, found := strings.Cut(m.Body, ":")
			if !found {
				return "", errors.New("the body has no number")
			}
			return number, nil
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	consumer, err := sluice.New(server.Client(), url, sluice.Options{
		MaxMessages: 2,
		Concurrency: 1, // so that the second message does not wait for the claim of the first one
		Middleware:  []func(sluice.Handler) sluice.Handler{d.Middleware},
	})
	if err != nil {
		log.Fatal(err)
	}
	err = consumer.Run(context.Background(), func(_ context.Context, batch []*sluice.Message) error {
		fmt.Println("sending an email about", batch[0].Body)
		return nil
	})
	fmt.Println("error:", err)
	fmt.Printf("%+v\n", d.Stats())
	// Output:
	// sending an email about order 7: thank you
	// error: <nil>
	// {Handled:1 Repeated:1 Busy:0 Lost:0 Unmarked:0 Blind:0}
}
