package http1

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A conn is a connection. While a request is made on it, it belongs to the goroutine that
// makes it; then it is idle.
type conn struct {
	client *Client
	raw    *wire
	stream net.Conn             // what is read and written: raw, or TLS over it
	state  *tls.ConnectionState // nil: no TLS
	since  time.Time            // when it became idle

	// While a request is made on it.
	ctx    context.Context //nolint:containedctx // of the request
	stop   func() bool     // ends what watches over ctx; false: that has closed the connection, or will
	reader *bufio.Reader
	left   int64 // bytes that may still come of a header
}

// connect makes a connection. The dialer and TLS see a context of their own, as with net/http: that
// of the request may be another request's later, and may end while the connection lives on.
func (c *Client) connect(ctx context.Context) (*conn, error) {
	own, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })
	defer stop()
	return c.dial(own)
}

func (c *Client) dial(ctx context.Context) (*conn, error) {
	dial := c.transport.DialContext
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	raw, err := dial(ctx, "tcp", c.address)
	switch {
	case err != nil:
		return nil, err
	case raw == nil:
		return nil, errors.New("http1: the dialer returned nothing")
	}
	whole := false
	defer func() { // also when a function of TLS's configuration ends the goroutine
		if !whole {
			_ = raw.Close()
		}
	}()
	fd := descriptor(raw)
	if fd == nil {
		return nil, c.leave("nobody would see the end of a connection of its dialer's") // while it is idle
	}
	over := &wire{socket: newSocket(raw, fd)}
	cn := &conn{client: c, raw: over, stream: over}
	if c.tls != nil {
		if err := cn.secure(ctx); err != nil {
			return nil, err
		}
	}
	whole = true
	return cn, nil
}

// leave leaves this request and all others to net/http.
func (c *Client) leave(why string) error {
	c.left.Store(&why)
	return ErrNotMade
}

// descriptor returns what the operating system knows of a connection; nil: that cannot be seen.
func descriptor(c net.Conn) syscall.RawConn {
	if s, ok := c.(syscall.Conn); ok {
		if fd, err := s.SyscallConn(); err == nil {
			return fd
		}
	}
	return nil
}

// A lateHandshake is the error of a handshake that takes too long.
type lateHandshake struct{}

func (lateHandshake) Error() string   { return "http1: the handshake of TLS takes too long" }
func (lateHandshake) Timeout() bool   { return true }
func (lateHandshake) Temporary() bool { return true }

// secure puts TLS over a new connection.
func (cn *conn) secure(ctx context.Context) error {
	if limit := cn.client.transport.TLSHandshakeTimeout; limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, limit, lateHandshake{})
		defer cancel()
	}
	over := tls.Client(cn.raw, cn.client.tls)
	if err := over.HandshakeContext(ctx); err != nil {
		if late, ok := context.Cause(ctx).(lateHandshake); ok { //nolint:errorlint // it is ours, as it is
			return late
		}
		return err
	}
	state := over.ConnectionState()
	switch spoken := state.NegotiatedProtocol; spoken {
	case "", "http/1.1":
	case "h2":
		return cn.client.leave("the server speaks HTTP/2")
	default:
		return cn.client.leave("the server speaks " + strconv.Quote(spoken))
	}
	cn.stream, cn.state = over, &state
	return nil
}

// A wire is what TLS is over, if there is TLS.
type wire struct {
	*socket

	looking bool // reads only look
}

// Read reads, or looks: if nothing has come, it returns an error that TLS takes for a passing one.
// A byte that has come is lost.
func (w *wire) Read(p []byte) (int, error) {
	switch {
	case !w.looking:
		return w.socket.Read(p)
	case w.silent():
		return 0, os.ErrDeadlineExceeded
	default:
		return 0, errSpoken
	}
}

// errSpoken is the error of a look at a connection that is not silent.
var errSpoken = errors.New("http1: something has come that nobody asked for, or the end")

