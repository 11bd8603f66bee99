package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/sqstest"
)

func TestTheGatewayForwardsWhatIsATransactionAndNothingElse(t *testing.T) {
	const good = `{"id":"a","kind":"sale","card":"c","merchant":"m01","amount":100,"currency":"EUR","at":"2026-03-14T12:00:00Z"}`
	for _, tt := range []struct {
		name, body string
		status     int
		why        string
	}{
		{"a transaction", good, http.StatusAccepted, ""},
		{"no JSON", "amount=100", http.StatusBadRequest, "want a transaction in JSON"},
		{"an amount that is no integer", strings.Replace(good, "100", "99.99", 1), http.StatusBadRequest, "amount"},
		{"no amount", strings.Replace(good, "100", "0", 1), http.StatusUnprocessableEntity, "amount is 0, want 1 to 100000000"},
		{"a merchant without contract", strings.Replace(good, "m01", "m99", 1), http.StatusUnprocessableEntity, `merchant is "m99"`},
		{"a currency without rate", strings.Replace(good, "EUR", "XAU", 1), http.StatusUnprocessableEntity, `currency is "XAU"`},
		{"a body without end", `{"id":"` + strings.Repeat("x", maxBody), http.StatusBadRequest, "too large"},
		{"an id without end", strings.Replace(good, `"a"`, `"`+strings.Repeat("x", 65)+`"`, 1), http.StatusUnprocessableEntity, "id has 65 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			account := sqstest.New()
			queue := account.MustCreateQueue("card-events", nil)
			answer := httptest.NewRecorder()
			gateway(account, queue).ServeHTTP(answer, httptest.NewRequest(http.MethodPost, "/transactions", strings.NewReader(tt.body)))
			require.Equal(t, tt.status, answer.Code)
			require.Contains(t, answer.Body.String(), tt.why)
			want := 0
			if tt.status == http.StatusAccepted {
				want = 1
			}
			require.Len(t, account.Messages(queue), want)
		})
	}
}

func TestATerminalIsToldToSendAgainWhenTheQueueFails(t *testing.T) {
	account := sqstest.New()
	account.Inject(sqstest.Fault{Op: "SendMessage", Times: 1, Err: sqstest.InternalError()})
	queue := account.MustCreateQueue("card-events", nil)
	client := &http.Client{Transport: inProcess{gateway(account, queue)}}
	pos := pointsOfSale{client: client, gateway: "http://gateway"}
	require.ErrorContains(t, pos.post(t.Context(), &Transaction{
		ID: "a", Kind: Sale, Card: "c", Merchant: "m01", Amount: 1, Currency: "EUR", At: noon,
	}), "503")
}
