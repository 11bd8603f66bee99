package sqstest

import (
	"bytes"
	"crypto/md5" // the protocol's checksum, not a secret's
	"encoding/hex"
	"encoding/json"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"
)

// FuzzParseHandle: what is taken for a receipt handle is exactly one that was handed out, and not
// one that somebody has changed.
func FuzzParseHandle(f *testing.F) {
	f.Add("", uint64(0), uint32(0), uint8(0))
	f.Add("garbage", uint64(1), uint32(2), uint8(30))
	f.Add(handle{queue: 2, message: 1 << 40, receipt: 3}.String(), uint64(1<<40), uint32(3), uint8(4))
	f.Add(handlePrefix+strings.Repeat("\n", 27), uint64(9), uint32(9), uint8(3))
	f.Fuzz(func(t *testing.T, s string, message uint64, receipt uint32, at uint8) {
		h := handle{queue: receipt ^ 7, message: message, receipt: receipt}
		given := h.String()
		got, ok := parseHandle(given)
		require.True(t, ok)
		require.Equal(t, h, got)
		place := int(at) % len(given)
		for _, s := range []string{s, given[:place] + s, given[:place] + s + given[min(len(given), place+len(s)):]} {
			if got, ok := parseHandle(s); ok {
				require.Equal(t, s, got.String())
			}
		}
	})
}

