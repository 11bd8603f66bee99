package http1_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/http1"
)

// written lets each of the two write a request, and returns the address that was dialled and
// the bytes that have come.
func written(t *testing.T, r *http.Request, body string, fields []http1.Field, set func(*http.Transport)) (want, got string) {
	t.Helper()
	texts := make(chan string, 1)
	p := listen(t, func(_ int, c net.Conn, _ *bufio.Reader) {
		var text bytes.Buffer
		if _, err := take(bufio.NewReader(io.TeeReader(c, &text))); err != nil {
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
		texts <- text.String()
	})
	where := ""
	transport := p.transport()
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		where = network + " " + address
		return p.dial(ctx, network, address)
	}
	set(transport)
	defer transport.CloseIdleConnections()
	c, err := http1.New(transport, r)
	require.NoError(t, err)

	theirs := r.Clone(bounded(t))
	theirs.Body, theirs.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
	if body == "" {
		theirs.Body = http.NoBody
	}
	for _, f := range fields {
		theirs.Header[f.Name] = []string{f.Value}
	}
	answer, err := transport.RoundTrip(theirs)
	require.NoError(t, err)
	_ = answer.Body.Close()
	want = where + "\n" + next(t, texts)
	answer, err = c.Do(bounded(t), &http1.Request{Fields: fields, Body: []byte(body)})
	require.NoError(t, err)
	_ = answer.Body.Close()
	return want, where + "\n" + next(t, texts)
}

func TestRequestsAreWrittenAsNetHTTPWritesThem(t *testing.T) {
	fields := []http1.Field{
		{"Amz-Sdk-Request", "attempt=1; max=1"},
		{"Authorization", "AWS4-HMAC-SHA256 Credential=x/y, Signature=0"},
		{"Content-Type", "application/x-amz-json-1.0"},
		{"X-Amz-Target", "AmazonSQS.ReceiveMessage"},
		{"X-Empty", ""},
		{"X-Letters", "größe, a  b"},
	}
	for _, url := range []string{
		"http://queue.test", "http://queue.test/", "http://queue.test:80/", "http://queue.test:8080/", "http://queue.test:/", "http://QUEUE.Test/", "http://queue.test./",
		"http://queue_1.test/a/b%2Fc/d%20e/?x=y&z=%20", "http://queue.test?x", "http://queue.test/?", "http://queue.test/a b", "http://queue.test/ü", "http://queue.test/#part", "http://queue.test//two", "http://user:word@queue.test/",
		"http://127.0.0.1:9324/", "http://[::1]/", "http://[::1]:9324/", "http://[2001:DB8::1]:443/x", "http://localhost:4566/000000000000/q",
	} {
		for _, host := range []string{"", "sqs.eu-central-1.amazonaws.com", "other.test:99"} {
			for name, body := range map[string]string{"empty": "", "small": `{"a":1}`, "the largest": strings.Repeat("x", 64<<10)} {
				t.Run(fmt.Sprint(url, " ", host, " ", name), func(t *testing.T) {
					r := pattern(t, url)
					if host != "" {
						r.Host = host
					}
					want, got := written(t, r, body, fields, func(*http.Transport) {})
					require.Equal(t, want, got)
					require.Contains(t, got, "Accept-Encoding: gzip\r\n")
				})
			}
		}
	}
	for name, fields := range map[string][]http1.Field{"without fields": nil, "with a long one": {{"X-Amz-Security-Token", strings.Repeat("t", 20_000)}}} {
		t.Run(name, func(t *testing.T) {
			want, got := written(t, pattern(t, address), "{}", fields, func(t *http.Transport) { t.DisableCompression = true })
			require.Equal(t, want, got)
			require.NotContains(t, got, "Accept-Encoding")
		})
	}
	r := pattern(t, address)
	r.Header.Set("User-Agent", "aws-sdk-go-v2/1.48.0 os/linux lang/go#1.26 m/E,e ü")
	want, got := written(t, r, "{}", nil, func(*http.Transport) {})
	require.Equal(t, want, got)
}

// The address is that of net/http with TLS, too.
func TestTheAddressIsThatOfNetHTTP(t *testing.T) {
	for _, url := range []string{"https://queue.test", "https://queue.test:443/", "https://queue.test:8443/", "https://queue.test:/", "https://[::1]/", "https://[::1]:8443/"} {
		var where []string
		transport := &http.Transport{DialContext: func(_ context.Context, network, address string) (net.Conn, error) {
			where = append(where, network+" "+address)
			return nil, errEnough
		}}
		_, err := transport.RoundTrip(pattern(t, url))
		require.ErrorIs(t, err, errEnough)
		_, err = client(t, transport, url).Do(bounded(t), &http1.Request{})
		require.ErrorIs(t, err, errEnough)
		require.Len(t, where, 2)
		require.Equal(t, where[0], where[1])
	}
}

