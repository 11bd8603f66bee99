package sqsapi_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/internal/sqsapi"
)

// raw is a server that gives each request the same answer, byte for byte. It closes the connection
// then if the answer is cut. It returns its address.
func raw(t *testing.T, answer string, cut bool) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, end := context.WithTimeout(context.Background(), time.Minute) // in which a test ends
	var all sync.WaitGroup
	serve := func(c net.Conn) {
		defer c.Close()
		defer context.AfterFunc(ctx, func() { _ = c.Close() })()
		for from := bufio.NewReader(c); ; {
			r, err := http.ReadRequest(from)
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, r.Body)
			_, _ = io.WriteString(c, answer)
			if cut {
				return
			}
		}
	}
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { serve(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		end()
		all.Wait()
	})
	return "http://" + l.Addr().String()
}

// overNetwork returns two queues of NewClient's client: one whose requests go through net/http,
// and one whose requests do not.
func overNetwork(t *testing.T, address string, set func(*http.Transport)) (through, past *sqsapi.Queue) {
	t.Helper()
	cfg := aws.Config{Region: "eu-central-1", Credentials: keys(""), BaseEndpoint: &address}
	built := awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) { t.Proxy = nil }, set)
	open := func(client *sqs.Client) *sqsapi.Queue {
		lean, err := sqsapi.NewLean(client)
		require.NoError(t, err)
		return &sqsapi.Queue{Client: client, Lean: lean, URL: queueURL, Visibility: 30 * time.Second}
	}
	cfg.HTTPClient = built.WithTransportOptions(func(t *http.Transport) { t.ResponseHeaderTimeout = time.Hour })
	through = open(sluice.NewClient(cfg))
	require.Equal(t, "lean: through net/http, since its transport has a ResponseHeaderTimeout", through.Lean.Transport())
	cfg.HTTPClient = built
	past = open(sluice.NewClient(cfg))
	require.Equal(t, "lean", past.Lean.Transport())
	return through, past
}

// network are the facts of an error over a network, without what differs from request to
// request, and without where http1 says what it was doing.
func network(err error) map[string]any {
	is := facts(err)
	if is == nil {
		return nil
	}
	text := strings.NewReplacer("reading the answer: ", "", "writing the request: ", "", "net/http: HTTP/1.x transport connection broken: ", "").Replace(err.Error())
	if _, ends, ok := strings.Cut(text, "->"); ok { // of two addresses, one of them random
		_, text, _ = strings.Cut(ends, ": ")
	}
	is["text"] = text
	_, is["url"] = errors.AsType[*url.Error](err)
	_, is["DNS"] = errors.AsType[*net.DNSError](err)
	is["EOF"], is["cut off"] = errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF)
	is["scheme"] = errors.Is(err, http.ErrSchemeMismatch)
	is["late"] = errors.Is(err, context.DeadlineExceeded)
	return is
}

// requireSame requires that all calls end in the same way through net/http and past it.
func requireSame(t *testing.T, through, past *sqsapi.Queue) {
	t.Helper()
	want, wantErr := through.Receive(t.Context(), 10, time.Second, "")
	got, err := past.Receive(t.Context(), 10, time.Second, "")
	require.Equal(t, network(wantErr), network(err))
	require.Equal(t, want, got)
	handles := []string{"handle-1", "handle-2"}
	for i, wantErr := range through.Delete(t.Context(), handles) {
		require.Equal(t, network(wantErr), network(past.Delete(t.Context(), handles)[i]))
	}
	for i, wantErr := range through.Change(t.Context(), handles, 0, time.Minute) {
		require.Equal(t, network(wantErr), network(past.Change(t.Context(), handles, 0, time.Minute)[i]))
	}
	require.Equal(t, "lean", past.Lean.Transport())
}

func lengthy(status, header, body string) string {
	return fmt.Sprintf("HTTP/1.1 %s\r\nX-Amzn-Requestid: request-1\r\n%sContent-Length: %d\r\n\r\n%s", status, header, len(body), body)
}

