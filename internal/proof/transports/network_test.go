package transports

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A server is how SQS, or what stands before it, is reached.
type server struct {
	tls, h2   bool
	address   string        // to listen at; "": IPv4's loopback
	idle      time.Duration // after which it closes a connection; 0: never
	streams   int           // of an HTTP/2 connection at once; 0: many
	closes    int64         // a connection ends after every so manieth answer; 0: never. HTTP/2 says GOAWAY
	proxy     bool          // reached by CONNECT, with user and password
	noReuse   bool          // the client closes each connection after one call
	redirects bool          // the first answers name another host
}

// A spoiler answers a request in its own way, with what SQS would have answered.
type spoiler func(w http.ResponseWriter, r *http.Request, sqs http.Handler)

var rows = []row{
	{name: "HTTP", trust: transport},
	{name: "TLS", server: server{tls: true}},
	{name: "TLS, h2 offered, AWS_CA_BUNDLE", server: server{tls: true, h2: true}},
	{name: "TLS, h2 offered, CA by transport options", server: server{tls: true, h2: true}, trust: transport},
	{name: "CONNECT proxy with a password, h2 behind it", server: server{tls: true, h2: true, proxy: true}, trust: transport},
	{name: "IPv6", server: server{tls: true, h2: true, address: "[::1]:0"}},
	{name: "one connection a call", server: server{tls: true, noReuse: true}, trust: transport},
	{name: "connections closed when idle", server: server{tls: true, idle: 5 * time.Millisecond}},
	{name: "connections closed when idle, h2 offered", server: server{tls: true, h2: true, idle: 5 * time.Millisecond}},
	{name: "GOAWAY, and two streams at once", server: server{tls: true, h2: true, streams: 2, closes: 20}},
	{name: "HTML pages with 200", spoil: first(3, page(http.StatusOK)), server: server{tls: true, h2: true}},
	{name: "HTML pages with 403", spoil: first(3, page(http.StatusForbidden)), server: server{tls: true, h2: true}},
	{name: "HTML pages with 502", spoil: first(3, page(http.StatusBadGateway)), server: server{tls: true, h2: true}},
	{
		name: "truncated bodies", spoil: first(3, truncated), server: server{tls: true, h2: true}, visibility: 3 * time.Second,
		twice: "what was in an answer that was cut is hidden for its visibility timeout",
	},
	{
		name: "a stalled body", spoil: onlyReceives(first(1, stalled)), server: server{tls: true, h2: true}, poll: time.Second, visibility: 8 * time.Second,
		twice: "what was in an answer that never came to its end is hidden for its visibility timeout",
	},
	{name: "redirects to another host, 307", spoil: first(3, redirected(http.StatusTemporaryRedirect)), server: server{tls: true, h2: true, redirects: true}},
	{name: "redirects to another host, 302", spoil: first(3, redirected(http.StatusFound)), server: server{tls: true, h2: true, redirects: true}},
	{name: "a slow link: an answer takes 12 s", spoil: onlyReceives(first(1, trickled)), server: server{tls: true, h2: true}, poll: 2 * time.Second},
}

// A network is a row that is played.
type network struct {
	row     *row
	url     string // where clients find SQS
	proxy   *url.URL
	closing []func()
	over    context.Context // of all long polls
	empty   func()          // ends it
	answers atomic.Int64
	strayed atomic.Int64
	stray   string // another host's URL
}

func newNetwork(r *row) *network {
	n := &network{row: r}
	n.over, n.empty = context.WithCancel(context.Background())
	return n
}

func (n *network) close() {
	n.empty()
	for _, f := range n.closing {
		f()
	}
}

// start starts the servers, or says why it cannot.
func (n *network) start(sqs http.Handler) (skipped string) {
	if n.row.server.redirects {
		other := n.serve(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			n.strayed.Add(1)
			w.WriteHeader(http.StatusTeapot)
		}), nil)
		n.stray = other
	}
	var listener net.Listener
	if at := n.row.server.address; at != "" {
		var err error
		if listener, err = net.Listen("tcp", at); err != nil {
			return "this machine has no " + n.row.name + ": " + err.Error()
		}
	}
	n.url = n.serve(n.handler(sqs), listener)
	if n.row.server.proxy {
		n.startProxy()
	}
	return ""
}

// serve starts a server and returns its URL.
func (n *network) serve(h http.Handler, at net.Listener) string {
	o := &n.row.server
	s := httptest.NewUnstartedServer(h)
	if at != nil {
		_ = s.Listener.Close()
		s.Listener = at
	}
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // of connections that are cut
	s.Config.IdleTimeout = o.idle
	s.Config.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: o.streams}
	s.EnableHTTP2 = o.h2
	s.TLS = &tls.Config{Certificates: []tls.Certificate{identity()}}
	if o.tls {
		s.StartTLS()
	} else {
		s.Start()
	}
	n.closing = append(n.closing, func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s.URL
}