func TestWhatIsNetHTTPsAloneHasNoClient(t *testing.T) {
	protocols := func(set func(*http.Protocols)) *http.Protocols {
		p := new(http.Protocols)
		set(p)
		return p
	}
	none := func(context.Context, string, string) (net.Conn, error) { return nil, errEnough }
	for name, c := range map[string]struct {
		transport *http.Transport
		url       string
		set       func(*http.Request)
		want      string // "": there is a client
	}{
		"a proxy function":             {transport: &http.Transport{Proxy: http.ProxyURL(nil)}, want: "its transport has a Proxy function"},
		"a function around net/http's": {transport: &http.Transport{Proxy: func(r *http.Request) (*url.URL, error) { return http.ProxyFromEnvironment(r.Clone(r.Context())) }}, want: "its transport has a Proxy function"},
		"no idle connections":          {transport: &http.Transport{DisableKeepAlives: true}, want: "its transport has no idle connections"},
		"fewer than none":              {transport: &http.Transport{MaxIdleConnsPerHost: -1}, want: "its transport has no idle connections"},
		"DialTLSContext":               {transport: &http.Transport{DialTLSContext: none}, want: "its transport has a DialTLSContext function"},
		"DialTLS":                      {transport: &http.Transport{DialTLS: func(string, string) (net.Conn, error) { return nil, errEnough }}, want: "its transport has a DialTLSContext function"}, //nolint:staticcheck // deprecated, and still obeyed
		"Dial":                         {transport: &http.Transport{Dial: func(string, string) (net.Conn, error) { return nil, errEnough }}, want: "its transport has a Dial function"},              //nolint:staticcheck // the same
		"Dial, which is not used":      {transport: &http.Transport{DialContext: none, Dial: func(string, string) (net.Conn, error) { return nil, errEnough }}},                                      //nolint:staticcheck // the same
		"a bound for headers":          {transport: &http.Transport{ResponseHeaderTimeout: 1}, want: "its transport has a ResponseHeaderTimeout"},
		"HTTP/2 alone":                 {transport: &http.Transport{Protocols: protocols(func(p *http.Protocols) { p.SetHTTP2(true) })}, want: "its transport has no HTTP/1.1"},
		"HTTP/2 without TLS":           {transport: &http.Transport{Protocols: protocols(func(p *http.Protocols) { p.SetHTTP1(true); p.SetUnencryptedHTTP2(true) })}, want: "its transport has no HTTP/1.1"},
		"both":                         {transport: &http.Transport{Protocols: protocols(func(p *http.Protocols) { p.SetHTTP1(true); p.SetHTTP2(true) })}},
		"another scheme":               {url: "ftp://queue.test/", want: `its scheme is "ftp"`},
		"no scheme":                    {url: "//queue.test/", want: `its scheme is ""`},
		"no host":                      {url: "http:///x", want: "its address has unusual characters"},
		"an opaque address":            {url: "http:queue.test", want: "its address has unusual characters"},
		"a host of other letters":      {url: "http://bücher.test/", want: "its address has unusual characters"},
		"a zone":                       {url: "http://[fe80::1%25eth0]/", want: "its address has unusual characters"},
		"a host that is two lines":     {set: func(r *http.Request) { r.Host = "a\r\nX: y" }, want: "its address has unusual characters"},
		"a host with a path":           {set: func(r *http.Request) { r.Host = "a/b" }, want: "its address has unusual characters"},
		"no agent":                     {set: func(r *http.Request) { r.Header.Del("User-Agent") }, want: "its requests have unusual characters"},
		"an agent of two lines":        {set: func(r *http.Request) { r.Header.Set("User-Agent", "a\nb") }, want: "its requests have unusual characters"},
		"an agent with an end":         {set: func(r *http.Request) { r.Header.Set("User-Agent", "a ") }, want: "its requests have unusual characters"},
		"a query of two lines":         {set: func(r *http.Request) { r.URL.RawQuery = "a\r\nb" }, want: "its requests have unusual characters"},
		"a path of DEL":                {set: func(r *http.Request) { r.URL.RawQuery = "\x7f" }, want: "its requests have unusual characters"},
		"another method":               {set: func(r *http.Request) { r.Method = http.MethodGet }, want: `its method is "GET"`},
		"no answer":                    {set: func(r *http.Request) { r.Method = http.MethodHead }, want: `its method is "HEAD"`},
		"nothing of this":              {},
	} {
		t.Run(name, func(t *testing.T) {
			if c.url == "" {
				c.url = address
			}
			if c.transport == nil {
				c.transport = new(http.Transport)
			}
			r := pattern(t, c.url)
			if c.set != nil {
				c.set(r)
			}
			got, err := http1.New(c.transport, r)
			if c.want == "" {
				require.NoError(t, err)
				require.Empty(t, got.Left())
				return
			}
			require.EqualError(t, err, c.want)
			require.Nil(t, got)
		})
	}
}

