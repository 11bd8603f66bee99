package sqsapi

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/sqstest"
)

type told struct{}

// never is told of nothing.
type never struct{ *testing.T }

func (t never) overdue(error) { t.Error("the first call is over") }

func TestADeadlineServesOneCallAfterAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var all deadlines
		var stuck atomic.Int32
		ctx, end := context.WithCancel(context.WithValue(t.Context(), told{}, "told"))
		defer end()
		first := all.take(ctx, time.Second, &stuck)
		first.overdue = never{t}
		first.start()
		require.True(t, first.finish(true))
		first.body.left = 1
		all.leave(first)
		require.NoError(t, first.Err())
		require.Nil(t, first.overdue, "it would keep what the call has brought in memory")
		require.Equal(t, body{}, first.body)

		time.Sleep(time.Hour)
		d := all.take(ctx, 5*time.Second, &stuck)
		require.Same(t, first, d)
		require.Equal(t, "told", d.Value(told{}))
		until, ok := d.Deadline()
		require.True(t, ok)
		require.Equal(t, time.Now().Add(5*time.Second), until)
		d.start()
		time.Sleep(5*time.Second - 1)
		synctest.Wait()
		require.NoError(t, d.Err())
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		require.ErrorIs(t, d.Err(), context.DeadlineExceeded)
		require.ErrorContains(t, d.late(errors.New("what the client says")), "cut after 5s: what the client says")
		time.Sleep(time.Minute) // in which the first call's overdue would be told
		require.True(t, d.finish(true))
		all.leave(d)
		require.Empty(t, all.list, "its context has ended")
	})
}

func TestADeadlineThatMayBeSomebodysIsNotKept(t *testing.T) {
	for name, use := range map[string]func(d *deadline){
		"the call fails":                     func(d *deadline) { d.finish(false) },
		"the client ends the goroutine":      func(*deadline) {},
		"the limit cuts the call":            func(d *deadline) { time.Sleep(time.Second + 1); d.finish(true) },
		"its timer has fired and found life": func(d *deadline) { alive(d); d.finish(true) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var all deadlines
				d := all.take(t.Context(), time.Second, new(atomic.Int32))
				d.silence, d.lease = time.Second, time.Minute
				d.start()
				use(d)
				all.leave(d)
				require.Empty(t, all.list)
				require.Error(t, d.Err())
			})
		})
	}
}

// alive lets an answer begin to arrive, and waits for longer than the first limit.
func alive(d *deadline) {
	time.Sleep(900 * time.Millisecond)
	d.alive(true)
	time.Sleep(900 * time.Millisecond)
}

func TestADeadlineEndsWithItsCallersContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var all deadlines
		ctx, end := context.WithCancel(t.Context())
		d := all.take(ctx, time.Second, new(atomic.Int32))
		d.start()
		d.finish(true)
		all.leave(d)
		end()
		require.ErrorIs(t, d.Err(), context.Canceled, "while nobody has it")
		again := all.take(ctx, time.Second, new(atomic.Int32))
		require.ErrorIs(t, again.Err(), context.Canceled, "and for who takes it")

		limited, stop := context.WithTimeout(t.Context(), 3*time.Second)
		defer stop()
		d = all.take(limited, time.Second, new(atomic.Int32))
		d.start()
		d.finish(true)
		all.leave(d)
		time.Sleep(2500 * time.Millisecond)
		d = all.take(limited, time.Second, new(atomic.Int32))
		d.start()
		time.Sleep(500 * time.Millisecond)
		synctest.Wait()
		require.ErrorIs(t, d.Err(), context.DeadlineExceeded)
		require.NotErrorIs(t, context.Cause(d), errSilent, "it is the caller's deadline that ended it")
	})
}

// An ender is an HTTP client of the user's that keeps the context of each request.
type ender struct {
	sqs.HTTPClient

	seen []context.Context
}

func (e *ender) Do(r *http.Request) (*http.Response, error) {
	e.seen = append(e.seen, r.Context())
	return e.HTTPClient.Do(r)
}

func TestContextsThatTheUsersClientHasSeenEndWithTheirCalls(t *testing.T) {
	server := sqstest.New()
	own := server.Client().Options()
	client := &ender{HTTPClient: own.HTTPClient}
	own.HTTPClient = client
	q := leanQueue(t, server.MustCreateQueue("orders", nil), sqs.New(own))
	for range 3 {
		receiveAndDelete(t, server, q)
	}
	require.Len(t, client.seen, 9)
	for _, ctx := range client.seen {
		require.ErrorIs(t, ctx.Err(), context.Canceled)
	}
	require.Empty(t, q.receives.list)
	require.Empty(t, q.deletes.list)
	require.Empty(t, q.changes.list)
}

