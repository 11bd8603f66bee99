package http1_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/http1"
)

func TestMain(m *testing.M) {
	log.SetOutput(io.Discard) // net/http tells there of bytes that nobody has asked for
	http1.CountAsBare(func(c net.Conn) bool {
		_, own := c.(*local)
		return own
	})
	m.Run()
}

const (
	address = "http://queue.test/"
	good    = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood"

	// limit is the end of a test that hangs. No test needs a hundredth of it.
	limit = time.Minute
)

// bounded returns a context that ends a test that hangs.
func bounded(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	return ctx
}

// A peer is a server whose connections follow a script. Its sockets are local ones: what is
// written to them, or their end, has arrived when the call returns.
type peer struct {
	path   string
	ended  chan int // the number of each connection whose script has ended
	dials  atomic.Int64
	open   atomic.Int64                             // connections of the client's that it has not closed
	client func(*local) net.Conn                    // changes connections of the client's; nil: as they are
	script func(n int, c net.Conn, r *bufio.Reader) // of connection n, from 0; it is closed then
}

// A local is a connection of the client's.
type local struct {
	*net.UnixConn

	peer *peer
	once sync.Once
}

func (l *local) Close() (err error) {
	l.once.Do(func() {
		l.peer.open.Add(-1) // before the server sees it
		err = l.UnixConn.Close()
	})
	return err
}

// listen starts a server.
func listen(t testing.TB, script func(n int, c net.Conn, r *bufio.Reader)) *peer {
	t.Helper()
	dir, err := os.MkdirTemp("", "http1") //nolint:usetesting // that of a test may be too long for the address of a socket
	require.NoError(t, err)
	p := &peer{path: filepath.Join(dir, "s"), ended: make(chan int, 10_000), script: script}
	l, err := net.Listen("unix", p.path)
	require.NoError(t, err)
	var all sync.WaitGroup
	over, end := context.WithTimeout(context.Background(), limit)
	all.Go(func() { p.serve(over, l, &all) })
	t.Cleanup(func() {
		_ = l.Close()
		end()
		all.Wait()
		_ = os.RemoveAll(dir)
	})
	return p
}

// serve serves connections until ctx ends.
func (p *peer) serve(ctx context.Context, l net.Listener, all *sync.WaitGroup) {
	for n := 0; ; n++ {
		c, err := l.Accept()
		if err != nil {
			return
		}
		_ = p.dials.Load() // see dial
		stop := context.AfterFunc(ctx, func() { _ = c.Close() })
		all.Go(func() {
			defer stop()
			defer func() { p.ended <- n }()
			defer c.Close()
			p.script(n, c, bufio.NewReader(c))
		})
	}
}

// dial connects to the server, whatever the address is.
func (p *peer) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	p.dials.Add(1) // before the server sees it: what a test has set by now is seen there, too
	c, err := new(net.Dialer).DialContext(ctx, "unix", p.path)
	if err != nil {
		p.dials.Add(-1)
		return nil, err
	}
	p.open.Add(1)
	l := &local{UnixConn: c.(*net.UnixConn), peer: p}
	if p.client != nil {
		return p.client(l), nil
	}
	return l, nil
}

// end waits until the script of a connection has ended, and returns its number.
func (p *peer) end(t testing.TB) int {
	t.Helper()
	return next(t, p.ended)
}

// next waits for what comes out of a channel.
func next[V any](t testing.TB, c <-chan V) (v V) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(limit):
		require.FailNow(t, "nothing has come")
	}
	return v
}

// transport returns one of net/http's whose connections go to the server.
func (p *peer) transport() *http.Transport { return &http.Transport{DialContext: p.dial} }

// take reads a request, and returns its body.
func take(r *bufio.Reader) (string, error) {
	request, err := http.ReadRequest(r)
	if err != nil {
		return "", err
	}
	body, err := io.ReadAll(request.Body)
	return string(body), err
}

// answering is a script that gives an answer to each request.
func answering(text string) func(int, net.Conn, *bufio.Reader) {
	return func(_ int, c net.Conn, r *bufio.Reader) {
		for {
			if _, err := take(r); err != nil {
				return
			}
			_, _ = io.WriteString(c, text)
		}
	}
}

// silent waits for the end of a connection.
func silent(r *bufio.Reader) { _, _ = io.Copy(io.Discard, r) }

func pattern(t testing.TB, url string) *http.Request {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, url, nil)
	require.NoError(t, err)
	r.Header.Set("User-Agent", "agent/1")
	return r
}

func client(t testing.TB, transport *http.Transport, url string) *http1.Client {
	t.Helper()
	c, err := http1.New(transport, pattern(t, url))
	require.NoError(t, err)
	return c
}

// do makes a request and returns the body of its answer.
func do(ctx context.Context, c *http1.Client, body string) (string, error) {
	answer, err := c.Do(ctx, &http1.Request{Body: []byte(body)})
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	return string(text), err
}

// requireGood requires that a request is answered with what the good answer has.
func requireGood(t *testing.T, c *http1.Client) {
	t.Helper()
	text, err := do(bounded(t), c, "")
	require.NoError(t, err)
	require.Equal(t, "good", text)
}

var errEnough = errors.New("enough")

// cancelable returns a context and what ends it, with errEnough.
func cancelable(t *testing.T) (context.Context, func()) {
	t.Helper()
	ctx, cancel := context.WithCancelCause(bounded(t))
	return ctx, func() { cancel(errEnough) }
}
