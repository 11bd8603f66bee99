// Package http1 makes requests over HTTP/1.1 on the goroutine that asks for them.
//
// net/http has two goroutines for each connection: one writes requests, the other one reads
// answers. A request is handed to the first, and its answer comes from the second. Where a
// program waits most of the time, each hand-over wakes a thread, which costs more than most
// else in a request. Here the caller writes and reads by itself.
//
// That is all that differs. A [Client] does as the [http.Transport] does that it was made of:
// it dials with the same dialer, speaks TLS by the same configuration, and keeps as many
// connections for as long. Only, one that the server has closed is not noticed before it is to
// be used again, or its time is over. What else a transport does is left to it: HTTP/2, proxies, large
// requests, traces. [New], [Client.Left] and [ErrNotMade] say where that is so.
package http1

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"reflect"
	"strconv"
	"strings"
	"sync/atomic"
)

// ErrNotMade is the error of a request that a [Client] leaves to net/http. Nothing of it was
// sent.
var ErrNotMade = errors.New("http1: not made, but left to net/http")

// mostBody is the longest body of a request, in bytes. net/http looks for an answer while it
// writes a longer one.
const mostBody = 64 << 10

// A Client makes requests to one address. All methods may be called concurrently. The zero
// value is not usable; see [New].
type Client struct {
	transport *http.Transport // what it does as
	address   string          // host and port
	tls       *tls.Config     // nil: no TLS
	head      string          // of each request, up to the length of its body
	tail      string          // of each header
	mostHead  int64           // bytes of an answer's header

	left  atomic.Pointer[string] // why all requests are left to net/http; nil: they are not
	slots chan struct{}          // one is taken for each connection in use; nil: there may be any number
	idle  idle
}

// New returns a Client for POST requests that have URL, host and User-Agent in common with
// pattern. It returns an error that says why there is none if t, or pattern, has something
// that is net/http's alone.
func New(t *http.Transport, pattern *http.Request) (*Client, error) {
	if why := alone(t); why != "" {
		return nil, errors.New("its transport has " + why)
	}
	if pattern.Method != http.MethodPost {
		return nil, fmt.Errorf("its method is %q", pattern.Method) // others are written and answered in other ways
	}
	host, address, err := places(pattern)
	if err != nil {
		return nil, err
	}
	if t.Proxy != nil {
		if proxy, err := t.Proxy(pattern); proxy != nil || err != nil {
			return nil, errors.New("there is a proxy")
		}
	}
	t = t.Clone() // with what it offers to servers of TLS, which is decided late
	agent, path := pattern.UserAgent(), pattern.URL.RequestURI()
	if agent == "" || !plain(agent) || !plain(path) {
		return nil, errors.New("its requests have unusual characters")
	}
	c := &Client{
		transport: t, address: address, mostHead: t.MaxResponseHeaderBytes, idle: newIdle(t),
		head: pattern.Method + " " + path + " HTTP/1.1\r\nHost: " + host + "\r\nUser-Agent: " + agent + "\r\nContent-Length: ",
		tail: "\r\n",
	}
	if !t.DisableCompression {
		c.tail = "Accept-Encoding: gzip\r\n\r\n"
	}
	if c.mostHead <= 0 {
		c.mostHead = 10 << 20 // as net/http has it
	}
	if t.MaxConnsPerHost > 0 {
		c.slots = make(chan struct{}, t.MaxConnsPerHost)
	}
	if pattern.URL.Scheme == "https" {
		c.tls = secured(t.TLSClientConfig, pattern.URL.Hostname())
	}
	return c, nil
}

// secured returns the configuration of TLS with a host.
func secured(by *tls.Config, host string) *tls.Config {
	if by == nil {
		by = new(tls.Config) // as net/http has it
	}
	by = by.Clone()
	if by.ServerName == "" {
		by.ServerName = host
	}
	return by
}

// alone returns what a transport has that is net/http's alone; "": nothing.
func alone(t *http.Transport) string {
	switch {
	case !canLook:
		return "connections that cannot be looked at on this platform"
	case !FindsProxiesAsUsual(t):
		return "a Proxy function"
	case t.DisableKeepAlives, t.MaxIdleConnsPerHost < 0:
		return "no idle connections"
	case t.DialTLSContext != nil, t.DialTLS != nil: //nolint:staticcheck // deprecated, and still obeyed
		return "a DialTLSContext function"
	case t.DialContext == nil && t.Dial != nil: //nolint:staticcheck // the same
		return "a Dial function"
	case t.ResponseHeaderTimeout != 0:
		return "a ResponseHeaderTimeout"
	case t.Protocols != nil && (!t.Protocols.HTTP1() || t.Protocols.UnencryptedHTTP2()):
		return "no HTTP/1.1"
	default:
		return ""
	}
}