func TestContextsOfNetHTTPAreUsedAgain(t *testing.T) {
	server := sqstest.New()
	over := httptest.NewServer(server)
	defer over.Close()
	own := server.Client().Options()
	own.BaseEndpoint, own.HTTPClient, own.Credentials = aws.String(over.URL), &http.Client{Transport: &http.Transport{}}, aws.NewCredentialsCache(own.Credentials)
	q := leanQueue(t, server.MustCreateQueue("orders", nil), sqs.New(own))
	receiveAndDelete(t, server, q)
	require.Len(t, q.receives.list, 1)
	require.Len(t, q.deletes.list, 1)
	require.Len(t, q.changes.list, 1)
	receive, deletion, change := q.receives.list[0], q.deletes.list[0], q.changes.list[0]
	for range 20 {
		receiveAndDelete(t, server, q)
	}
	require.Equal(t, []*deadline{receive}, q.receives.list)
	require.Equal(t, []*deadline{deletion}, q.deletes.list)
	require.Equal(t, []*deadline{change}, q.changes.list)

	own.Credentials = aws.CredentialsProviderFunc(own.Credentials.Retrieve) // the user's, which may keep a context
	q = leanQueue(t, q.URL, sqs.New(own))
	receiveAndDelete(t, server, q)
	require.Empty(t, q.receives.list)
}

func TestContextsThatCodeOfTheUsersMayKeepAreNotUsedAgain(t *testing.T) {
	choose := func(*http.Request) (*url.URL, error) { return nil, nil } //nolint:nilnil // no proxy
	own := sqstest.New().Client().Options().Credentials                 // a function
	cached := aws.NewCredentialsCache(own)
	for name, c := range map[string]struct {
		client sqs.HTTPClient
		from   aws.CredentialsProvider
		want   bool
	}{
		"as the SDK makes it":        {awshttp.NewBuildableClient(), cached, true},
		"set up":                     {awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) { t.DialContext = nil }), cached, true},
		"net/http's":                 {&http.Client{Transport: &http.Transport{}, Timeout: time.Minute}, cached, true},
		"a proxy of the environment": {&http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment}}, cached, true},
		"a proxy that is chosen":     {&http.Client{Transport: &http.Transport{Proxy: choose}}, cached, false},
		"the same, by an option":     {awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) { t.Proxy = choose }), cached, false},
		"a transport of the user's":  {&http.Client{Transport: roundTripper{}}, cached, false},
		"any transport":              {&http.Client{}, cached, false},
		"no transport":               {&http.Client{Transport: (*http.Transport)(nil)}, cached, false},
		"redirects that are looked at": {&http.Client{
			Transport: &http.Transport{}, CheckRedirect: func(*http.Request, []*http.Request) error { return nil },
		}, cached, false},
		"a client of the user's":             {&ender{}, cached, false},
		"a provider that is asked each time": {&http.Client{Transport: &http.Transport{}}, own, false},
	} {
		t.Run(name, func(t *testing.T) {
			for _, client := range []sqs.HTTPClient{newWrapper(c.client), Wrap(c.client)} {
				require.Equal(t, c.want, stockClient(client) && stockCredentials(c.from))
			}
		})
	}
}

type roundTripper struct{ http.RoundTripper }

func leanQueue(t *testing.T, url string, client *sqs.Client) *Queue {
	t.Helper()
	lean, err := NewLean(client)
	require.NoError(t, err)
	return &Queue{Client: client, Lean: lean, URL: url, Visibility: 30 * time.Second}
}

// receiveAndDelete sends a message, receives it, renews its lease, and deletes it.
func receiveAndDelete(t *testing.T, server *sqstest.Server, q *Queue) {
	t.Helper()
	server.Send(q.URL, "an order")
	messages, err := q.Receive(t.Context(), 1, time.Second, "")
	require.NoError(t, err)
	require.Len(t, messages, 1)
	handles := []string{messages[0].Handle}
	require.NoError(t, q.Change(t.Context(), handles, time.Minute)[0])
	require.NoError(t, q.Delete(t.Context(), handles)[0])
}
