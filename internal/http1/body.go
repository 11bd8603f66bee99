package http1

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
)

// errClosed is the error of reading a body that was closed.
var errClosed = errors.New("http1: the body is closed")

// A body is that of an answer. With its end the request ends.
type body struct {
	inner io.ReadCloser // never closed: that would read to the end
	conn  *conn         // nil: the request has ended
	keep  bool          // the connection, for other requests
	err   error         // of reading on, when the request has ended
}

func (b *body) Read(p []byte) (int, error) {
	if b.conn == nil {
		return 0, b.err
	}
	n, err := b.inner.Read(p)
	if err == nil {
		return n, nil
	}
	whole := err == io.EOF //nolint:errorlint // that is how readers say it
	if ctx := b.conn.ctx; !whole && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	b.end(whole, err)
	return n, err
}

// Close ends the request. A connection with more of the answer to come is closed.
func (b *body) Close() error {
	if b.conn != nil {
		b.end(false, errClosed)
	}
	return nil
}

func (b *body) end(whole bool, err error) {
	cn := b.conn
	b.conn, b.inner, b.err = nil, nil, err // an error with the answer may be kept, and has no use for the rest
	cn.end(whole && b.keep)
	cn.client.free()
}

// unzip lets the body of an answer be read as it was before it was compressed, as net/http does
// for who has not asked for compression.
func unzip(answer *http.Response) {
	answer.Body = &unzipped{body: answer.Body}
	answer.Header.Del("Content-Encoding")
	answer.Header.Del("Content-Length")
	answer.ContentLength, answer.Uncompressed = -1, true
}

// An unzipped is a body that is compressed on its way.
type unzipped struct {
	body io.ReadCloser
	zip  *gzip.Reader
	err  error // of its beginning, or since it is closed
}

func (u *unzipped) Read(p []byte) (int, error) {
	if u.zip == nil && u.err == nil {
		u.zip, u.err = gzip.NewReader(u.body)
	}
	if u.err != nil {
		return 0, u.err
	}
	return u.zip.Read(p)
}

func (u *unzipped) Close() error {
	u.err = errClosed
	return u.body.Close()
}
