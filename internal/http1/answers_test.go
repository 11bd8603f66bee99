package http1_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/http1"
)

// An outcome is what a request has come to.
type outcome struct {
	Failed          bool // there is no answer
	Status          string
	Code            int
	Proto           string
	Header, Trailer http.Header
	Length          int64
	Encoding        []string
	Uncompressed    bool
	Close           bool
	Body            string
	Cut             string // the error of its body
	Reused          bool   // the connection, by the next request
}

// played is a server that gives one answer to the first request of its first connection, and
// good ones to all others.
type played struct {
	*peer

	raw  atomic.Pointer[[]byte]
	ends atomic.Bool  // the connection, with the answer
	base atomic.Int64 // the number of the first connection

	waited int64 // connections whose end was seen
}

func play(t testing.TB) *played {
	t.Helper()
	p := &played{}
	p.peer = listen(t, func(n int, c net.Conn, r *bufio.Reader) {
		_, err := take(r)
		if err == nil && int64(n) == p.base.Load() {
			_, _ = c.Write(*p.raw.Load())
			if p.ends.Load() {
				return
			}
			_, err = take(r)
		}
		for ; err == nil; _, err = take(r) {
			_, _ = io.WriteString(c, good)
		}
	})
	return p
}

// over waits for the ends of connections, and lets the next one be the first.
func (p *played) over(t testing.TB) {
	t.Helper()
	for ; p.waited < p.dials.Load(); p.waited++ {
		p.end(t)
	}
	p.base.Store(p.waited)
}

type roundTrip func(ctx context.Context) (*http.Response, error)

// through makes requests through net/http.
func through(t testing.TB, transport *http.Transport) roundTrip {
	return func(ctx context.Context) (*http.Response, error) {
		return transport.RoundTrip(pattern(t, address).WithContext(ctx))
	}
}

// directly makes requests without net/http.
func directly(t testing.TB, transport *http.Transport) roundTrip {
	c := client(t, transport, address)
	return func(ctx context.Context) (*http.Response, error) { return c.Do(ctx, &http1.Request{}) }
}

// outcome makes a request that is answered with raw. If the connection does not end, another
// request shows whether it is used again.
func (p *played) outcome(t testing.TB, raw []byte, ends bool, by func(testing.TB, *http.Transport) roundTrip, set func(*http.Transport)) (o outcome) {
	t.Helper()
	p.raw.Store(&raw)
	p.ends.Store(ends)
	transport := p.transport()
	set(transport)
	transport.MaxConnsPerHost = 1
	trip := by(t, transport)
	defer p.over(t)
	defer transport.CloseIdleConnections()
	o.take(trip(bounded(t)))
	if ends {
		return o
	}
	first := p.dials.Load()
	ctx, cancel := context.WithCancel(bounded(t))
	answer, err := trip(ctx)
	require.NoError(t, err)
	body := make([]byte, len("goo"))
	_, err = io.ReadFull(answer.Body, body)
	require.NoError(t, err)
	require.Equal(t, "goo", string(body))
	o.Reused = p.dials.Load() == first
	cancel() // before the end of the body was seen: the connection is closed
	_ = answer.Body.Close()
	return o
}

func (o *outcome) take(answer *http.Response, err error) {
	if o.Failed = err != nil; o.Failed {
		return
	}
	text, err := io.ReadAll(answer.Body)
	_ = answer.Body.Close()
	o.Status, o.Code, o.Proto = answer.Status, answer.StatusCode, answer.Proto
	o.Header, o.Trailer, o.Length, o.Encoding = answer.Header, answer.Trailer, answer.ContentLength, answer.TransferEncoding
	o.Uncompressed, o.Close, o.Body, o.Cut = answer.Uncompressed, answer.Close, string(text), fmt.Sprint(err)
}

// same requires that an answer is read as net/http reads it, and that its connection is used
// again if net/http does so and nothing has come after the answer.
func (p *played) same(t testing.TB, raw []byte, set func(*http.Transport)) outcome {
	t.Helper()
	want := p.outcome(t, raw, true, through, set)
	got := p.outcome(t, raw, true, directly, set)
	require.Equal(t, want, got)
	if want.Failed || want.Close || want.Cut != "<nil>" { // it may have no end where the connection has none
		return got
	}
	held := p.outcome(t, raw, false, directly, set)
	if surplus(raw) {
		require.False(t, held.Reused)
		return held
	}
	require.Equal(t, p.outcome(t, raw, false, through, set), held)
	return held
}

// surplus reports whether there is more than an answer.
func surplus(raw []byte) bool {
	all := bytes.NewReader(raw)
	r := bufio.NewReader(all)
	answer := &http.Response{StatusCode: http.StatusContinue}
	for answer.StatusCode >= 100 && answer.StatusCode < 200 && answer.StatusCode != http.StatusSwitchingProtocols {
		var err error
		if answer, err = http.ReadResponse(r, &http.Request{Method: http.MethodPost}); err != nil {
			return false
		}
	}
	_, _ = io.Copy(io.Discard, answer.Body)
	return r.Buffered()+all.Len() > 0
}