// FuzzRedrivePolicy: a policy that is accepted is in its bounds, and means the same when it is
// written down again.
func FuzzRedrivePolicy(f *testing.F) {
	for _, s := range []string{
		"", "null", "{}", `{"deadLetterTargetArn":"a","maxReceiveCount":"3"}`, `{"deadLetterTargetArn":"a","maxReceiveCount":1e3}`,
		`{"deadLetterTargetArn":"a","maxReceiveCount":2.5}`, `{"deadLetterTargetArn":"a","maxReceiveCount":1e308}`, `{"deadLetterTargetArn":1}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, policy string) {
		r, reason := parseRedrive(policy)
		if r == nil {
			require.Equal(t, policy == "", reason == "", "%q", policy)
			return
		}
		require.Empty(t, reason)
		require.NotEmpty(t, r.target)
		require.GreaterOrEqual(t, r.max, 1)
		require.LessOrEqual(t, r.max, maxReceiveCount)
		again, err := json.Marshal(map[string]any{"deadLetterTargetArn": r.target, "maxReceiveCount": itoa(r.max)})
		require.NoError(t, err)
		for _, policy := range []string{string(again), r.String()} {
			same, reason := parseRedrive(policy)
			require.Empty(t, reason)
			require.Equal(t, r, same)
		}
	})
}

// FuzzQueueAttributes: an attribute is either refused, and nothing changes, or its value is within
// the limits and told as it was given, with flags, numbers and redrive policies in one way of writing.
func FuzzQueueAttributes(f *testing.F) {
	for _, a := range [][2]string{
		{"VisibilityTimeout", "43200"},
		{"DelaySeconds", "-1"},
		{"MessageRetentionPeriod", "+60"},
		{"ReceiveMessageWaitTimeSeconds", "020"},
		{"MaximumMessageSize", "99999999999999999999"},
		{"RedrivePolicy", `{"deadLetterTargetArn":"a","maxReceiveCount":"3"}`},
		{"RedriveAllowPolicy", `{"redrivePermission":"byQueue","sourceQueueArns":["a"]}`},
		{"Policy", "{}"},
		{"FifoQueue", "false"},
		{"ContentBasedDeduplication", "true"},
		{"DeduplicationScope", "messageGroup"},
		{"KmsDataKeyReusePeriodSeconds", "60"},
		{"Nothing", ""},
	} {
		f.Add(a[0], a[1], true)
		f.Add(a[0], a[1], false)
	}
	f.Fuzz(func(t *testing.T, name, value string, fifo bool) {
		before := defaults(fifo)
		set, err := before.with(map[string]string{name: value}, fifo)
		require.Equal(t, defaults(fifo), before)
		if err != nil {
			return
		}
		requireTold(t, name, value, set.raw[name])
		within := func(d time.Duration, lo, hi int) {
			require.GreaterOrEqual(t, d, seconds(lo))
			require.LessOrEqual(t, d, seconds(hi))
		}
		within(set.visibility, 0, maxVisibility)
		within(set.delay, 0, maxDelay)
		within(set.retention, minRetention, maxRetention)
		within(set.wait, 0, maxWait)
		require.GreaterOrEqual(t, set.maxBytes, minMessageBytes)
		require.LessOrEqual(t, set.maxBytes, maxMessageBytes)
		again, err := set.with(set.raw, fifo)
		require.NoError(t, err)
		require.Equal(t, set, again)
	})
}

// requireTold expects told to be value, as far as there is but one way to write it.
func requireTold(t *testing.T, name, value, told string) {
	t.Helper()
	number, err := strconv.Atoi(told)
	given, errGiven := strconv.Atoi(value)
	switch {
	case name == "RedrivePolicy":
		want, _ := parseRedrive(value)
		got, _ := parseRedrive(told)
		require.Equal(t, want, got)
	case told == "true" || told == "false":
		require.True(t, strings.EqualFold(value, told), "%q is told as %q", value, told)
	case err == nil && errGiven == nil && name != "KmsMasterKeyId" && name != "Policy":
		require.Equal(t, given, number)
		require.Equal(t, itoa(number), told)
	default:
		require.Equal(t, value, told)
	}
}

// FuzzAttributesMD5 compares the digest with another way to compute it, for two attributes.
func FuzzAttributesMD5(f *testing.F) {
	f.Add("Hello", "String", "There", []byte(nil), "Help.Me", "Number.float", "1.5")
	f.Add("b", "Binary", "", []byte{0, 255}, "a", "Binary.png", "")
	f.Add("", "", "", []byte(nil), "", "", "\xff")
	f.Fuzz(func(t *testing.T, name, dataType, value string, raw []byte, name2, dataType2, value2 string) {
		attributes := map[string]types.MessageAttributeValue{
			name:  {DataType: &dataType, StringValue: &value, BinaryValue: raw},
			name2: {DataType: &dataType2, StringValue: &value2},
		}
		var b bytes.Buffer
		names := []string{name, name2}
		slices.Sort(names)
		for _, n := range slices.Compact(names) {
			a := attributes[n]
			kind, data := byte(1), []byte(*a.StringValue)
			if *a.DataType == "Binary" || strings.HasPrefix(*a.DataType, "Binary.") {
				kind, data = 2, a.BinaryValue
			}
			for _, part := range [][]byte{[]byte(n), []byte(*a.DataType), nil, data} {
				if part == nil && kind != 0 {
					b.WriteByte(kind)
					kind = 0
					continue
				}
				n := len(part)
				b.Write([]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
				b.Write(part)
			}
		}
		sum := md5.Sum(b.Bytes())
		require.Equal(t, hex.EncodeToString(sum[:]), attributesMD5(attributes))
		_ = checkMessageAttributes(attributes) // does not panic, whatever they are
		require.Equal(t, attributesMD5(attributes), attributesMD5(cloneAttributes(attributes)))
	})
}

// FuzzSelection: a receive gets an attribute if it asks for its name, for all, or for what it begins
// with, and never one that the message does not have.
func FuzzSelection(f *testing.F) {
	for _, name := range []string{"", "All", "*", ".*", "Hello", "Hel.*", "Help.*", "H*", "..*", "**"} {
		f.Add(name, "Hello")
	}
	f.Fuzz(func(t *testing.T, asked, name string) {
		has := map[string]types.MessageAttributeValue{name: {DataType: new("String"), StringValue: new("v")}}
		s, err := selectAttributes(nil, nil, []string{asked})
		require.NoError(t, err)
		m := message{attributes: has, attributesMD5: attributesMD5(has)}
		out := m.render("", s)
		require.Equal(t, len(out.MessageAttributes) == 0, out.MD5OfMessageAttributes == nil)
		got := len(out.MessageAttributes) == 1
		prefix, wild := strings.CutSuffix(asked, "*")
		want := asked == name || asked == "All" || wild && strings.HasPrefix(name, strings.TrimSuffix(prefix, "."))
		if wild && asked == name { // a name cannot have a star, so this is a prefix like any other
			want = strings.HasPrefix(name, strings.TrimSuffix(prefix, "."))
		}
		require.Equal(t, want, got)
		if got {
			require.Equal(t, m.attributesMD5, *out.MD5OfMessageAttributes)
		}
	})
}

// FuzzNumbers: a number is in the limits by another way to count them, or refused.
func FuzzNumbers(f *testing.F) {
	for _, s := range []string{"0", "-1.5e3", "1e126", "1.1e126", "1e-128", "0.01e-126", ".", "Inf", "00", "1e", strings.Repeat("9", 39), "0e9999"} {
		f.Add(s)
	}
	smallest, _ := new(big.Rat).SetString("1e-128")
	biggest, _ := new(big.Rat).SetString("1e126")
	plain := regexp.MustCompile(`^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?$`)
	f.Fuzz(func(t *testing.T, value string) {
		if !plain.MatchString(value) {
			if len(value) < 100 && !strings.ContainsAny(value, "eE") {
				require.False(t, validNumber(value), "%q", value)
			}
			return
		}
		n, ok := new(big.Rat).SetString(value)
		require.True(t, ok)
		mantissa, _, _ := strings.Cut(strings.ToLower(value), "e")
		digits := strings.Trim(strings.ReplaceAll(strings.TrimLeft(mantissa, "+-"), ".", ""), "0")
		n.Abs(n)
		inside := n.Sign() == 0 || n.Cmp(smallest) >= 0 && n.Cmp(biggest) <= 0 && len(digits) <= maxDigits
		require.Equal(t, inside, validNumber(value), "%q", value)
	})
}