func TestTheEnvironmentHasTheProxiesOfNetHTTP(t *testing.T) {
	const asked = "HTTP1_TEST_PROXY"
	if os.Getenv(asked) != "" { // net/http reads the environment once
		_, err := http1.New(&http.Transport{Proxy: http.ProxyFromEnvironment}, pattern(t, address))
		fmt.Println("result:", err)
		return
	}
	for env, want := range map[string]string{
		"":                                    "<nil>",
		"HTTP_PROXY=http://proxy.test:3128":   "there is a proxy",
		"http_proxy=proxy.test":               "there is a proxy",
		"HTTP_PROXY=:":                        "there is a proxy", // net/http has an error for that
		"HTTPS_PROXY=http://proxy.test:3128":  "<nil>",
		"HTTP_PROXY=p.test NO_PROXY=.test":    "<nil>",
		"HTTP_PROXY=p.test NO_PROXY=else.org": "there is a proxy",
	} {
		program := exec.CommandContext(bounded(t), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
		for _, v := range os.Environ() {
			if name, _, _ := strings.Cut(v, "="); !strings.HasSuffix(strings.ToUpper(name), "_PROXY") {
				program.Env = append(program.Env, v)
			}
		}
		program.Env = append(program.Env, append(strings.Fields(env), asked+"=yes", "GORACE=atexit_sleep_ms=0")...)
		text, err := program.CombinedOutput()
		require.NoError(t, err, "%s", text)
		require.Contains(t, string(text), "result: "+want+"\n", env)
	}
}

func TestOddRequestsAreNotMade(t *testing.T) {
	p := listen(t, answering(good))
	c := client(t, p.transport(), address)
	for _, value := range []string{"a\r\nX: y", "a\n", "\r", "\x00", "\x7f", " a", "a ", "\t", "a\tb"} {
		_, err := c.Do(bounded(t), &http1.Request{Fields: []http1.Field{{"X-A", "a"}, {"X-B", value}}})
		require.ErrorIs(t, err, http1.ErrNotMade, "%q", value)
	}
	_, err := do(bounded(t), c, strings.Repeat("x", 64<<10+1))
	require.ErrorIs(t, err, http1.ErrNotMade)
	_, err = do(httptrace.WithClientTrace(bounded(t), &httptrace.ClientTrace{}), c, "")
	require.ErrorIs(t, err, http1.ErrNotMade)
	require.Zero(t, p.dials.Load())
	require.Empty(t, c.Left())
	requireGood(t, c)
}

// bare hides what the operating system knows.
type bare struct{ net.Conn }

func TestConnectionsWhoseEndNobodySeesAreLeft(t *testing.T) {
	p := listen(t, answering(good))
	p.client = func(l *local) net.Conn { return bare{l} }
	c := client(t, p.transport(), address)
	_, err := do(bounded(t), c, "")
	require.ErrorIs(t, err, http1.ErrNotMade)
	require.Equal(t, "nobody would see the end of a connection of its dialer's", c.Left())
	require.Zero(t, p.end(t), "the connection is closed")
	_, err = do(bounded(t), c, "")
	require.ErrorIs(t, err, http1.ErrNotMade)
	require.EqualValues(t, 1, p.dials.Load())
}

func TestADialerThatReturnsNothingIsAnError(t *testing.T) {
	c := client(t, &http.Transport{MaxConnsPerHost: 1, DialContext: func(context.Context, string, string) (net.Conn, error) { return nil, nil }}, address)
	for range 2 {
		_, err := do(bounded(t), c, "")
		require.EqualError(t, err, "http1: the dialer returned nothing")
		require.NotErrorIs(t, err, http1.ErrNotMade)
	}
}

func TestATransportThatSpeaksHTTP2IsLeftWhereTheServerDoes(t *testing.T) {
	for name, c := range map[string]struct {
		offered []string // by the server
		force   bool
		own     []string // of the transport
		left    string
	}{
		"both":                       {offered: []string{"h2", "http/1.1"}, force: true, left: "the server speaks HTTP/2"},
		"the transport does not":     {offered: []string{"h2", "http/1.1"}},
		"the server does not":        {offered: []string{"http/1.1"}, force: true},
		"something of the user's":    {offered: []string{"x", "http/1.1"}, own: []string{"x"}, left: `the server speaks "x"`},
		"the user's own offer of h2": {offered: []string{"h2"}, own: []string{"h2"}, left: "the server speaks HTTP/2"},
	} {
		t.Run(name, func(t *testing.T) {
			s := secure(t, func(by *tls.Config) { by.NextProtos = c.offered })
			transport := s.transport()
			transport.ForceAttemptHTTP2, transport.TLSClientConfig.NextProtos = c.force, c.own
			direct := client(t, transport, s.url)
			text, err := do(bounded(t), direct, "")
			require.Equal(t, c.left, direct.Left())
			if c.left == "" {
				require.NoError(t, err)
				require.Equal(t, "good", text)
				return
			}
			require.ErrorIs(t, err, http1.ErrNotMade)
			require.NoError(t, next(t, s.ended))
			_, err = do(bounded(t), direct, "")
			require.ErrorIs(t, err, http1.ErrNotMade)
		})
	}
}

// A talker is a connection that reads and writes in its own way.
type talker struct {
	*local

	reads, writes atomic.Int64
}

func (c *talker) Read(p []byte) (int, error) {
	c.reads.Add(1)
	return c.local.Read(p)
}

func (c *talker) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.local.Write(p)
}

