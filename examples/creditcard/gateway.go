package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// maxBody is far more than a transaction needs.
const maxBody = 16 << 10 // bytes

// A sender puts messages into queues. *sqs.Client is one.
type sender interface {
	SendMessage(ctx context.Context, in *sqs.SendMessageInput, optFns ...func(*sqs.Options)) (*sqs.SendMessageOutput, error)
}

// gateway takes transactions from terminals and puts each into the queue of events.
//
// "202 Accepted" means that SQS has the transaction. A terminal that does not hear
// it sends again, and if the first one arrived after all, the queue has two: the
// staging database sorts that out, so the gateway needs no memory, and can run as
// often as there is load.
func gateway(client sender, events string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /transactions", func(w http.ResponseWriter, r *http.Request) {
		var t Transaction
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&t); err != nil {
			http.Error(w, "want a transaction in JSON: "+err.Error(), http.StatusBadRequest)
			return
		}
		if err := t.check(); err != nil {
			http.Error(w, err.Error(), http.StatusUnprocessableEntity)
			return
		}
		if err := forward(r.Context(), client, events, &t); err != nil {
			slog.Warn("the queue did not take a transaction", "transaction", t.ID, "err", err)
			http.Error(w, "the queue did not take it, send it again", http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusAccepted)
	})
	return mux
}

// forward puts a transaction into a queue.
func forward(ctx context.Context, client sender, queueURL string, t *Transaction) error {
	body, err := json.Marshal(t)
	if err != nil {
		return err
	}
	_, err = client.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &queueURL, MessageBody: new(string(body))})
	return err
}
