//go:build !unix

package http1

const canLook = false

func (*conn) alive() bool { return false }
