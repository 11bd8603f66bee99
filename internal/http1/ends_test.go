package http1_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/http1"
)

// A hooked is a connection with a function before each of its writes and reads.
type hooked struct {
	*local

	write func(p []byte) (n int, err error, done bool) //nolint:revive // as Write has it
	read  func()
}

func (h *hooked) Write(p []byte) (int, error) {
	if h.write != nil {
		if n, err, done := h.write(p); done {
			return n, err
		}
	}
	return h.local.Write(p)
}

func (h *hooked) Read(p []byte) (int, error) {
	if h.read != nil {
		h.read()
	}
	return h.local.Read(p)
}

// A request whose context ends has the cause of that, and nobody uses its connection again.
func TestAContextEndsItsRequest(t *testing.T) {
	read := func(t *testing.T, c *http1.Client, ctx context.Context, body string) error { //nolint:revive // the test comes first
		_, err := do(ctx, c, body)
		return err
	}
	for name, c := range map[string]struct {
		url    string
		script func(cancel func(), c net.Conn, r *bufio.Reader)
		client func(cancel func(), l *local) net.Conn
		dial   func(ctx context.Context, cancel func()) error
		body   string
		set    func(*http.Transport)
		do     func(t *testing.T, c *http1.Client, ctx context.Context, cancel func()) error
		dials  int64
	}{
		"before it": {do: func(t *testing.T, c *http1.Client, ctx context.Context, cancel func()) error {
			cancel()
			return read(t, c, ctx, "")
		}},
		"while it dials": {dial: func(ctx context.Context, cancel func()) error {
			cancel()
			<-ctx.Done()
			return ctx.Err()
		}},
		"in the handshake": {url: "https://queue.test/", dials: 1, script: func(cancel func(), _ net.Conn, r *bufio.Reader) {
			_, _ = r.Peek(1)
			cancel()
			silent(r)
		}},
		"while it is written": {body: strings.Repeat("x", 64<<10), dials: 1, client: func(cancel func(), l *local) net.Conn {
			_ = l.SetWriteBuffer(1 << 10)
			return &hooked{local: l, write: func([]byte) (int, error, bool) { cancel(); return 0, nil, false }}
		}, script: func(_ func(), c net.Conn, r *bufio.Reader) {
			_, _ = r.Peek(1)
			one := make([]byte, 1)
			for { // it reads nothing until the other end is closed
				if _, err := c.Write(one); err != nil {
					return
				}
				runtime.Gosched()
			}
		}},
		"before an answer": {dials: 1, script: func(cancel func(), _ net.Conn, r *bufio.Reader) {
			_, _ = take(r)
			cancel()
			silent(r)
		}},
		"in its header": {dials: 1, script: func(cancel func(), c net.Conn, r *bufio.Reader) {
			_, _ = take(r)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-")
			cancel()
			silent(r)
		}},
		"in its body": {dials: 1, script: func(_ func(), c net.Conn, r *bufio.Reader) {
			_, _ = take(r)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
			silent(r)
		}, do: func(t *testing.T, c *http1.Client, ctx context.Context, cancel func()) error {
			answer, err := c.Do(ctx, &http1.Request{})
			require.NoError(t, err)
			_, err = io.ReadFull(answer.Body, make([]byte, 5))
			require.NoError(t, err)
			cancel()
			_, err = io.ReadAll(answer.Body)
			require.NoError(t, answer.Body.Close())
			return err
		}},
		"in its body, compressed": {dials: 1, script: func(_ func(), c net.Conn, r *bufio.Reader) {
			_, _ = take(r)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n"+zipped("hello")[:12])
			silent(r)
		}, do: func(t *testing.T, c *http1.Client, ctx context.Context, cancel func()) error {
			answer, err := c.Do(ctx, &http1.Request{})
			require.NoError(t, err)
			go cancel()
			_, err = io.ReadAll(answer.Body)
			require.NoError(t, answer.Body.Close())
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := cancelable(t)
			first := atomic.Bool{}
			first.Store(true)
			p := listen(t, func(n int, conn net.Conn, r *bufio.Reader) {
				if n == 0 && c.dials > 0 {
					c.script(cancel, conn, r)
					return
				}
				answering(good)(n, conn, r)
			})
			if c.client != nil {
				p.client = func(l *local) net.Conn { return c.client(cancel, l) }
			}
			transport := p.transport()
			transport.MaxConnsPerHost = 1
			transport.DialContext = func(dialing context.Context, network, address string) (net.Conn, error) {
				if c.dial != nil && first.Swap(false) {
					return nil, c.dial(dialing, cancel)
				}
				return p.dial(dialing, network, address)
			}
			if c.url == "" {
				c.url = address
			}
			direct := client(t, transport, c.url)
			var err error
			if c.do != nil {
				err = c.do(t, direct, ctx, cancel)
			} else {
				err = read(t, direct, ctx, c.body)
			}
			require.Equal(t, errEnough, err)
			require.Equal(t, c.dials, p.dials.Load())
			if c.dials > 0 {
				require.Zero(t, p.end(t))
			}
			require.Zero(t, p.open.Load(), "no connection is left")
			if c.url == address {
				p.client = nil
				requireGood(t, direct) // there is a free slot
				require.Equal(t, c.dials+1, p.dials.Load())
			}
		})
	}
}

