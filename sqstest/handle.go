package sqstest

import (
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
)

// handle is what a receipt handle says: which receive, of which message, of which queue.
type handle struct {
	queue   uint32
	message uint64 // the message's number in its queue
	receipt uint32 // how many times the queue had delivered it, this receive included
}

const (
	handleBytes  = 20
	handlePrefix = "AQEB" // what real ones begin with
)

var handleText = base64.RawURLEncoding.Strict() // two bits are left over in the last letter, and must be zero

// String writes h as a receipt handle: its numbers and a checksum, so that what was never handed out is recognised.
func (h handle) String() string {
	var b [handleBytes]byte
	h.put(b[:])
	var text [len(handlePrefix) + 27]byte // 27 = 20 bytes in base64
	copy(text[:], handlePrefix)
	handleText.Encode(text[len(handlePrefix):], b[:])
	return string(text[:])
}

func (h handle) put(b []byte) {
	binary.BigEndian.PutUint32(b, h.queue)
	binary.BigEndian.PutUint64(b[4:], h.message)
	binary.BigEndian.PutUint32(b[12:], h.receipt)
	binary.BigEndian.PutUint32(b[16:], crc32.ChecksumIEEE(b[:16]))
}

// parseHandle reads a receipt handle; ok is false when it is none.
func parseHandle(s string) (h handle, ok bool) {
	if len(s) != len(handlePrefix)+27 || s[:len(handlePrefix)] != handlePrefix {
		return h, false
	}
	var b [handleBytes]byte
	if n, err := handleText.Decode(b[:], []byte(s[len(handlePrefix):])); err != nil || n != handleBytes { // it skips line ends
		return h, false
	}
	if crc32.ChecksumIEEE(b[:16]) != binary.BigEndian.Uint32(b[16:]) {
		return h, false
	}
	h.queue = binary.BigEndian.Uint32(b[:])
	h.message = binary.BigEndian.Uint64(b[4:])
	h.receipt = binary.BigEndian.Uint32(b[12:])
	return h, true
}
