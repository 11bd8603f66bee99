package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var noon = time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)

// bought is a sale so long after noon.
func bought(after time.Duration, merchant string, amount int64) Transaction {
	return Transaction{
		ID: fmt.Sprint(merchant, after, amount), Kind: Sale, Card: "c", Merchant: merchant,
		Amount: amount, Currency: merchants[merchant].city.currency, At: noon.Add(after),
	}
}

// times repeats a sale each minute, n times.
func times(n int, merchant string, amount int64) (list []Transaction) {
	for i := range n {
		list = append(list, bought(time.Duration(i)*time.Minute, merchant, amount))
	}
	return list
}

func refunded(t Transaction) Transaction {
	t.Kind = Refund
	return t
}

func TestFraudRules(t *testing.T) {
	for _, tt := range []struct {
		name    string
		of      Transaction
		history []Transaction
		want    string
	}{
		{"the first sale of a card", bought(0, "m01", 100), nil, ""},
		{"itself in its history", bought(0, "m01", 100), []Transaction{bought(0, "m01", 100)}, ""},

		{"a fifth sale in ten minutes", bought(4*time.Minute, "m01", 100), times(4, "m01", 100), ""},
		{"a sixth sale in ten minutes", bought(5*time.Minute, "m01", 100), times(5, "m01", 100), "velocity"},
		{"a sixth sale as the first leaves the window", bought(10*time.Minute, "m01", 100), times(5, "m01", 100), ""},
		{"the first of many", bought(-time.Minute, "m01", 100), times(9, "m01", 100), ""},
		{"a refund among many sales", refunded(bought(5*time.Minute, "m01", 100)), times(5, "m01", 100), ""},

		{"ten times the mean", bought(time.Hour, "m01", 1000), times(4, "m01", 100), ""},
		{"a cent more than ten times the mean", bought(time.Hour, "m01", 1001), times(4, "m01", 100), "amount"},
		{"far off the mean of three, which is none", bought(time.Hour, "m01", 9999), times(3, "m01", 100), ""},
		{"a mean in another currency", bought(24*time.Hour, "m15", 100_00), times(4, "m01", 100_00), ""},

		{"across town", bought(time.Minute, "m02", 100), times(1, "m01", 100), ""},
		{"Berlin to Paris in an hour", bought(time.Hour, "m04", 100), times(1, "m01", 100), ""},
		{"Berlin to Paris in half an hour", bought(time.Hour/2, "m04", 100), times(1, "m01", 100), "travel"},
		{"Berlin to Tokyo in nine hours", bought(9*time.Hour, "m15", 100), times(1, "m01", 100), "travel"},
		{"Berlin to Tokyo in eleven hours", bought(11*time.Hour, "m15", 100), times(1, "m01", 100), ""},
		{"in Berlin, and in Tokyo an hour later", bought(-time.Hour, "m15", 100), times(1, "m01", 100), ""},
		{"a refund that is booked elsewhere", bought(time.Minute, "m15", 100), []Transaction{refunded(bought(0, "m01", 100))}, ""},

		{"everything at once", bought(5*time.Minute, "m15", 99_999_99), times(5, "m01", 100), "velocity, amount, travel"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, tt.want, suspicions(&tt.of, tt.history))
		})
	}
}

func TestRoundingIsHalfToEven(t *testing.T) {
	for _, tt := range []struct{ n, d, want int64 }{
		{0, 2, 0}, {1, 2, 0}, {3, 2, 2}, {5, 2, 2}, {7, 2, 4}, {1, 3, 0}, {2, 3, 1}, {999_999, million, 1}, {500_000, million, 0}, {1_500_000, million, 2},
	} {
		require.Equal(t, tt.want, halfEven(tt.n, tt.d), "%d/%d", tt.n, tt.d)
	}
	for n := range int64(10_000) {
		require.Equal(t, rounded(n, 26), halfEven(n, 26))
	}
}

func TestAmountsAreWrittenWithThousandsApart(t *testing.T) {
	for want, amount := range map[string]int64{"0.00": 0, "0.07": 7, "-0.07": -7, "1.00": 100, "999.99": 99_999, "1,000.00": 100_000, "-1,234,567.89": -123_456_789} {
		require.Equal(t, want, format(amount, 2))
	}
	require.Equal(t, "1,234", format(1234, 0))
	require.Equal(t, "0.613425", format(613_425, 6))
}