// An answer that is there is read, but who ended the context has closed the connection.
func TestAContextThatEndsWithTheAnswerLeavesNoConnection(t *testing.T) {
	p := listen(t, answering(good))
	transport := p.transport()
	transport.MaxConnsPerHost = 1
	c := client(t, transport, address)
	ctx, cancel := cancelable(t)
	answer, err := c.Do(ctx, &http1.Request{})
	require.NoError(t, err)
	cancel()
	text, err := io.ReadAll(answer.Body) // of what was read with the header
	require.NoError(t, err)
	require.Equal(t, "good", string(text))
	require.Zero(t, p.end(t))
	require.Zero(t, p.open.Load())
	requireGood(t, c)
	require.EqualValues(t, 2, p.dials.Load())
}

// A context may end when its request is over: it may be another request's, or nobody's.
func TestAContextThatEndsLaterEndsNothing(t *testing.T) {
	p := listen(t, answering(good))
	transport := p.transport()
	dial, ended := transport.DialContext, make(chan struct{})
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		_, limited := ctx.Deadline()
		require.False(t, limited)
		require.Equal(t, "value", ctx.Value(http1.Field{}))
		context.AfterFunc(ctx, func() { // a dialer should not do that, and net/http bears with it
			_ = c.Close()
			close(ended)
		})
		return c, err
	}
	c := client(t, transport, address)
	ctx, cancel := cancelable(t)
	_, err := do(context.WithValue(ctx, http1.Field{}, "value"), c, "")
	require.NoError(t, err)
	cancel()
	for range 100 {
		runtime.Gosched()
	}
	select {
	case <-ended:
		require.Fail(t, "the dialer's context has ended")
	default:
	}
	requireGood(t, c)
	require.EqualValues(t, 1, p.dials.Load())
}

// timedOut is what a server says to no request, or to one that comes in the same moment: nobody
// can tell the two apart.
const timedOut = "timed out"

