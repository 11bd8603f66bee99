package envelope_test

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"math"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/envelope"
)

func compress(t testing.TB, bodies ...string) string {
	t.Helper()
	var out bytes.Buffer
	for _, body := range bodies { // each a gzip member of its own
		w := gzip.NewWriter(&out)
		_, err := w.Write([]byte(body))
		require.NoError(t, err)
		require.NoError(t, w.Close())
	}
	return base64.StdEncoding.EncodeToString(out.Bytes())
}

func encoded(body, encoding string) *sluice.Message {
	return &sluice.Message{ID: "m", Body: body, Attributes: map[string]types.MessageAttributeValue{
		"Content-Encoding": {DataType: new("String"), StringValue: &encoding},
		"other":            {DataType: new("String"), StringValue: new("x")},
	}}
}

func decompress(t testing.TB, l envelope.Limits, m *sluice.Message) (seen, error) {
	t.Helper()
	middleware, err := envelope.Decompress(l)
	require.NoError(t, err)
	got, failed := handle(t, []*sluice.Message{m}, middleware)
	require.Equal(t, 1, len(got)+len(failed))
	return got["m"], failed["m"]
}

func TestACompressedBodyIsDecompressed(t *testing.T) {
	for _, encoding := range []string{"gzip,base64", "gzip, base64", "GZIP,Base64", "gzip"} {
		m := encoded(compress(t, `{"order":`, `1}`), encoding)
		s, err := decompress(t, envelope.Limits{}, m)
		require.NoError(t, err)
		require.Equal(t, `{"order":1}`, s.message.Body)
		require.NotContains(t, s.message.Attributes, "Content-Encoding")
		require.Contains(t, s.message.Attributes, "other")
		require.Contains(t, m.Attributes, "Content-Encoding", "the message itself is not changed")
	}
}

func TestABodyWithoutEncodingIsNotDecompressed(t *testing.T) {
	body := compress(t, "x")
	s, err := decompress(t, envelope.Limits{}, &sluice.Message{ID: "m", Body: body})
	require.NoError(t, err)
	require.Equal(t, body, s.message.Body)
	m := encoded(body, "identity")
	s, err = decompress(t, envelope.Limits{}, m)
	require.NoError(t, err)
	require.Equal(t, *m, s.message)
}

func TestABodyThatCannotBeDecompressedFails(t *testing.T) {
	good := compress(t, strings.Repeat("canary", 100))
	raw, err := base64.StdEncoding.DecodeString(good)
	require.NoError(t, err)
	flipped := bytes.Clone(raw)
	flipped[len(flipped)-5] ^= 1 // in the checksum
	for body, want := range map[string]string{
		`{"canary":1}`:         "compressed body: is not gzip in base64: illegal base64 data at input byte 0",
		"":                     "compressed body: is not gzip in base64: EOF",
		"Y2FuYXJ5Y2FuYXJ5Y2E=": "compressed body: is not gzip in base64: gzip: invalid header",
		good[:40]:              "compressed body: is not gzip in base64: unexpected EOF",
		base64.StdEncoding.EncodeToString(flipped):                      "compressed body: is not gzip in base64: gzip: invalid checksum",
		base64.StdEncoding.EncodeToString(append(raw, "canary...."...)): "compressed body: is not gzip in base64: gzip: invalid header",
	} {
		_, err := decompress(t, envelope.Limits{}, encoded(body, "gzip,base64"))
		require.EqualError(t, err, "envelope: "+want)
	}
	for _, encoding := range []string{"", "zstd,base64", "base64,gzip", "gzip,gzip,base64", "canary"} {
		_, err := decompress(t, envelope.Limits{}, encoded(good, encoding))
		require.EqualError(t, err, `envelope: compressed body: the attribute Content-Encoding is not "gzip,base64"`)
	}
	binary := encoded(good, "")
	binary.Attributes["Content-Encoding"] = types.MessageAttributeValue{DataType: new("Binary"), BinaryValue: []byte("gzip")}
	_, err = decompress(t, envelope.Limits{}, binary)
	require.Error(t, err)
}

func TestLimitsHoldExactly(t *testing.T) {
	body := strings.Repeat("x", 100_000)
	packed, err := base64.StdEncoding.DecodeString(compress(t, body))
	require.NoError(t, err)
	enough := (len(body) + len(packed) - 1) / len(packed)
	message := encoded(compress(t, body), "gzip")
	for _, l := range []envelope.Limits{{Bytes: len(body), Ratio: enough + 1}, {Bytes: math.MaxInt, Ratio: math.MaxInt}} {
		s, err := decompress(t, l, message)
		require.NoError(t, err)
		require.Len(t, s.message.Body, len(body))
	}
	_, err = decompress(t, envelope.Limits{Bytes: len(body) - 1, Ratio: 10_000}, message)
	require.EqualError(t, err, "envelope: compressed body: is larger than 99999 bytes when it is decompressed, which is Limits.Bytes")
	_, err = decompress(t, envelope.Limits{Ratio: enough / 2}, message)
	require.ErrorContains(t, err, "times as large when it is decompressed, which is Limits.Ratio")
	s, err := decompress(t, envelope.Limits{Ratio: 1}, encoded(compress(t, body[:64<<10]), "gzip"))
	require.NoError(t, err, "what is small may have any ratio")
	require.Len(t, s.message.Body, 64<<10)
}

// bomb returns a body of not quite 1 MiB that gzip makes 1,000 times as large.
func bomb(t testing.TB) string {
	t.Helper()
	member, err := base64.StdEncoding.DecodeString(compress(t, strings.Repeat("0", 1<<20)))
	require.NoError(t, err)
	return base64.StdEncoding.EncodeToString(bytes.Repeat(member, 760<<10/len(member)))
}

func TestABombFailsAndTakesLittleMemory(t *testing.T) {
	body := bomb(t)
	require.Less(t, len(body), 1<<20+1)
	require.Greater(t, len(body), 1_000_000)
	const most = 4 << 20
	var err error
	taken := allocated(func() { _, err = decompress(t, envelope.Limits{Bytes: most}, encoded(body, "gzip")) })
	require.ErrorContains(t, err, "is larger than 4194304 bytes")
	require.Less(t, taken, uint64(6*most), "a buffer that doubles, and what gzip needs")
}

func TestLimitsAreNotNegative(t *testing.T) {
	middleware, err := envelope.Decompress(envelope.Limits{Bytes: -1, Ratio: -2})
	require.EqualError(t, err, "envelope: Bytes is -1, want at least 1, or 0 for the default of 16777216\nenvelope: Ratio is -2, want at least 1, or 0 for the default of 100")
	require.Nil(t, middleware)
	middleware, err = envelope.Decompress(envelope.Limits{})
	require.NoError(t, err)
	require.Nil(t, middleware(nil), "New and Run say what is wrong with that")
}

func TestACompressedMessageMayComeBySNS(t *testing.T) {
	decompress, err := envelope.Decompress(envelope.Limits{})
	require.NoError(t, err)
	body := `{"TopicArn":"` + ordersTopic + `","Type":"Notification","Message":"` + compress(t, `{"order":1}`) + `","MessageAttributes":{"Content-Encoding":{"Type":"String","Value":"gzip,base64"}}}`
	got, failed := handle(t, []*sluice.Message{{ID: "m", Body: body}}, unwrap(t, all), decompress)
	require.Empty(t, failed)
	require.Equal(t, `{"order":1}`, got["m"].message.Body)
	require.Equal(t, ordersTopic, got["m"].origin.SNS.TopicARN)
}
