package pace_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestALagThatGrowsIsTold(t *testing.T) {
	m := meet(t, events(10_000))
	m.waited()
	longest, rising := m.p.Lag(began.Add(m.at))
	require.Zero(t, longest)
	require.False(t, rising)
	for i := range 300 { // each second messages become a second older
		m.answer(5, trip, time.Duration(i)*time.Second)
		m.at += time.Second - trip
	}
	longest, rising = m.p.Lag(began.Add(m.at))
	require.Equal(t, 299*time.Second, longest.Round(time.Second))
	require.True(t, rising)
	for i := range 120 {
		m.answer(5, trip, time.Duration(299-2*i)*time.Second)
		m.at += time.Second - trip
	}
	_, rising = m.p.Lag(began.Add(m.at))
	require.False(t, rising, "it catches up")
}

func TestALagIsForgottenWhenNothingComes(t *testing.T) {
	m := meet(t, events(10_000))
	m.waited()
	for i := range 100 {
		m.answer(5, trip, time.Duration(i)*time.Minute)
		m.at += time.Second - trip
	}
	longest, rising := m.p.Lag(began.Add(m.at))
	require.Greater(t, longest, time.Hour)
	require.True(t, rising)
	longest, rising = m.p.Lag(began.Add(m.at + 2*time.Minute))
	require.Zero(t, longest)
	require.False(t, rising)
}