func TestTheLargestAmountFitsIntoTheArithmetic(t *testing.T) {
	for name, c := range currencies {
		require.Equal(t, rounded(maxAmount*c.rate, million), cents(maxAmount, c.rate), name)
	}
}

func TestTheSameSeedMakesTheSameDay(t *testing.T) {
	day := noon.Truncate(24 * time.Hour)
	made := generate(7, day, 3000)
	require.Equal(t, made, generate(7, day, 3000))
	require.NotEqual(t, made, generate(8, day, 3000))
	require.Len(t, made, 3000)
	seen := map[string]bool{}
	kinds := map[Kind]int{}
	for i := range made {
		require.NoError(t, made[i].check())
		require.False(t, seen[made[i].ID], made[i].ID)
		require.Equal(t, "2026-03-14", made[i].Day())
		seen[made[i].ID] = true
		kinds[made[i].Kind]++
	}
	require.InDelta(t, 90, kinds[Refund], 45)
	require.InDelta(t, 3060, len(stutter(7, made)), 40)
}

func TestSettingsTellValueRuleAndFlag(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"-n", "-3"}, "-n is -3, want 0 to 1000000"},
		{[]string{"-at", "6pm"}, `-at is "6pm", want HH:MM, such as 18:00`},
		{[]string{"-at", "18:00", "-every", "24h"}, "-every is 24h0m0s and -at is 18:00, want one of them"},
		{[]string{"-now", "-at", "18:00"}, "-now is set and -at is 18:00, want one of them"},
		{[]string{"-now", "-every", "1h"}, "-now is set and -every is 1h0m0s, want one of them"},
		{[]string{"-every", "-1h"}, "-every is -1h0m0s, want more than 0"},
		{[]string{"-date", "14.3."}, `-date is "14.3.", want YYYY-MM-DD`},
		{[]string{"-queue-url", "https://h/1/q"}, `-queue-url is "https://h/1/q" and -settlement-queue-url is "", want both or none`},
		{[]string{"-queue-url", "https://h/1/q", "-settlement-queue-url", "https://h/1/q"}, "want two queues"},
		{[]string{"-queue-url", "q", "-settlement-queue-url", "https://h/1/q"}, `-queue-url is "q", want a URL`},
		{[]string{"-batch-size", "20000"}, "-batch-size is 20000, want 1 to 10000"},
		{[]string{"-wait-time", "12h"}, "-wait-time is 12h0m0s, want 1ms to 11h"},
		{[]string{"-poll-time", "1500ms"}, "-poll-time is 1.5s, want whole seconds, 1s to 20s"},
		{[]string{"-visibility-timeout", "13h"}, "-visibility-timeout is 13h0m0s, want whole seconds, 1s to 12h"},
		{[]string{"-queue-url", "https://h/1/q", "-settlement-queue-url", "https://h/1/r", "-endpoint", "localhost:9324"}, `-endpoint is "localhost:9324", want a URL such as`},
		{[]string{"-endpoint", "http://localhost:9324"}, `-endpoint is "http://localhost:9324" and -queue-url is not given`},
		{[]string{"-svg", "no/such/folder/day.svg"}, `-svg is "no/such/folder/day.svg", want a file in a folder that exists`},
		{[]string{"now"}, `"now" is no flag`},
	} {
		_, err := parse(tt.args, nil)
		require.ErrorContains(t, err, tt.want)
	}
	_, err := parse([]string{"-n", "-3", "-at", "6pm"}, nil)
	require.ErrorContains(t, err, "-n is")
	require.ErrorContains(t, err, "-at is", "all at once")
}

func TestTheClosingHourKeepsToTheClockOnTheWall(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Skip("no time zones on this machine:", err)
	}
	s := settings{at: "18:00"}
	at := func(day, hour int) time.Time { return time.Date(2026, 3, day, hour, 0, 0, 0, berlin) }
	require.Equal(t, at(28, 18), s.closing(at(28, 9)), "later today")
	require.Equal(t, at(29, 18), s.closing(at(28, 18)), "tomorrow, 23 hours from now: summer begins")
	require.Equal(t, 23*time.Hour, s.closing(at(28, 18)).Sub(at(28, 18)))
	require.Zero(t, (&settings{}).closing(at(28, 9)))
	require.Equal(t, at(28, 10), (&settings{every: time.Hour}).closing(at(28, 9)))
}