// echo answers each request with its body, in one of several ways.
func echo(_ int, c net.Conn, r *bufio.Reader) {
	for {
		body, err := take(r)
		if err != nil {
			return
		}
		answer := withLength("", body)
		switch kind := rand.IntN(20); {
		case kind < 5:
			answer = fmt.Sprintf("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(body), body)
		case kind == 5:
			answer = withLength(gzipped, zipped(body))
		case kind < 10:
			answer = "HTTP/1.1 100 Continue\r\n\r\n" + answer
		}
		cut := rand.IntN(len(answer))
		_, _ = io.WriteString(c, answer[:cut])
		runtime.Gosched()
		if rand.IntN(20) == 0 { // a server that is about to go
			return
		}
		_, _ = io.WriteString(c, answer[cut:])
		if rand.IntN(20) == 0 {
			_, _ = io.WriteString(c, "HTTP/1.1 408 Request Timeout\r\n"+withLength("", timedOut)[len("HTTP/1.1 200 OK\r\n"):])
			return
		}
	}
}

func TestNoAnswerIsThatOfAnotherRequest(t *testing.T) {
	for name, url := range map[string]string{"plain": address, "TLS": "https://example.com/"} {
		t.Run(name, func(t *testing.T) {
			const slots, goroutines, requests = 5, 8, 50
			s := secure(t, func(*tls.Config) {})
			p := listen(t, echo)
			transport := p.transport()
			if name == "TLS" {
				s.script = func(c *tls.Conn, r *bufio.Reader, _ *flight) error { echo(0, c, r); return nil }
				s.ended = make(chan error, goroutines*requests+slots)
				transport, p = s.transport(), s.peer
			}
			transport.MaxConnsPerHost, transport.MaxIdleConnsPerHost = slots, 3
			c := client(t, transport, url)
			var all sync.WaitGroup
			var most, right atomic.Int64
			for g := range goroutines {
				all.Go(func() {
					for n := range requests {
						id := fmt.Sprintf("%d/%d %s", g, n, strings.Repeat("x", rand.IntN(10_000)))
						ctx, cancel := context.WithCancelCause(bounded(t))
						if rand.IntN(3) == 0 {
							after := rand.IntN(200)
							go func() {
								for range after {
									runtime.Gosched()
								}
								cancel(errEnough)
							}()
						}
						text, err := do(ctx, c, id)
						if err == nil {
							right.Add(1)
							if text != id && text != timedOut {
								t.Errorf("request %.10s has the answer %.10s", id, text)
							}
						}
						if open := p.open.Load(); open > most.Load() {
							most.Store(open)
						}
						cancel(nil)
					}
				})
			}
			all.Wait()
			require.Positive(t, right.Load())
			require.LessOrEqual(t, most.Load(), int64(slots))
			freeSlots(t, c, slots)
		})
	}
}

// freeSlots requires that so many requests can be made at once, and no more.
func freeSlots(t *testing.T, c *http1.Client, n int) {
	t.Helper()
	ctx, cancel := cancelable(t)
	var bodies []io.Closer
	for range n {
		answer, err := c.Do(bounded(t), &http1.Request{Body: []byte("x")})
		for ; err != nil && ctx.Err() == nil; answer, err = c.Do(bounded(t), &http1.Request{Body: []byte("x")}) {
			require.NotErrorIs(t, err, context.DeadlineExceeded)
		}
		require.NoError(t, err)
		bodies = append(bodies, answer.Body)
	}
	go cancel()
	_, err := c.Do(ctx, &http1.Request{})
	require.Equal(t, errEnough, err)
	for _, b := range bodies {
		require.NoError(t, b.Close())
	}
}

func TestRequestsWaitForASlot(t *testing.T) {
	p := listen(t, answering(good))
	transport := p.transport()
	transport.MaxConnsPerHost = 2
	c := client(t, transport, address)
	freeSlots(t, c, 2)
	first, err := c.Do(bounded(t), &http1.Request{})
	require.NoError(t, err)
	second, err := c.Do(bounded(t), &http1.Request{})
	require.NoError(t, err)
	texts := make(chan string, 1)
	go func() {
		text, _ := do(bounded(t), c, "")
		texts <- text
	}()
	for range 100 {
		runtime.Gosched()
	}
	require.Empty(t, texts)
	_, err = io.ReadAll(first.Body)
	require.NoError(t, err)
	require.Equal(t, "good", next(t, texts), "the end of a body frees it")
	require.NoError(t, second.Body.Close())
	require.NoError(t, second.Body.Close(), "and so does its Close, once")
	freeSlots(t, c, 2)
}

// What dials and what checks certificates is the user's code.
func TestCodeOfTheUsersThatPanicsLeavesNothing(t *testing.T) {
	for name, end := range map[string]func(){"panic": func() { panic(errEnough) }, "Goexit": runtime.Goexit} {
		for place, set := range map[string]func(t *http.Transport, p *peer, end func()){
			"in the dialer": func(t *http.Transport, p *peer, end func()) {
				t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
					end()
					return p.dial(ctx, network, address)
				}
			},
			"in VerifyConnection": func(t *http.Transport, _ *peer, end func()) {
				t.TLSClientConfig.VerifyConnection = func(tls.ConnectionState) error { end(); return nil }
			},
			"in a write": func(_ *http.Transport, p *peer, end func()) {
				p.client = func(l *local) net.Conn {
					return &hooked{local: l, write: func([]byte) (int, error, bool) { end(); return 0, nil, false }}
				}
			},
			"in a read": func(_ *http.Transport, p *peer, end func()) {
				reads := 0
				p.client = func(l *local) net.Conn {
					return &hooked{local: l, read: func() {
						if reads++; reads > 3 { // past the handshake
							end()
						}
					}}
				}
			},
		} {
			t.Run(name+" "+place, func(t *testing.T) {
				s := secure(t, func(*tls.Config) {})
				transport := s.transport()
				ends := true
				set(transport, s.peer, func() {
					if ends {
						ends = false
						end()
					}
				})
				c := client(t, transport, s.url)
				var all sync.WaitGroup
				all.Go(func() {
					defer func() { _ = recover() }()
					for range 5 {
						_, _ = do(bounded(t), c, "")
					}
				})
				all.Wait()
				require.False(t, ends)
				require.LessOrEqual(t, s.open.Load(), int64(0))
				requireGood(t, c)
			})
		}
	}
}

