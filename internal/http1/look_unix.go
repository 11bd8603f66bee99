//go:build unix

package http1

import (
	"errors"
	"syscall"
)

const canLook = true

// alive reports whether nothing has come on an idle connection: not its end, and nothing that
// nobody has asked for.
func (cn *conn) alive() bool {
	silent := false
	err := cn.fd.Read(func(fd uintptr) (done bool) {
		var one [1]byte
		_, err := syscall.Read(int(fd), one[:]) // the descriptor does not block
		silent = errors.Is(err, syscall.EAGAIN)
		return true
	})
	return err == nil && silent
}
