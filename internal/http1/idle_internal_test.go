package http1

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The timer of idle connections stands still while the machine sleeps; the clock on the wall does
// not.
func TestAConnectionIsTooOldByTheClockOnTheWall(t *testing.T) {
	idle := newIdle(&http.Transport{IdleConnTimeout: time.Minute})
	slept := time.Now().Round(0) // without a reading of the clock that stands still
	require.False(t, idle.outlived(&conn{since: slept.Add(-59 * time.Second)}))
	require.True(t, idle.outlived(&conn{since: slept.Add(-61 * time.Second)}))
	require.False(t, idle.outlived(&conn{since: slept.Add(time.Hour)}), "the clock was set back")
	idle = newIdle(new(http.Transport))
	require.False(t, idle.outlived(&conn{}), "they may be idle for ever")
}
