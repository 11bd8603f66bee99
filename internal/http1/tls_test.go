package http1_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/http1"
)

// A secured is a server with TLS. Each connection has the script.
type secured struct {
	*peer

	url    string
	ca     *x509.CertPool
	own    tls.Certificate
	ended  chan error // of each connection
	script func(c *tls.Conn, r *bufio.Reader, flight *flight) error
}

// A flight holds back what is written until it is let go.
type flight struct {
	net.Conn

	held *bytes.Buffer // nil: nothing is
}

func (f *flight) Write(p []byte) (int, error) {
	if f.held != nil {
		return f.held.Write(p)
	}
	return f.Conn.Write(p)
}

// land lets all that was held back go, at once.
func (f *flight) land() error {
	held := f.held
	f.held = nil
	_ = f.Conn.SetWriteDeadline(time.Time{}) // TLS ends all writes with its own end
	_, err := f.Write(held.Bytes())
	return err
}

// secure starts a server with TLS. Its certificate is good for example.com and 127.0.0.1.
func secure(t *testing.T, set func(*tls.Config)) *secured {
	t.Helper()
	source := httptest.NewUnstartedServer(nil)
	source.StartTLS()
	s := &secured{url: "https://example.com/", ca: x509.NewCertPool(), own: source.TLS.Certificates[0], ended: make(chan error, 100)}
	s.ca.AddCert(source.Certificate())
	source.Close()
	by := &tls.Config{Certificates: []tls.Certificate{s.own}}
	set(by)
	s.script = func(c *tls.Conn, r *bufio.Reader, _ *flight) error {
		for {
			if _, err := take(r); err != nil {
				return nil //nolint:nilerr // the client has closed it
			}
			_, _ = io.WriteString(c, good)
		}
	}
	s.peer = listen(t, func(_ int, c net.Conn, _ *bufio.Reader) {
		f := &flight{Conn: c}
		over := tls.Server(f, by)
		if err := over.Handshake(); err != nil {
			s.ended <- err
			return
		}
		s.ended <- s.script(over, bufio.NewReader(over), f)
	})
	return s
}

func (s *secured) transport() *http.Transport {
	return &http.Transport{DialContext: s.dial, TLSClientConfig: &tls.Config{RootCAs: s.ca}, MaxConnsPerHost: 1}
}

func TestConnectionsWithTLSAreUsedAgain(t *testing.T) {
	for name, version := range map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13} {
		t.Run(name, func(t *testing.T) {
			s := secure(t, func(by *tls.Config) { by.MaxVersion = version })
			c := client(t, s.transport(), s.url)
			for range 5 {
				answer, err := c.Do(bounded(t), &http1.Request{})
				require.NoError(t, err)
				require.Equal(t, version, answer.TLS.Version)
				_, err = io.ReadAll(answer.Body)
				require.NoError(t, err)
				require.NoError(t, answer.Body.Close())
			}
			require.EqualValues(t, 1, s.dials.Load())
		})
	}
}

// What TLS has read of an idle connection is not the business of the next request.
func TestAnIdleConnectionThatTLSHasReadOnIsNotUsed(t *testing.T) {
	long := strings.Repeat("x", 10_000)
	for name, after := range map[string]func(c *tls.Conn, f *flight, answer string) error{
		"the end, at once": func(c *tls.Conn, f *flight, answer string) error {
			f.held = new(bytes.Buffer)
			_, _ = io.WriteString(c, answer)
			_ = c.CloseWrite()
			return f.land()
		},
		"the end, later": func(c *tls.Conn, _ *flight, answer string) error {
			_, _ = io.WriteString(c, answer)
			return c.CloseWrite()
		},
		"more, in one record": func(c *tls.Conn, _ *flight, answer string) error {
			_, err := io.WriteString(c, answer+good)
			return err
		},
		"more, in another record": func(c *tls.Conn, f *flight, answer string) error {
			f.held = new(bytes.Buffer)
			_, _ = io.WriteString(c, answer)
			_, _ = io.WriteString(c, good)
			return f.land()
		},
		"no TLS": func(c *tls.Conn, f *flight, answer string) error {
			_, _ = io.WriteString(c, answer)
			_, err := io.WriteString(f.Conn, "HTTP/1.1 400 Bad Request\r\n\r\n")
			return err
		},
	} {
		for size, body := range map[string]string{"short": "hello", "long": long} {
			t.Run(name+", "+size, func(t *testing.T) {
				s := secure(t, func(*tls.Config) {})
				usual, wrote := s.script, make(chan error, 1)
				s.script = func(c *tls.Conn, r *bufio.Reader, f *flight) error {
					if s.dials.Load() > 1 {
						return usual(c, r, f)
					}
					_, _ = take(r)
					wrote <- after(c, f, withLength("", body))
					silent(r)
					return nil
				}
				c := client(t, s.transport(), s.url)
				answer, err := c.Do(bounded(t), &http1.Request{})
				require.NoError(t, err)
				require.NoError(t, next(t, wrote))
				text := make([]byte, len(body)) // to the last byte, and not further
				_, err = io.ReadFull(answer.Body, text)
				require.NoError(t, err)
				require.Equal(t, body, string(text))
				_, _ = answer.Body.Read(text)
				requireGood(t, c)
				require.EqualValues(t, 2, s.dials.Load())
				require.NoError(t, next(t, s.ended), "the first connection is closed")
			})
		}
	}
}