// alive reports whether nothing has come on an idle connection: not its end, and nothing that
// nobody has asked for. TLS may have read such things with the end of the last answer. It takes
// what is about the connection itself, such as tickets.
func (cn *conn) alive() bool {
	cn.raw.looking = true
	defer func() { cn.raw.looking = false }()
	_, err := cn.stream.Read(cn.raw.one[:])
	return err == os.ErrDeadlineExceeded //nolint:errorlint // it is that of the wire, as it is
}

// errLongHeader is the error of an answer whose header does not end.
var errLongHeader = errors.New("the header is too long")

// Read reads for the reader of a request.
func (cn *conn) Read(p []byte) (int, error) {
	if cn.left <= 0 {
		return 0, errLongHeader
	}
	n, err := cn.stream.Read(p[:min(int64(len(p)), cn.left)])
	cn.left -= int64(n)
	return n, err
}

// What only a request in progress needs. A body is read past the reader, but for its beginning.
var (
	readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 2<<10) }}
	texts   = sync.Pool{New: func() any { return new([]byte) }}
)

// exchange makes a request: it returns when the header of the answer is read. written is false
// if nothing of the request was written.
func (cn *conn) exchange(ctx context.Context, r *Request) (answer *http.Response, written bool, err error) {
	cn.ctx, cn.stop = ctx, context.AfterFunc(ctx, cn.abort)
	whole := false
	defer func() { // also when a function of the dialer's connection ends the goroutine
		if !whole {
			cn.end(false)
		}
	}()
	if n, err := cn.write(r); err != nil {
		return nil, n > 0, fmt.Errorf("writing the request: %w", err)
	}
	cn.reader, _ = readers.Get().(*bufio.Reader) // nothing else is put there
	cn.reader.Reset(cn)
	if answer, err = cn.header(); err != nil {
		return nil, true, fmt.Errorf("reading the answer: %w", err)
	}
	whole = true
	answer.TLS = cn.state
	keep := !answer.Close && answer.StatusCode >= http.StatusOK
	if answer.Body == http.NoBody {
		cn.end(keep)
		cn.client.free()
		return answer, true, nil
	}
	answer.Body = &body{inner: answer.Body, conn: cn, keep: keep}
	if !cn.client.transport.DisableCompression && strings.EqualFold(answer.Header.Get("Content-Encoding"), "gzip") {
		unzip(answer)
	}
	return answer, true, nil
}

func (cn *conn) write(r *Request) (int, error) {
	text, _ := texts.Get().(*[]byte) // nothing else is put there
	defer texts.Put(text)
	*text = cn.client.append((*text)[:0], r)
	return cn.stream.Write(*text)
}

// asked is what the reading of an answer has to know of its request.
var asked = &http.Request{Method: http.MethodPost}

// header reads the header of the answer, and those of informational ones before it. As in
// net/http all of them together have the bound of one.
func (cn *conn) header() (*http.Response, error) {
	cn.left = cn.client.mostHead
	if _, err := cn.reader.Peek(1); err != nil {
		return nil, err // io.EOF: the server has closed the connection without an answer
	}
	if answer := readPlain(cn.reader); answer != nil {
		cn.left = math.MaxInt64
		return answer, nil
	}
	for {
		answer, err := http.ReadResponse(cn.reader, asked)
		if err != nil {
			return nil, err
		}
		if !informational(answer.StatusCode) {
			cn.left = math.MaxInt64
			answer.Request = nil
			return answer, nil
		}
	}
}

// informational reports whether another answer follows the one with a status.
func informational(status int) bool {
	return status >= http.StatusContinue && status < http.StatusOK && status != http.StatusSwitchingProtocols
}

// abort is called when the context of a request ends.
func (cn *conn) abort() { _ = cn.raw.Close() }

// end ends a request. The connection is kept if that is wished, and if nothing stands against it.
func (cn *conn) end(keep bool) {
	keep = cn.stop() && keep
	if cn.reader != nil {
		keep = keep && cn.reader.Buffered() == 0 // else something has come that nobody asked for
		cn.reader.Reset(nil)
		readers.Put(cn.reader)
	}
	cn.ctx, cn.stop, cn.reader = nil, nil, nil
	if !keep {
		_ = cn.raw.Close()
		return
	}
	cn.client.idle.put(cn)
}
