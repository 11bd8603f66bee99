//go:build !unix

package http1

import (
	"net"
	"syscall"
)

const canLook = false

// A socket is a connection. There is none, since it could not be looked at.
type socket struct{ net.Conn }

func newSocket(c net.Conn, _ syscall.RawConn) *socket { return &socket{c} }

func (*socket) alive() bool { return false }
