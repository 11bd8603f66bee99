//go:build linux && !386 && !s390x

package http1

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"unsafe"
)

const canLook = true

// A socket is a connection whose system calls the runtime does not see.
//
// While all goroutines wait, the runtime's monitor sleeps. An ordinary system call wakes it, and
// then it looks around every 20 µs until all wait again. Where a program mostly waits for
// answers, more than half of what the operating system switches between is that. The monitor is
// there for calls that block, and nothing could end these if they did. So each asks not to block,
// whatever else has become of the descriptor. The runtime's poller waits.
//
// One goroutine at a time may read, and one may write.
type socket struct {
	net.Conn

	fd      syscall.RawConn
	bare    bool // the connection is the operating system's, with nothing of the user's around it
	in, out transfer

	look  func(uintptr) bool // tries to read a byte
	one   [1]byte            // it goes there
	quiet bool               // there was none
}

// newSocket returns c as a socket, with its descriptor.
func newSocket(c net.Conn, fd syscall.RawConn) *socket {
	s := &socket{Conn: c, fd: fd, in: transfer{trap: syscall.SYS_RECVFROM}, out: transfer{trap: syscall.SYS_SENDTO}}
	s.in.try, s.out.try, s.look = s.in.call, s.out.call, s.peek // made once: each is a piece of memory
	s.bare = isBare(c)
	return s
}

// isBare reports whether a connection is the operating system's as it is: another one may read
// and write in its own way. Tests have others that count.
var isBare = func(c net.Conn) bool {
	switch c.(type) {
	case *net.TCPConn, *net.UnixConn:
		return true
	default:
		return false
	}
}

// A transfer is a read or a write.
type transfer struct {
	trap  uintptr            // which system call it is
	try   func(uintptr) bool // call
	p     []byte             // what it is about
	n     int                // how many bytes it has read or written
	errno syscall.Errno      // 0: none
}

// call makes the system call, and reports whether it has had an end. If not, the poller waits.
func (t *transfer) call(fd uintptr) (ended bool) {
	const most = 64 << 10 // bytes: a garbage collection waits for the end of the call
	errno := syscall.EINTR
	for errno == syscall.EINTR {
		var n uintptr
		n, _, errno = syscall.RawSyscall6(t.trap, fd, uintptr(unsafe.Pointer(&t.p[0])), uintptr(min(len(t.p), most)), syscall.MSG_DONTWAIT|syscall.MSG_NOSIGNAL, 0, 0) //nolint:gosec // as package syscall does
		t.n = int(n)
	}
	if errno != 0 {
		t.n = 0
	}
	t.errno = errno
	return errno != syscall.EAGAIN
}

// end returns what a transfer has come to. err is that of the poller.
func (t *transfer) end(err error) (int, error) {
	t.p = nil
	if err == nil && t.errno != 0 {
		err = t.errno
	}
	return t.n, err
}

// Read reads as the connection does.
func (s *socket) Read(p []byte) (int, error) {
	if len(p) == 0 || !s.bare {
		return s.Conn.Read(p)
	}
	s.in.p, s.in.n, s.in.errno = p, 0, 0
	n, err := s.in.end(s.fd.Read(s.in.try))
	switch {
	case err != nil:
		return 0, s.failed("read", err)
	case n == 0:
		return 0, io.EOF
	default:
		return n, nil
	}
}

// Write writes as the connection does.
func (s *socket) Write(p []byte) (written int, err error) {
	if !s.bare {
		return s.Conn.Write(p)
	}
	for written < len(p) {
		s.out.p, s.out.n, s.out.errno = p[written:], 0, 0
		n, err := s.out.end(s.fd.Write(s.out.try))
		written += n
		if err != nil {
			return written, s.failed("write", err)
		}
	}
	return written, nil
}

// failed returns err as the connection would.
func (s *socket) failed(op string, err error) error {
	if poller, ok := errors.AsType[*net.OpError](err); ok {
		err = poller.Err // it is closed, or its deadline is over
	} else {
		err = os.NewSyscallError(op, err)
	}
	return &net.OpError{Op: op, Net: s.RemoteAddr().Network(), Source: s.LocalAddr(), Addr: s.RemoteAddr(), Err: err}
}

// silent reports whether there is nothing to read now, not even the end.
func (s *socket) silent() bool {
	err := s.fd.Read(s.look)
	return err == nil && s.quiet
}

func (s *socket) peek(fd uintptr) bool {
	s.in.p = s.one[:]
	s.quiet = !s.in.call(fd)
	return true
}
