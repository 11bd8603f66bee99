//go:build !unix || aix

package http1

import (
	"net"
	"syscall"
)

const canLook = false

// A socket is a connection. There is none, since it could not be looked at.
type socket struct {
	net.Conn

	one [1]byte
}

func newSocket(c net.Conn, _ syscall.RawConn) *socket { return &socket{Conn: c} }

func (*socket) silent() bool { return false }
