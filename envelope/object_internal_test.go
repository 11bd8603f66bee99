package envelope

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzMembers compares the members that are found in an object with those that encoding/json finds, one
// token after another.
func FuzzMembers(f *testing.F) {
	for _, seed := range []string{
		`{}`, ` { } `, `{"a":1}`, `{ "a" : -1.5e3 , "b" : [ 1 , {"c":"}"} ] }`, `{"a\"b":"\\","c":"\u005c\"]"}`, "{\"a\"\n:\ttrue\r,\"a\":null}",
		`{"":{},"x":[[[]]],"y":""}`, `{"a":"` + "\xff" + `"}`, `[1]`, `{"a":1`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if !json.Valid(data) || kind(data) != "object" {
			t.Skip()
		}
		type found struct{ name, value string }
		var got, want []found
		require.NoError(t, members(data, func(name string, value []byte) error {
			got = append(got, found{name, string(value)})
			require.True(t, json.Valid(value))
			if kind(value) == "array" {
				n := 0
				require.NoError(t, elements(value, func([]byte) error { n++; return nil }))
				var all []json.RawMessage
				require.NoError(t, json.Unmarshal(value, &all))
				require.Len(t, all, n)
			}
			return nil
		}))
		d := json.NewDecoder(bytes.NewReader(data))
		_, err := d.Token()
		require.NoError(t, err)
		for d.More() {
			name, err := d.Token()
			require.NoError(t, err)
			var value json.RawMessage
			require.NoError(t, d.Decode(&value))
			want = append(want, found{name.(string), string(value)})
		}
		require.Equal(t, want, got)
	})
}
