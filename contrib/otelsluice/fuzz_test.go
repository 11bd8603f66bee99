package otelsluice_test

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/contrib/otelsluice"
)

func FuzzATraceHeaderThatIsReadIsWrittenAlike(f *testing.F) {
	f.Add("Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1")
	f.Add("Sampled=?;;Self=x;Root=1-")
	f.Add(strings.Repeat(";", 2000))
	f.Fuzz(func(t *testing.T, header string) {
		span := otelsluice.ParseTraceHeader(header)
		if span.IsValid() {
			require.Equal(t, span, otelsluice.ParseTraceHeader(otelsluice.PrintTraceHeader(span)))
		}
	})
}

// What is found in an object is what encoding/json finds there.
func FuzzMembersAreThoseOfTheObject(f *testing.F) {
	f.Add(`{"a":1,"b":{"c":["}","\""]},"d":"\\","e":null , "f" : true}`)
	f.Add(`{"Type":"Notification","TopicArn":"t","MessageAttributes":{"traceparent":{"Type":"String","Value":"00-1"}}}`)
	f.Add(`[`)
	f.Add(`{"a"`)
	f.Add(`{"a":"\`)
	f.Fuzz(func(t *testing.T, text string) {
		_ = otelsluice.Notified(text, func() []string { return []string{"traceparent"} })
		found := maps.Collect(otelsluice.Members(text))
		var want map[string]json.RawMessage
		if !utf8.ValidString(text) || json.Unmarshal([]byte(text), &want) != nil {
			return // whatever was found, nothing broke
		}
		for name, value := range want {
			got, ok := found[name]
			if written, err := json.Marshal(name); err != nil || string(written) != `"`+name+`"` || !ok && strings.Contains(text, `\`) {
				continue // a name that is not written plainly
			}
			require.JSONEq(t, string(value), got)
		}
	})
}