// handler is SQS as it looks over the network.
func (n *network) handler(sqs http.Handler) http.Handler {
	spoil := spoiler(func(w http.ResponseWriter, r *http.Request, sqs http.Handler) { sqs.ServeHTTP(w, r) })
	if n.row.spoil != nil {
		spoil = n.row.spoil()
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if every := n.row.server.closes; every > 0 && n.answers.Add(1)%every == 0 {
			w.Header().Set("Connection", "close")
		}
		if n.stray != "" {
			w.Header().Set("Location", n.stray+"/elsewhere")
		}
		if !receives(r) { // what was handled last is still to be deleted
			spoil(w, r, sqs)
			return
		}
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		defer context.AfterFunc(n.over, cancel)()
		spoil(w, r.WithContext(ctx), sqs)
	})
}

// fit lets a client's transport take the way that the row is about.
func (n *network) fit(t *http.Transport) {
	t.DisableKeepAlives = n.row.server.noReuse
	if n.proxy != nil {
		t.Proxy = http.ProxyURL(n.proxy)
	}
}

// startProxy starts a proxy that wants to know who asks.
func (n *network) startProxy() {
	wanted := "Basic " + base64.StdEncoding.EncodeToString([]byte("user:pass word"))
	var tunnels sync.WaitGroup
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect || r.Header.Get("Proxy-Authorization") != wanted {
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		far, err := net.Dial("tcp", r.Host)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		near, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			_ = far.Close()
			return
		}
		_, _ = io.WriteString(near, "HTTP/1.1 200 Connection established\r\n\r\n")
		for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
			tunnels.Go(func() {
				_, _ = io.Copy(way[0], way[1])
				_ = way[0].Close()
				_ = way[1].Close()
			})
		}
	}))
	n.proxy, _ = url.Parse(strings.Replace(s.URL, "http://", "http://user:pass%20word@", 1))
	n.closing = append(n.closing, func() {
		s.Close()
		tunnels.Wait()
	})
}

// first spoils the first few answers of each operation.
func first(n int64, spoil spoiler) func() spoiler {
	return func() spoiler {
		var counts sync.Map // of calls, by operation
		return func(w http.ResponseWriter, r *http.Request, sqs http.Handler) {
			count, _ := counts.LoadOrStore(r.Header.Get("X-Amz-Target"), new(atomic.Int64))
			if c, ok := count.(*atomic.Int64); ok && c.Add(1) <= n {
				spoil(w, r, sqs)
				return
			}
			sqs.ServeHTTP(w, r)
		}
	}
}

// receives reports whether a request is a receive.
func receives(r *http.Request) bool {
	return strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".ReceiveMessage")
}

// onlyReceives spoils the answers to receives alone.
func onlyReceives(make func() spoiler) func() spoiler {
	return func() spoiler {
		spoil := make()
		return func(w http.ResponseWriter, r *http.Request, sqs http.Handler) {
			if receives(r) {
				spoil(w, r, sqs)
				return
			}
			sqs.ServeHTTP(w, r)
		}
	}
}

// page answers with a page of a gateway's own. SQS does not get the request.
func page(status int) spoiler {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(status)
		fmt.Fprintf(w, "<!DOCTYPE html><html><head><title>%d</title></head><body><h1>%s</h1></body></html>\n", status, http.StatusText(status))
	}
}

// redirected answers with a redirect. SQS does not get the request.
func redirected(status int) spoiler {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(status)
	}
}

// answered lets SQS answer, and returns what it says, with its headers set.
func answered(w http.ResponseWriter, r *http.Request, sqs http.Handler) []byte {
	answer := httptest.NewRecorder()
	sqs.ServeHTTP(answer, r)
	maps.Copy(w.Header(), answer.Header())
	w.WriteHeader(answer.Code)
	return answer.Body.Bytes()
}

// half sends half of an answer.
func half(w http.ResponseWriter, r *http.Request, sqs http.Handler) {
	text := answered(w, r, sqs)
	_, _ = w.Write(text[:len(text)/2])
	_ = http.NewResponseController(w).Flush()
}

// truncated ends an answer in its middle.
func truncated(w http.ResponseWriter, r *http.Request, sqs http.Handler) {
	half(w, r, sqs)
	panic(http.ErrAbortHandler)
}

// stalled falls silent in the middle of an answer, until the client goes.
func stalled(w http.ResponseWriter, r *http.Request, sqs http.Handler) {
	half(w, r, sqs)
	<-r.Context().Done()
}

// trickled sends an answer in parts, for longer than a receive may be silent.
func trickled(w http.ResponseWriter, r *http.Request, sqs http.Handler) {
	const parts, pause = 60, 200 * time.Millisecond
	text := answered(w, r, sqs)
	for i := range parts {
		_, _ = w.Write(text[i*len(text)/parts : (i+1)*len(text)/parts])
		_ = http.NewResponseController(w).Flush()
		time.Sleep(pause) // that is how slow the link is
	}
}