func zipped(text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = io.WriteString(w, text)
	_ = w.Close()
	return b.String()
}

func withLength(header, body string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\n%sContent-Length: %d\r\n\r\n%s", header, len(body), body)
}

const (
	short   = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Id: a\r\nx-id: b\r\n\r\nhello"
	chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nX-Sum: 11\r\n\r\n"
	gzipped = "Content-Encoding: gzip\r\n"
)

// raws are answers of all kinds.
func raws() map[string]string {
	zip := zipped(strings.Repeat("hello ", 1000))
	return map[string]string{
		"with a length": short, "empty": "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "long": withLength("", strings.Repeat("x", 100_000)),
		"an error": "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nX-Amzn-Requestid: 1\r\n\r\n{}", "a redirect": "HTTP/1.1 307 No\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n",
		"in chunks": chunked, "in no chunks": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"a trailer nobody announced": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nA: b\r\n\r\n", "chunks and a length": "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
		"a chunk of no length": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", "a huge chunk": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", "another encoding": "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nx",
		"HTTP/1.0": "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", "HTTP/1.0, kept": "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello",
		"HTTP/1.0 in chunks": "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "HTTP/2.0": "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n", "HTTP/0.9": "hello",
		"the last one": "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello", "the last one, empty": "HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 0\r\n\r\n", "until the end": "HTTP/1.1 200 OK\r\n\r\nhello",
		"the last, in chunks": "HTTP/1.1 200 OK\r\nConnection: x, close\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"204":                 "HTTP/1.1 204 No Content\r\n\r\n", "204 with a length": "HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\n", "204 in chunks": "HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "304": "HTTP/1.1 304 Not Modified\r\nEtag: x\r\n\r\n", "304 with a length": "HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\n\r\n",
		"100 before": "HTTP/1.1 100 Continue\r\n\r\n" + short, "103 before": "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + chunked, "199 before": "HTTP/1.1 199 X\r\nContent-Length: 10\r\n\r\n" + short,
		"twelve before": strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", 12) + short, "too many before": strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", 1000) + short, "only before": "HTTP/1.1 100 Continue\r\n\r\n",
		"101": "HTTP/1.1 101 Switching Protocols\r\n\r\n", "status 0": "HTTP/1.1 000 X\r\nContent-Length: 0\r\n\r\n", "status 99": "HTTP/1.1 099 X\r\nContent-Length: 2\r\n\r\nxx", "status 999": "HTTP/1.1 999 X\r\nContent-Length: 2\r\n\r\nxx",
		"compressed": withLength(gzipped, zip), "compressed, in capitals": withLength("content-encoding: GZIP\r\n", zip), "compressed twice in a row": withLength(gzipped, zip+zip),
		"compressed, cut": withLength(gzipped, zip[:len(zip)-9]), "compressed, its header cut": withLength(gzipped, zip[:5]), "not compressed": withLength(gzipped, "hello"), "compressed, and more": withLength(gzipped, zip+"more"),
		"compressed, empty": withLength(gzipped, ""), "compressed, in chunks": fmt.Sprintf("HTTP/1.1 200 OK\r\n%sTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", gzipped, len(zip), zip), "compressed, in no chunks": "HTTP/1.1 200 OK\r\n" + gzipped + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"compressed, until the end": "HTTP/1.1 200 OK\r\n" + gzipped + "\r\n" + zip, "deflated": withLength("Content-Encoding: deflate\r\n", zip), "compressed in two ways": withLength("Content-Encoding: gzip, br\r\n", zip), "compressed, 204": "HTTP/1.1 204 No\r\n" + gzipped + "\r\n",
		"a long header": "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 1900) + "\r\nContent-Length: 0\r\n\r\n", "too long a header": "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 3000) + "\r\nContent-Length: 0\r\n\r\n", "many fields": "HTTP/1.1 200 OK\r\n" + strings.Repeat("X: y\r\n", 1000) + "\r\n",
		"exactly as long as may be": headerOf(2048), "one byte too long": headerOf(2049), "too long with one before": "HTTP/1.1 100 Continue\r\n\r\n" + headerOf(2040),
		"nothing": "", "an empty line": "\r\n", "no status": "HTTP/1.1\r\n\r\n", "a short status": "HTTP/1.1 20 OK\r\n\r\n", "a status of letters": "HTTP/1.1 abc OK\r\n\r\n", "a negative status": "HTTP/1.1 -10 OK\r\n\r\n", "no reason": "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", "another protocol": "SSH-2.0-OpenSSH\r\n", "an alert of TLS": "\x15\x03\x01\x00\x02\x02\x46",
		"lines without CR": "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello", "a field without a colon": "HTTP/1.1 200 OK\r\nX\r\n\r\n", "a field with a space": "HTTP/1.1 200 OK\r\nX : y\r\nContent-Length: 0\r\n\r\n", "a field with no name": "HTTP/1.1 200 OK\r\n: y\r\nContent-Length: 0\r\n\r\n", "a continued line": "HTTP/1.1 200 OK\r\nX: y\r\n z\r\nContent-Length: 0\r\n\r\n", "a first line continued": "HTTP/1.1 200 OK\r\n X: y\r\n\r\n", "a NUL": "HTTP/1.1 200 OK\r\nX: \x00\r\nContent-Length: 0\r\n\r\n",
		"two lengths": "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", "one length twice": "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello", "a negative length": "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "a length of letters": "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "a signed length": "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello", "no length in a length": "HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\n", "lengths in a list": "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello",
		"and more": short + "more", "and another": short + good, "chunks, and another": chunked + good, "empty, and another": "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" + good, "204 and a body": "HTTP/1.1 204 No\r\nContent-Length: 4\r\n\r\ngood", "one before, and another": "HTTP/1.1 100 Continue\r\n\r\n" + short + good, "long, and another": withLength("", strings.Repeat("x", 100_000)) + good, "compressed, and another": withLength(gzipped, zip) + good, "and a line": short + "\r\n",
	}
}