func TestAnswersPastNetHTTPAreThoseThroughIt(t *testing.T) {
	messages := lengthy("200 OK", "", `{"Messages":[`+message("hello")+`]}`)
	const gone = `{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"no such queue"}`
	for name, answer := range map[string]string{
		"messages":              messages,
		"none":                  lengthy("200 OK", "", `{}`),
		"an error":              lengthy("400 Bad Request", "", gone),
		"an error with a query": lengthy("400 Bad Request", "X-Amzn-Query-Error: AWS.SimpleQueueService.NonExistentQueue;Sender\r\n", gone),
		"denied":                lengthy("403 Forbidden", "", `{"__type":"AccessDeniedException","message":"no"}`),
		"trouble":               lengthy("503 Service Unavailable", "", ""),
		"a page":                lengthy("502 Bad Gateway", "Content-Type: text/html\r\n", "<html>Bad gateway</html>"),
		"a good page":           lengthy("200 OK", "Content-Type: text/html\r\n", "<html>Log in</html>"),
		"a redirect":            lengthy("307 Temporary Redirect", "Location: http://elsewhere.test/\r\n", ""),
		"a redirect to nowhere": lengthy("308 Permanent Redirect", "", ""),
		"another protocol":      "HTTP/1.1 101 Switching Protocols\r\n\r\n",
		"no HTTP":               "SSH-2.0-OpenSSH\r\n",
		"a wrong digest":        strings.Replace(messages, digest("hello"), digest("bye"), 1),
	} {
		t.Run(name, func(t *testing.T) {
			through, past := overNetwork(t, raw(t, answer, false), func(*http.Transport) {})
			requireSame(t, through, past)
		})
	}
	for name, answer := range map[string]string{
		"nothing":       "",
		"half a header": messages[:20],
		"half a body":   messages[:len(messages)-20],
		"half an error": lengthy("400 Bad Request", "", gone)[:100],
	} {
		t.Run(name, func(t *testing.T) {
			through, past := overNetwork(t, raw(t, answer, true), func(*http.Transport) {})
			requireSame(t, through, past)
		})
	}
}

func TestErrorsPastNetHTTPAreThoseThroughIt(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	nobody := closed.Addr().String()
	require.NoError(t, closed.Close())
	unknown := &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "sqs.test", IsNotFound: true}}
	none := func(*http.Transport) {}
	with := httptest.NewUnstartedServer(http.NotFoundHandler())
	with.Config.ErrorLog = quiet
	with.StartTLS()
	t.Cleanup(with.Close)
	for name, c := range map[string]struct {
		address string
		set     func(*http.Transport)
	}{
		"refused": {"http://" + nobody, none},
		"DNS": {"http://sqs.test", func(t *http.Transport) {
			t.DialContext = func(context.Context, string, string) (net.Conn, error) { return nil, unknown }
		}},
		"no TLS":      {chatty(t), none},
		"unknown CA":  {with.URL, none},
		"a long head": {raw(t, lengthy("200 OK", "X: "+strings.Repeat("x", 5000)+"\r\n", "{}"), false), func(t *http.Transport) { t.MaxResponseHeaderBytes = 1000 }},
	} {
		t.Run(name, func(t *testing.T) {
			through, past := overNetwork(t, c.address, c.set)
			if name == "a long head" { // the two say that in different words
				_, want := through.Receive(t.Context(), 10, time.Second, "")
				_, err := past.Receive(t.Context(), 10, time.Second, "")
				require.Equal(t, sqsapi.ClassifyRequest(want), sqsapi.ClassifyRequest(err))
				require.ErrorContains(t, err, "reading the answer: the header is too long")
				return
			}
			requireSame(t, through, past)
		})
	}
}

// quiet is the log of a server whose clients go away, as they should.
var quiet = log.New(io.Discard, "", 0)

// chatty is a server without TLS, at an address that says that it has it.
func chatty(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(s.Close)
	return strings.Replace(s.URL, "http:", "https:", 1)
}

// A passed is a context whose deadline passes when somebody cancels it.
type passed struct{ context.Context }

func (passed) Value(any) any { return nil } // else it would be seen through

func (p passed) Err() error {
	if p.Context.Err() != nil {
		return context.DeadlineExceeded
	}
	return nil
}

// A server that says nothing is left at the deadline, or when the caller has enough.
func TestACallThatIsCutPastNetHTTPEndsAsThroughIt(t *testing.T) {
	arrived := make(chan struct{})
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		arrived <- struct{}{}
		<-r.Context().Done() // the client has closed the connection
	}))
	t.Cleanup(silent.Close)
	through, past := overNetwork(t, silent.URL, func(*http.Transport) {})
	receive := func(q *sqsapi.Queue, of func(context.Context) context.Context) error {
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			<-arrived
			cancel()
		}()
		_, err := q.Receive(of(ctx), 10, time.Second, "")
		return err
	}
	for want, of := range map[error]func(context.Context) context.Context{
		context.Canceled:         func(ctx context.Context) context.Context { return ctx },
		context.DeadlineExceeded: func(ctx context.Context) context.Context { return passed{ctx} },
	} {
		theirs, ours := receive(through, of), receive(past, of)
		require.ErrorIs(t, ours, want)
		require.Equal(t, network(theirs), network(ours))
	}
}

