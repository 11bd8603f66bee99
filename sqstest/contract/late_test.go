package contract

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// late is a row that fails so often, each time after a stall.
func late(failures int, stall time.Duration) (row Row, tried *int) {
	tried = new(int)
	return Row{Name: "late", run: func(c *trial) {
		c.pause(second)
		if *tried++; *tried <= failures {
			time.Sleep(stall)
			c.failf("it is visible")
		}
	}}, tried
}

func TestARowThatWasLateIsTriedAgain(t *testing.T) {
	for name, tt := range map[string]struct {
		failures int
		stall    time.Duration
		deviates bool
		tried    int
		fails    bool
	}{
		"on time":              {failures: 0, tried: 1},
		"late":                 {failures: 2, stall: second, tried: 3},
		"late each time":       {failures: 10, stall: second, tried: tries, fails: true},
		"wrong and on time":    {failures: 1, stall: lateness, tried: 1, fails: true},
		"known, and it fails":  {failures: 1, stall: second, deviates: true, tried: 1, fails: true},
		"known, and it passes": {failures: 0, deviates: true, tried: 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				target := Target{New: func(*testing.T) API { return nil }}
				row, tried := late(tt.failures, tt.stall)
				if tt.deviates {
					target.Deviations = map[string]string{row.Name: "it is simpler"}
				}
				require.Equal(t, tt.fails, row.inRealTime(t, target) != nil)
				require.Equal(t, tt.tried, *tried)
			})
		})
	}
}
