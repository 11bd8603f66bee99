package sluice_test

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sqstest"
)

func TestEachReasonHasAWordAndACounter(t *testing.T) {
	s := sqstest.New()
	c, err := sluice.New(s, s.MustCreateQueue("orders", nil), sluice.Options{})
	require.NoError(t, err)
	batches := c.Stats().Batches
	all := []sluice.Reason{sluice.ReasonFull, sluice.ReasonBytes, sluice.ReasonWaitTime, sluice.ReasonDrained, sluice.ReasonStopping}
	require.Equal(t, all, slices.Sorted(maps.Keys(batches)))
	words := map[string]bool{}
	for _, r := range all {
		require.NotContains(t, r.String(), "Reason(")
		words[r.String()] = true
	}
	require.Len(t, words, len(all))
	require.Equal(t, "Reason(-1)", sluice.Reason(-1).String())
	require.Equal(t, "Reason(5)", sluice.Reason(5).String())
	text, err := json.Marshal(batches)
	require.NoError(t, err)
	require.JSONEq(t, `{"full": 0, "bytes": 0, "wait time": 0, "drained": 0, "stopping": 0}`, string(text))
}