// both makes a request through net/http, and without it.
func both(t *testing.T, transport *http.Transport, url string) (theirs, ours error) {
	t.Helper()
	defer transport.CloseIdleConnections()
	answer, theirs := transport.RoundTrip(pattern(t, url).WithContext(bounded(t)))
	if theirs == nil {
		_ = answer.Body.Close()
	}
	_, ours = do(bounded(t), client(t, transport, url), "")
	return theirs, ours
}

func TestErrorsOfTLSAreThoseOfNetHTTP(t *testing.T) {
	for name, c := range map[string]struct {
		server func(*tls.Config)
		client func(s *secured, t *tls.Config)
		url    string
		is     func(error) bool // nil: there is no error
	}{
		"a CA of the user's": {},
		"an address":         {url: "https://127.0.0.1/"},
		"an address of IPv6": {url: "https://[::1]/"},
		"a name of the configuration's": {
			url:    "https://queue.test/",
			client: func(_ *secured, t *tls.Config) { t.ServerName = "example.com" },
		},
		"nothing is checked": {
			url:    "https://queue.test/",
			client: func(_ *secured, t *tls.Config) { t.InsecureSkipVerify, t.RootCAs = true, nil },
		},
		"an unknown CA": {
			client: func(_ *secured, t *tls.Config) { t.RootCAs = x509.NewCertPool() },
			is: func(err error) bool {
				_, unknown := errors.AsType[x509.UnknownAuthorityError](err)
				_, invalid := errors.AsType[*tls.CertificateVerificationError](err)
				return unknown && invalid
			},
		},
		"another host": {
			url: "https://queue.test/",
			is:  func(err error) bool { _, ok := errors.AsType[x509.HostnameError](err); return ok },
		},
		"no version in common": {
			server: func(t *tls.Config) { t.MinVersion = tls.VersionTLS13 },
			client: func(_ *secured, t *tls.Config) { t.MaxVersion = tls.VersionTLS12 },
			is:     func(err error) bool { return strings.Contains(err.Error(), "tls: protocol version not supported") },
		},
		"a certificate of the client's": {
			server: func(t *tls.Config) { t.ClientAuth = tls.RequireAnyClientCert },
			client: func(s *secured, t *tls.Config) { t.Certificates = []tls.Certificate{s.own} },
		},
		"no certificate of the client's, 1.3": {
			server: func(t *tls.Config) { t.ClientAuth = tls.RequireAnyClientCert },
			is:     func(err error) bool { return err != nil }, // the server closes the connection while the request is written, or after that
		},
		"no certificate of the client's, 1.2": {
			server: func(t *tls.Config) { t.ClientAuth, t.MaxVersion = tls.RequireAnyClientCert, tls.VersionTLS12 },
			is:     func(err error) bool { return strings.Contains(err.Error(), "remote error: tls: ") },
		},
		"a function of the user's": {
			client: func(_ *secured, t *tls.Config) {
				t.VerifyConnection = func(tls.ConnectionState) error { return errEnough }
			},
			is: func(err error) bool { return errors.Is(err, errEnough) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			if c.server == nil {
				c.server = func(*tls.Config) {}
			}
			s := secure(t, c.server)
			transport := s.transport()
			if c.client != nil {
				c.client(s, transport.TLSClientConfig)
			}
			if c.url == "" {
				c.url = s.url
			}
			theirs, ours := both(t, transport, c.url)
			if c.is == nil {
				require.NoError(t, theirs)
				require.NoError(t, ours)
				return
			}
			require.True(t, c.is(theirs), "%v", theirs)
			require.True(t, c.is(ours), "%v", ours)
			if !strings.HasSuffix(name, "1.3") {
				require.Equal(t, theirs.Error(), ours.Error())
			}
		})
	}
}

func TestAServerWithoutTLSIsToldByItsAnswer(t *testing.T) {
	p := listen(t, func(_ int, c net.Conn, r *bufio.Reader) {
		_, _ = r.Peek(1)
		_, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n")
		silent(r)
	})
	transport := p.transport()
	theirs, ours := both(t, transport, "https://queue.test/")
	for _, err := range []error{theirs, ours} {
		header, ok := errors.AsType[tls.RecordHeaderError](err)
		require.True(t, ok, "%v", err)
		require.Equal(t, "HTTP/", string(header.RecordHeader[:]))
	}
}

func TestAHandshakeHasALimit(t *testing.T) {
	p := listen(t, func(_ int, _ net.Conn, r *bufio.Reader) { silent(r) })
	transport := p.transport()
	transport.TLSHandshakeTimeout, transport.MaxConnsPerHost = time.Millisecond, 1
	theirs, ours := both(t, transport, "https://queue.test/")
	for _, err := range []error{theirs, ours} {
		late, ok := errors.AsType[net.Error](err)
		require.True(t, ok, "%v", err)
		require.True(t, late.Timeout())
		require.NotErrorIs(t, err, context.DeadlineExceeded)
	}
	require.EqualError(t, ours, "http1: the handshake of TLS takes too long")
	p.end(t)
	p.end(t)
	require.Zero(t, p.open.Load())
}
