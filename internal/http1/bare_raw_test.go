//go:build linux && !386 && !s390x

package http1

import "net"

// CountAsBare lets connections count as the operating system's, beside those that are.
func CountAsBare(also func(net.Conn) bool) {
	before := isBare
	isBare = func(c net.Conn) bool { return before(c) || also(c) }
}
