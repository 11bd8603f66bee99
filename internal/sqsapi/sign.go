package sqsapi

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"hash"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// A scope is what the signatures of a client's requests are for, besides the request.
type scope struct{ region, service, host, path string }

// A signer signs requests by AWS's Signature Version 4. It keeps the key of the day, which
// takes five of a signature's six HMACs. It is used by one goroutine at a time.
type signer struct {
	secret, day string
	mac         hash.Hash // with the key of that day

	stamp, id [36]byte
	text, sum []byte
}

// A signed is what a signature takes from a request, and the headers that it adds.
type signed struct {
	id, attempt, target, token string // attempt: which one it is; token: of the session, "": none
	date, authorization        string
}

const (
	dateForm   = "20060102T150405Z"
	dateLength = len(dateForm)
	idLength   = 36
	day        = len("20060102")
)

// sign fills in the id, the date and the authorization of a request. It leaves an id that is
// there. They share one string.
func (s *signer) sign(to *signed, body []byte, by aws.Credentials, at time.Time, in *scope) {
	stamp := at.UTC().AppendFormat(s.stamp[:0], dateForm)
	id := append(s.id[:0], to.id...)
	if len(id) == 0 {
		id = appendID(id)
	}
	s.keep(by.SecretAccessKey, stamp[:day], in)

	names := "amz-sdk-invocation-id;amz-sdk-request;content-length;content-type;host;x-amz-date;x-amz-target;x-amzn-query-mode"
	if to.token != "" {
		names = "amz-sdk-invocation-id;amz-sdk-request;content-length;content-type;host;x-amz-date;x-amz-security-token;x-amz-target;x-amzn-query-mode"
	}
	t := s.text[:0]
	t = append(append(t, "POST\n"...), in.path...)
	t = append(t, "\n\namz-sdk-invocation-id:"...)
	t = append(t, id...)
	t = append(append(t, "\namz-sdk-request:"...), to.attempt...)
	t = strconv.AppendInt(append(t, "\ncontent-length:"...), int64(len(body)), 10)
	t = append(t, "\ncontent-type:"+contentType+"\nhost:"...)
	t = append(t, in.host...)
	t = append(append(t, "\nx-amz-date:"...), stamp...)
	if to.token != "" {
		t = append(append(t, "\nx-amz-security-token:"...), to.token...)
	}
	t = append(append(t, "\nx-amz-target:"...), to.target...)
	t = append(t, "\nx-amzn-query-mode:true\n\n"...)
	t = append(append(t, names...), '\n')
	t = appendSum(t, body)

	canonical := sha256.Sum256(t)
	t = append(append(t[:0], "AWS4-HMAC-SHA256\n"...), stamp...)
	t = in.append(append(t, '\n'), stamp)
	t = appendHex(append(t, '\n'), canonical[:])
	s.mac.Reset()
	s.mac.Write(t)
	s.sum = s.mac.Sum(s.sum[:0])

	t = append(append(t[:0], id...), stamp...)
	t = append(append(t, "AWS4-HMAC-SHA256 Credential="...), by.AccessKeyID...)
	t = in.append(append(t, '/'), stamp)
	t = append(append(t, ", SignedHeaders="...), names...)
	t = appendHex(append(t, ", Signature="...), s.sum)
	s.text = t
	all := string(t)
	to.id, to.date, to.authorization = all[:idLength], all[idLength:idLength+dateLength], all[idLength+dateLength:]
}

// append appends the scope of a signature of a day.
func (in *scope) append(t, stamp []byte) []byte {
	t = append(append(t, stamp[:day]...), '/')
	t = append(append(t, in.region...), '/')
	return append(append(t, in.service...), "/aws4_request"...)
}

// keep makes sure that the key is that of a day and a secret. A secret that rotates and a
// new day make another one.
func (s *signer) keep(secret string, today []byte, in *scope) {
	if s.mac != nil && s.secret == secret && s.day == string(today) {
		return
	}
	key := []byte("AWS4" + secret)
	for _, part := range []string{string(today), in.region, in.service, "aws4_request"} {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(part))
		key = h.Sum(nil)
	}
	s.secret, s.day, s.mac = secret, string(today), hmac.New(sha256.New, key)
}

func appendSum(to, body []byte) []byte {
	sum := sha256.Sum256(body)
	return appendHex(to, sum[:])
}

const hexDigits = "0123456789abcdef"

func appendHex(to, sum []byte) []byte {
	for _, b := range sum {
		to = append(to, hexDigits[b>>4], hexDigits[b&15])
	}
	return to
}

// appendID appends a random UUID, which names a call in all of its attempts.
func appendID(to []byte) []byte {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	to = append(appendHex(to, id[:4]), '-')
	to = append(appendHex(to, id[4:6]), '-')
	to = append(appendHex(to, id[6:8]), '-')
	to = append(appendHex(to, id[8:10]), '-')
	return appendHex(to, id[10:])
}