func TestAConnectionThatReadsAndWritesInItsOwnWayDoes(t *testing.T) {
	p := listen(t, answering(good))
	var own *talker
	p.client = func(l *local) net.Conn {
		own = &talker{local: l}
		return own
	}
	c := client(t, p.transport(), address)
	requireGood(t, c)
	requireGood(t, c)
	require.EqualValues(t, 1, p.dials.Load())
	require.EqualValues(t, 2, own.writes.Load())
	require.GreaterOrEqual(t, own.reads.Load(), int64(2))
}

// Who asks for the descriptor of a connection, to set an option, makes it one that blocks. A
// system call that blocks past the runtime would stop the whole program.
func TestAConnectionMayBlock(t *testing.T) {
	waits, goes := make(chan struct{}), make(chan struct{})
	p := listen(t, func(_ int, c net.Conn, r *bufio.Reader) {
		for {
			if _, err := take(r); err != nil {
				return
			}
			waits <- struct{}{}
			<-goes
			_, _ = io.WriteString(c, good)
		}
	})
	transport := p.transport()
	transport.DialContext = func(ctx context.Context, network, at string) (net.Conn, error) {
		c, err := p.dial(ctx, network, at)
		if err != nil {
			return nil, err
		}
		file, err := c.(*local).File()
		if err != nil {
			return nil, err
		}
		file.Fd()
		return c, file.Close()
	}
	c := client(t, transport, address)
	for range 2 { // the second time it is looked at
		ended := make(chan error, 1)
		go func() {
			_, err := do(bounded(t), c, "")
			ended <- err
		}()
		next(t, waits)
		runtime.GC()
		goes <- struct{}{}
		require.NoError(t, next(t, ended))
	}
	require.EqualValues(t, 1, p.dials.Load())
}

// A read takes 64 KiB at most, and a write may have to wait for the reader.
func TestMuchIsReadAndWritten(t *testing.T) {
	const much = 1 << 20
	body := strings.Repeat("x", 60<<10)
	p := listen(t, func(_ int, c net.Conn, r *bufio.Reader) {
		for {
			got, err := take(r)
			if err != nil {
				return
			}
			_, _ = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s%s", len(got)+much, got, strings.Repeat("y", much))
		}
	})
	transport := p.transport()
	transport.DialContext = func(ctx context.Context, network, at string) (net.Conn, error) {
		c, err := p.dial(ctx, network, at)
		if err == nil {
			err = c.(*local).SetWriteBuffer(4 << 10)
		}
		return c, err
	}
	c := client(t, transport, address)
	for range 3 {
		text, err := do(bounded(t), c, body)
		require.NoError(t, err)
		require.Equal(t, body+strings.Repeat("y", much), text)
	}
	require.EqualValues(t, 1, p.dials.Load())
}