// FindsProxiesAsUsual reports whether a transport finds proxies by the environment, or has none. A
// function of the user's is asked for each request, and sees its context.
func FindsProxiesAsUsual(t *http.Transport) bool {
	return t.Proxy == nil || reflect.ValueOf(t.Proxy).Pointer() == reflect.ValueOf(http.ProxyFromEnvironment).Pointer()
}

// places returns the host that requests name, and the address where it is.
func places(r *http.Request) (host, address string, err error) {
	port := r.URL.Port()
	switch scheme := r.URL.Scheme; {
	case scheme == "https" && port == "":
		port = "443"
	case scheme == "http" && port == "":
		port = "80"
	case scheme != "https" && scheme != "http":
		return "", "", fmt.Errorf("its scheme is %q", scheme)
	}
	if host = r.Host; host == "" {
		host = r.URL.Host
	}
	if r.URL.Opaque != "" || r.URL.Hostname() == "" || !spelled(host) || !spelled(r.URL.Host) {
		return "", "", errors.New("its address has unusual characters")
	}
	return host, net.JoinHostPort(r.URL.Hostname(), port), nil
}

// spelled reports whether a host, with a port or without, is written in a header as it is.
func spelled(host string) bool {
	return !strings.ContainsFunc(host, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune(".-_:[]", c)
	})
}

// plain reports whether a value is written in a header as it is. net/http refuses others, or
// writes them in another way.
func plain(value string) bool {
	for i := range len(value) {
		if c := value[i]; c < ' ' || c == 0x7f {
			return false
		}
	}
	return value == "" || value[0] != ' ' && value[len(value)-1] != ' '
}

// Left returns why all requests are left to net/http, which only a connection has shown. "":
// they are not.
func (c *Client) Left() string {
	if why := c.left.Load(); why != nil {
		return *why
	}
	return ""
}

// A Request is what a request has of its own.
type Request struct {
	Fields []Field // of its header, in the order in which they are written
	Body   []byte
}

// A Field is one of a header. Its name is a token, as HTTP has it.
type Field struct{ Name, Value string }

// Do makes a request. The body of the answer must be read to its end, or closed, by one
// goroutine. An error other than [ErrNotMade] may be that of a request that has arrived. If ctx
// ends before the body has, the error is the cause of that.
//
// A connection that was idle may have ended just before. If nothing of the request could be
// written to it, the request is made on another one.
func (c *Client) Do(ctx context.Context, r *Request) (*http.Response, error) {
	if !c.takes(ctx, r) {
		return nil, ErrNotMade
	}
	if err := c.wait(ctx); err != nil {
		return nil, err
	}
	failed := true // what dials may end the goroutine
	defer func() {
		if failed {
			c.free()
		}
	}()
	answer, err := c.exchange(ctx, r)
	failed = err != nil
	if failed && ctx.Err() != nil && !errors.Is(err, ErrNotMade) {
		err = context.Cause(ctx)
	}
	return answer, err
}

// takes reports whether a request is not left to net/http.
func (c *Client) takes(ctx context.Context, r *Request) bool {
	if c.left.Load() != nil || len(r.Body) > mostBody || httptrace.ContextClientTrace(ctx) != nil {
		return false
	}
	for i := range r.Fields {
		if !plain(r.Fields[i].Value) {
			return false
		}
	}
	return true
}

// wait waits until one more connection may be in use.
func (c *Client) wait(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if c.slots == nil {
		return nil
	}
	select {
	case c.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// free notes that a connection is not in use any more.
func (c *Client) free() {
	if c.slots != nil {
		<-c.slots
	}
}

// exchange makes a request on a connection that is idle, or else on a new one.
func (c *Client) exchange(ctx context.Context, r *Request) (*http.Response, error) {
	for cn := c.idle.take(); cn != nil; cn = c.idle.take() {
		answer, written, err := cn.exchange(ctx, r)
		if err == nil || written || ctx.Err() != nil {
			return answer, err
		}
	}
	cn, err := c.connect(ctx)
	if err != nil {
		return nil, err
	}
	answer, _, err := cn.exchange(ctx, r)
	return answer, err
}

// append appends a request as it is written: its header in the order of net/http.
func (c *Client) append(to []byte, r *Request) []byte {
	to = strconv.AppendInt(append(to, c.head...), int64(len(r.Body)), 10)
	to = append(to, "\r\n"...)
	for i := range r.Fields {
		to = append(append(to, r.Fields[i].Name...), ": "...)
		to = append(append(to, r.Fields[i].Value...), "\r\n"...)
	}
	return append(append(to, c.tail...), r.Body...)
}