func TestAnIdleConnectionThatHasEndedFailsNoRequest(t *testing.T) {
	for name, end := range map[string]func(c net.Conn){
		"closed":      func(c net.Conn) { _ = c.Close() },
		"half closed": func(c net.Conn) { _ = c.(*net.UnixConn).CloseWrite() },
		"a timeout": func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
		},
		"more":         func(c net.Conn) { _, _ = io.WriteString(c, good) },
		"one line end": func(c net.Conn) { _, _ = io.WriteString(c, "\n") },
	} {
		t.Run(name, func(t *testing.T) {
			now, done := make(chan struct{}), make(chan struct{}, 1)
			p := listen(t, func(n int, c net.Conn, r *bufio.Reader) {
				_, _ = take(r)
				_, _ = io.WriteString(c, good)
				if n > 0 {
					silent(r)
					return
				}
				<-now
				end(c)
				done <- struct{}{}
				silent(r)
			})
			c := client(t, p.transport(), address)
			requireGood(t, c)
			close(now)
			next(t, done)
			requireGood(t, c)
			require.EqualValues(t, 2, p.dials.Load())
			require.Zero(t, p.end(t))
			require.EqualValues(t, 1, p.open.Load())
		})
	}
}

func TestIdleConnectionsHaveTheBoundsOfTheTransport(t *testing.T) {
	for name, c := range map[string]struct {
		set  func(*http.Transport)
		want int64
	}{
		"the default":               {func(*http.Transport) {}, http.DefaultMaxIdleConnsPerHost},
		"for a host":                {func(t *http.Transport) { t.MaxIdleConnsPerHost = 3 }, 3},
		"for all":                   {func(t *http.Transport) { t.MaxIdleConnsPerHost, t.MaxIdleConns = 4, 1 }, 1},
		"for a host, less than all": {func(t *http.Transport) { t.MaxIdleConnsPerHost, t.MaxIdleConns = 3, 100 }, 3},
	} {
		t.Run(name, func(t *testing.T) {
			p := listen(t, answering(good))
			transport := p.transport()
			c.set(transport)
			direct := client(t, transport, address)
			var answers []*http.Response
			for range 6 {
				answer, err := direct.Do(bounded(t), &http1.Request{})
				require.NoError(t, err)
				answers = append(answers, answer)
			}
			require.EqualValues(t, 6, p.open.Load())
			for _, answer := range answers {
				_, err := io.ReadAll(answer.Body)
				require.NoError(t, err)
			}
			require.Equal(t, c.want, p.open.Load())
			requireGood(t, direct)
			require.EqualValues(t, 6, p.dials.Load())
		})
	}
}

func TestConnectionsAreIdleForALimitedTime(t *testing.T) {
	p := listen(t, answering(good))
	transport := p.transport()
	transport.IdleConnTimeout, transport.MaxIdleConnsPerHost = time.Microsecond, 10
	c := client(t, transport, address)
	for range 3 { // each time with a new timer
		requireGood(t, c)
		p.end(t)
		require.Zero(t, p.open.Load())
	}
}

func TestARequestOfWhichNothingWasWrittenIsMadeOnAnotherConnection(t *testing.T) {
	for name, c := range map[string]struct {
		n    int // bytes that the second write writes
		good bool
	}{"nothing": {0, true}, "a part": {1, false}} {
		t.Run(name, func(t *testing.T) {
			p := listen(t, answering(good))
			p.client = func(l *local) net.Conn {
				writes := 0
				return &hooked{local: l, write: func(p []byte) (int, error, bool) {
					if writes++; writes == 2 {
						n, _ := l.Write(p[:c.n])
						return n, errEnough, true
					}
					return 0, nil, false
				}}
			}
			direct := client(t, p.transport(), address)
			requireGood(t, direct)
			text, err := do(bounded(t), direct, "")
			if c.good {
				require.NoError(t, err)
				require.Equal(t, "good", text)
				require.EqualValues(t, 2, p.dials.Load())
				return
			}
			require.ErrorIs(t, err, errEnough)
			require.EqualError(t, err, "writing the request: enough")
			require.EqualValues(t, 1, p.dials.Load())
			require.Zero(t, p.end(t))
		})
	}
	p := listen(t, answering(good))
	p.client = func(l *local) net.Conn {
		return &hooked{local: l, write: func([]byte) (int, error, bool) { return 0, errEnough, true }}
	}
	_, err := do(bounded(t), client(t, p.transport(), address), "")
	require.ErrorIs(t, err, errEnough)
	require.EqualValues(t, 1, p.dials.Load(), "a new connection has no other in its stead")
}

func TestErrorsOfDialersAreAsTheyAre(t *testing.T) {
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "queue.test", IsNotFound: true}}
	c := client(t, &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return nil, refused }}, address)
	_, err := do(bounded(t), c, "")
	require.Equal(t, error(refused), err)
}
