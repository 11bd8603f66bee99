//go:build unix && !linux

package http1

import (
	"errors"
	"net"
	"syscall"
)

const canLook = true

// A socket is a connection that can be looked at.
type socket struct {
	net.Conn

	fd syscall.RawConn
}

// newSocket returns c as a socket, with its descriptor.
func newSocket(c net.Conn, fd syscall.RawConn) *socket { return &socket{c, fd} }

// alive reports whether nothing has come on an idle connection: not its end, and nothing that
// nobody has asked for.
func (s *socket) alive() bool {
	silent := false
	err := s.fd.Read(func(fd uintptr) (done bool) {
		var one [1]byte
		_, err := syscall.Read(int(fd), one[:]) // it does not block
		silent = errors.Is(err, syscall.EAGAIN)
		return true
	})
	return err == nil && silent
}
