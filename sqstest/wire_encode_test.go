package sqstest

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzAppendString: any string is written so that encoding/json reads what SQS means by it.
func FuzzAppendString(f *testing.F) {
	for _, s := range []string{"", "plain", "\"\\\n\r\t\b\x00\x1f\x7f", "ü漢😀", "\u2028\ufffd", "\xff\xc3", "a\xed\xa0\x80b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var got string
		require.NoError(t, json.Unmarshal(appendString(nil, s), &got))
		// A run of broken bytes: ToValidUTF8 writes one mark for all, JSON one for each.
		want := ""
		for _, r := range s {
			want += string(r)
		}
		require.Equal(t, want, got)
		require.True(t, strings.HasPrefix(string(appendString([]byte("x"), s)), `x"`))
	})
}
