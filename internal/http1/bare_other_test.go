//go:build !linux || 386 || s390x

package http1

import "net"

// CountAsBare does nothing: there is no difference.
func CountAsBare(func(net.Conn) bool) {}