// headerOf returns an answer without a body whose header has n bytes.
func headerOf(n int) string {
	const begin, end = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: ", "\r\n\r\n"
	return begin + strings.Repeat("x", n-len(begin)-len(end)) + end
}

func shortHeaders(t *http.Transport) { t.MaxResponseHeaderBytes = 2048 }

func TestAnswersAreReadAsNetHTTPReadsThem(t *testing.T) {
	p := play(t)
	used := 0
	for name, raw := range raws() {
		t.Run(name, func(t *testing.T) {
			if p.same(t, []byte(raw), shortHeaders).Reused {
				used++
			}
			p.same(t, []byte(raw), func(t *http.Transport) { t.DisableCompression = true })
		})
	}
	require.Greater(t, used, 20)
}

func TestAnAnswerThatIsCutIsCutAsInNetHTTP(t *testing.T) {
	p := play(t)
	for name, raw := range map[string]string{
		"with a length": short, "in chunks": chunked, "until the end": "HTTP/1.1 200 OK\r\n\r\nhello", "one before": "HTTP/1.1 100 Continue\r\n\r\n" + short,
		"compressed": withLength(gzipped, zipped("hello")),
	} {
		t.Run(name, func(t *testing.T) {
			for n := range len(raw) {
				p.same(t, []byte(raw[:n]), shortHeaders)
			}
		})
	}
}

// The next request has a new connection where a server has gone over to another protocol.
func TestASwitchToAnotherProtocolIsAnAnswerWithoutABody(t *testing.T) {
	p := play(t)
	got := p.outcome(t, []byte("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nhello"), false, directly, shortHeaders)
	require.Equal(t, http.StatusSwitchingProtocols, got.Code)
	require.Empty(t, got.Body)
	require.False(t, got.Reused)
}

func FuzzAnswersAreReadAsNetHTTPReadsThem(f *testing.F) {
	for _, raw := range raws() {
		if len(raw) < 4096 {
			f.Add([]byte(raw))
		}
	}
	p := play(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) > 64<<10 || switches(raw) {
			return
		}
		p.same(t, raw, shortHeaders)
	})
}

// switches reports whether net/http would give the connection away: that has a test of its own.
func switches(raw []byte) bool {
	return bytes.Contains(raw, []byte(" 101"))
}

func TestABodyThatIsClosedIsNotReadOn(t *testing.T) {
	for name, header := range map[string]string{"plain": "", "compressed": gzipped} {
		t.Run(name, func(t *testing.T) {
			random := make([]byte, 100_000) // which cannot be compressed
			_, _ = rand.NewChaCha8([32]byte{}).Read(random)
			p := listen(t, answering(withLength(header, zipped(string(random)))))
			c := client(t, p.transport(), address)
			answer, err := c.Do(bounded(t), &http1.Request{})
			require.NoError(t, err)
			one := make([]byte, 1)
			n, err := answer.Body.Read(one)
			require.NoError(t, err)
			require.Equal(t, 1, n)
			require.NoError(t, answer.Body.Close())
			require.NoError(t, answer.Body.Close())
			n, err = answer.Body.Read(one)
			require.Error(t, err)
			require.NotErrorIs(t, err, io.EOF)
			require.Zero(t, n)
			require.Zero(t, p.end(t), "there was more to come, so nobody uses the connection")
		})
	}
}

func TestTheEndOfABodyIsSaidAgain(t *testing.T) {
	p := listen(t, answering(short))
	c := client(t, p.transport(), address)
	answer, err := c.Do(bounded(t), &http1.Request{})
	require.NoError(t, err)
	_, err = io.ReadAll(answer.Body)
	require.NoError(t, err)
	_, err = do(bounded(t), c, "") // on the same connection
	require.NoError(t, err)
	n, err := answer.Body.Read(make([]byte, 10))
	require.Equal(t, io.EOF, err)
	require.Zero(t, n)
	require.NoError(t, answer.Body.Close())
	requireHello := func() {
		text, err := do(bounded(t), c, "")
		require.NoError(t, err)
		require.Equal(t, "hello", text)
	}
	requireHello()
	require.EqualValues(t, 1, p.dials.Load())
}
