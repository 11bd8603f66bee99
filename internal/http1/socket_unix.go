//go:build unix && !aix && (!linux || 386 || s390x)

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

	fd  syscall.RawConn
	one [1]byte // what a look reads
}

// newSocket returns c as a socket, with its descriptor.
func newSocket(c net.Conn, fd syscall.RawConn) *socket { return &socket{Conn: c, fd: fd} }

// silent reports whether there is nothing to read now, not even the end.
func (s *socket) silent() (yes bool) {
	err := s.fd.Read(func(fd uintptr) (done bool) {
		_, _, err := syscall.Recvfrom(int(fd), s.one[:], syscall.MSG_DONTWAIT)
		yes = errors.Is(err, syscall.EAGAIN)
		return true
	})
	return err == nil && yes
}