// A connection outlives the calls that were made on it, and the context that they have in common.
func TestCallsShareAConnection(t *testing.T) {
	var connections atomic.Int32
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, `{}`)
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	cfg := aws.Config{Region: "eu-central-1", Credentials: aws.NewCredentialsCache(keys("")), BaseEndpoint: &s.URL} // so that calls share deadlines, too
	client := sluice.NewClient(cfg)
	lean, err := sqsapi.NewLean(client)
	require.NoError(t, err)
	require.Equal(t, "lean", lean.Transport())
	q := &sqsapi.Queue{Client: client, Lean: lean, URL: queueURL, Visibility: 30 * time.Second}
	for range 3 {
		ctx, cancel := context.WithCancel(t.Context())
		for range 3 {
			_, err := q.Receive(ctx, 10, time.Second, "")
			require.NoError(t, err)
			_ = q.Delete(ctx, []string{"handle-1"})
			_ = q.Change(ctx, []string{"handle-1"}, time.Minute)
		}
		cancel()
	}
	require.EqualValues(t, 1, connections.Load())
}

func TestTransportSaysWhyRequestsGoThroughNetHTTP(t *testing.T) {
	built := awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) { t.Proxy = nil }) // whatever the environment has
	with := func(set func(*http.Transport)) sqs.HTTPClient { return built.WithTransportOptions(set) }
	for want, client := range map[string]sqs.HTTPClient{
		"":                                            built,
		"the HTTP client is a *http.Client":           &http.Client{Transport: &http.Transport{}},
		"the HTTP client is a sqsapi_test.do":         do(nil),
		"the HTTP client has a timeout":               built.WithTimeout(time.Minute),
		"the HTTP client has a read timeout":          built.WithReadTimeout(time.Minute),
		"its transport has a Proxy function":          with(func(t *http.Transport) { t.Proxy = http.ProxyURL(nil) }),
		"its transport has no idle connections":       with(func(t *http.Transport) { t.DisableKeepAlives = true }),
		"its transport has a DialTLSContext function": with(func(t *http.Transport) { t.DialTLSContext = t.DialContext }),
		"its transport has a ResponseHeaderTimeout":   with(func(t *http.Transport) { t.ResponseHeaderTimeout = time.Second }),
		"its transport has a Dial function": with(func(t *http.Transport) {
			t.DialContext, t.Dial = nil, func(string, string) (net.Conn, error) { return nil, nil } //nolint:staticcheck // deprecated, and still obeyed
		}),
		"its transport has no HTTP/1.1": with(func(t *http.Transport) { t.Protocols = new(http.Protocols) }),
	} {
		for name, make := range map[string]func(aws.Config) *sqs.Client{
			"NewClient": func(cfg aws.Config) *sqs.Client { return sluice.NewClient(cfg) },
			"the SDK's": func(cfg aws.Config) *sqs.Client { return sqs.NewFromConfig(cfg) },
		} {
			if name == "NewClient" && strings.HasSuffix(want, "no HTTP/1.1") {
				continue // it sees to that
			}
			t.Run(name+" "+want, func(t *testing.T) {
				lean, err := sqsapi.NewLean(make(aws.Config{Region: "eu-central-1", Credentials: keys(""), HTTPClient: client}))
				require.NoError(t, err)
				if want == "" {
					require.Equal(t, "lean", lean.Transport())
					return
				}
				require.Equal(t, "lean: through net/http, since "+want, lean.Transport())
			})
		}
	}
}

// What only a connection shows is seen with the first call, and that call is made all the same.
func TestACallThatIsLeftToNetHTTPIsMade(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `{}`)
		if r.ProtoMajor != 2 {
			t.Error(r.Proto)
		}
	}))
	s.Config.ErrorLog, s.EnableHTTP2 = quiet, true
	s.StartTLS()
	t.Cleanup(s.Close)
	built := awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		t.Proxy, t.TLSClientConfig = nil, &tls.Config{RootCAs: s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}
	})
	client := sqs.NewFromConfig(aws.Config{Region: "eu-central-1", Credentials: keys(""), BaseEndpoint: &s.URL, HTTPClient: built})
	lean, err := sqsapi.NewLean(client)
	require.NoError(t, err)
	require.Equal(t, "lean", lean.Transport())
	q := &sqsapi.Queue{Client: client, Lean: lean, URL: queueURL, Visibility: 30 * time.Second}
	for range 2 {
		_, err = q.Receive(t.Context(), 10, time.Second, "")
		require.NoError(t, err)
		require.Equal(t, "lean: through net/http, since the server speaks HTTP/2", lean.Transport())
	}
}
