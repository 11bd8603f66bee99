package fifo_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/fifo"
)

// A msg is a message in these stories: "b2" is number 2, of group b.
type msg struct {
	group    string
	number   int
	sequence string
	arrived  time.Time
	size     int
	first    bool // received for the first time
	failed   time.Time
}

func newMsg(group string, number int, arrived time.Time, size int) *msg {
	return &msg{group: group, number: number, sequence: sequence(number), arrived: arrived, size: size}
}

func sequence(number int) string { return fmt.Sprintf("%020d", number) }

func (m *msg) Group() string      { return m.group }
func (m *msg) Sequence() string   { return m.sequence }
func (m *msg) Again() bool        { return !m.first }
func (m *msg) Arrived() time.Time { return m.arrived }
func (m *msg) Failed() time.Time  { return m.failed }
func (m *msg) Size() int          { return m.size }
func (m *msg) String() string     { return fmt.Sprint(m.group, m.number) }

// noon is when the stories begin.
var noon = time.Date(2026, time.January, 1, 12, 0, 0, 0, time.UTC)

// at makes messages of 10 bytes each from their names, all arrived d after noon.
func at(d time.Duration, names ...string) []*msg {
	ms := make([]*msg, len(names))
	for i, name := range names {
		var number int
		_, _ = fmt.Sscan(name[1:], &number)
		ms[i] = newMsg(name[:1], number, noon.Add(d), 10)
	}
	return ms
}

// names turns messages back into their names.
func names(ms []*msg) []string {
	names := make([]string, len(ms))
	for i, m := range ms {
		names[i] = m.String()
	}
	return names
}

const plenty = 1 << 20 // of messages, or bytes

func TestAGroupIsTakenTogetherAndInOrder(t *testing.T) {
	ls := fifo.New[*msg]()
	ls.Add(at(0, "a1", "b2", "a3", "b4")...)
	require.Equal(t, []string{"a1", "a3", "b2", "b4"}, names(ls.Take(plenty, plenty)))
}

func TestTheGroupWhoseFrontHasWaitedLongestComesFirst(t *testing.T) {
	ls := fifo.New[*msg]()
	ls.Add(at(2*time.Second, "a1")...)
	ls.Add(at(1*time.Second, "b2")...)
	ls.Add(at(1*time.Second, "c3")...)
	require.Equal(t, []string{"b2", "c3", "a1"}, names(ls.Take(plenty, plenty)))
}

func TestAMessageThatCameLateGoesToItsPlace(t *testing.T) {
	ls := fifo.New[*msg]()
	ls.Add(at(0, "a2", "a4")...)
	ls.Add(at(time.Second, "a3", "a1")...)
	require.Equal(t, []string{"a1", "a2", "a3", "a4"}, names(ls.Take(plenty, plenty)))
}

func TestAGroupIsClosedUntilAllItsMessagesAreSettled(t *testing.T) {
	ls := fifo.New[*msg]()
	ls.Add(at(0, "a1", "a2", "a3", "b4")...)
	require.Equal(t, []string{"a1", "a2"}, names(ls.Take(2, plenty)))
	require.Equal(t, []string{"b4"}, names(ls.Take(plenty, plenty)), "another group goes on")

	ls.Settled("a")
	require.Empty(t, ls.Take(plenty, plenty))
	ls.Settled("a")
	require.Equal(t, []string{"a3"}, names(ls.Take(plenty, plenty)))
}

func TestWhatCameBackIsTakenBeforeWhatIsBehindIt(t *testing.T) {
	ls := fifo.New[*msg]()
	ls.Add(at(0, "a1", "a2", "a3")...)
	taken := ls.Take(2, plenty)
	ls.Settled("a")
	ls.Return("a", taken[1:], time.Time{})
	require.Equal(t, []string{"a2", "a3"}, names(ls.Take(plenty, plenty)))
}

func TestWhatCameBackStandsBehindWhatIsBeforeItInTheGroup(t *testing.T) {
	ls := fifo.New[*msg]()
	ls.Add(at(0, "a1", "a2", "a3")...)
	taken := ls.Take(2, plenty)
	ls.Add(at(time.Second, "a0")...) // delivered again
	ls.Return("a", taken, time.Time{})
	require.Equal(t, []string{"a0", "a1", "a2", "a3"}, names(ls.Take(plenty, plenty)))
}

func TestAGroupWaitsForTheNextTryOfItsFront(t *testing.T) {
	ls := fifo.New[*msg]()
	ls.Add(at(0, "a1", "a2", "b3")...)
	ls.Return("a", ls.Take(1, plenty), noon.Add(time.Minute))
	require.Equal(t, noon.Add(time.Minute), ls.Resumes())
	require.Equal(t, []string{"a"}, ls.Delayed(func(*msg) bool { return true }))
	require.Equal(t, []string{"b3"}, names(ls.Take(plenty, plenty)))

	ls.Resume(noon.Add(time.Minute - 1))
	require.Empty(t, ls.Take(plenty, plenty))
	ls.Resume(noon.Add(time.Minute))
	require.Zero(t, ls.Resumes())
	require.Empty(t, ls.Delayed(func(*msg) bool { return true }))
	require.Equal(t, []string{"a1", "a2"}, names(ls.Take(plenty, plenty)))
}

func TestALateArrivalDoesNotShortenTheWaitOfItsGroup(t *testing.T) {
	ls := fifo.New[*msg]()
	ls.Add(at(0, "a2")...)
	ls.Return("a", ls.Take(1, plenty), noon.Add(time.Minute))
	ls.Add(at(0, "a1", "a3")...)
	require.Empty(t, ls.Take(plenty, plenty))
	ls.Resume(noon.Add(time.Minute))
	require.Equal(t, []string{"a1", "a2", "a3"}, names(ls.Take(plenty, plenty)))
}

func TestParkedAreTheGroupsWhoseFrontHasFailed(t *testing.T) {
	ls := fifo.New[*msg]()
	parked := func(n, bytes int) {
		t.Helper()
		gotN, gotBytes := ls.Parked()
		require.Equal(t, n, gotN)
		require.Equal(t, bytes, gotBytes)
	}
	fail := func(name string, when time.Duration) {
		ms := ls.Take(1, plenty)
		require.Equal(t, []string{name}, names(ms))
		ms[0].failed = noon.Add(when)
		ls.Return(ms[0].group, ms, noon.Add(time.Hour-when))
	}
	ls.Add(at(0, "a1", "a2", "b3", "c4")...)
	fail("a1", 2*time.Second)
	fail("b3", time.Second)
	ls.Return("c", ls.Take(1, plenty), noon.Add(time.Hour)) // it waits, but has not failed
	parked(3, 30)
	group, until := ls.LongestParked()
	require.Equal(t, "b", group)
	require.Equal(t, noon.Add(time.Hour-time.Second), until)

	ls.Add(at(time.Second, "b5")...)
	parked(4, 40)
	require.Equal(t, []string{"b3", "b5"}, names(ls.Leave("b")))
	parked(2, 20)
	group, _ = ls.LongestParked()
	require.Equal(t, "a", group)
	ls.Remove("a", func(m *msg) bool { return m.number == 2 })
	parked(1, 10)
	ls.Resume(noon.Add(time.Hour))
	parked(0, 0)
}

func TestBytesEndATakeButNeverLeaveItEmpty(t *testing.T) {
	for bytes, want := range map[int][]string{
		0:  {"a1"},
		10: {"a1"},
		19: {"a1"},
		20: {"a1", "a2"},
		29: {"a1", "a2"},
		30: {"a1", "a2", "b3"},
	} {
		ls := fifo.New[*msg]()
		ls.Add(at(0, "a1", "a2", "b3")...)
		require.Equal(t, want, names(ls.Take(plenty, bytes)), "with %d bytes", bytes)
	}
}

func TestReadyCountsOnlyWhatMayBeTaken(t *testing.T) {
	ls := fifo.New[*msg]()
	ready := func(n, bytes int, oldest time.Time) {
		t.Helper()
		gotN, gotBytes, gotOldest := ls.Ready()
		require.Equal(t, n, gotN)
		require.Equal(t, bytes, gotBytes)
		require.Equal(t, oldest, gotOldest)
	}
	ready(0, 0, time.Time{})
	ls.Add(at(time.Second, "a1", "a2", "a3")...)
	ls.Add(at(time.Minute, "b4")...)
	ready(4, 40, noon.Add(time.Second))
	taken := ls.Take(1, plenty)
	ready(1, 10, noon.Add(time.Minute)) // of b alone
	ls.Return("a", taken, time.Time{})
	ready(4, 40, noon.Add(time.Second))
	ls.Take(plenty, plenty)
	ready(0, 0, time.Time{})
}

func TestLeaveTakesWhatIsBehindAndClosesTheGroup(t *testing.T) {
	ls := fifo.New[*msg]()
	ms := at(0, "a1", "a2", "a3")
	ls.Add(ms...)
	left := ls.LeaveBehind(ms[0])
	require.Equal(t, []string{"a2", "a3"}, names(left))
	require.Empty(t, ls.Take(plenty, plenty), "they are not settled yet")
	ls.Settled("a")
	ls.Settled("a")
	require.Equal(t, []string{"a1"}, names(ls.Take(plenty, plenty)))
}

// numbered makes messages of group a whose sequence numbers are as given.
func numbered(again bool, sequences ...string) []*msg {
	ms := make([]*msg, len(sequences))
	for i, s := range sequences {
		ms[i] = &msg{group: "a", sequence: s, arrived: noon, size: 10, first: !again}
	}
	return ms
}

func sequences(ms []*msg) (all []string) {
	for _, m := range ms {
		all = append(all, m.sequence)
	}
	return all
}

func TestAMessageReceivedAgainGoesToItsPlaceByNumber(t *testing.T) {
	const long = "100000000000000000000000000000000000000000" // beyond 64 and 128 bits
	for name, c := range map[string]struct{ first, again, want []string }{
		"of different lengths": {[]string{"9", "10", "11"}, []string{"8"}, []string{"8", "9", "10", "11"}},
		"between":              {[]string{"9", "11", "100"}, []string{"10"}, []string{"9", "10", "11", "100"}},
		"with zeros in front":  {[]string{"0009", "10"}, []string{"00000000008"}, []string{"00000000008", "0009", "10"}},
		"very long":            {[]string{long}, []string{"99"}, []string{"99", long}},
		"no numbers":           {[]string{"b", "c"}, []string{"a"}, []string{"b", "c", "a"}},
		"missing":              {[]string{"2", "3"}, []string{""}, []string{"2", "3", ""}},
		"missing in those":     {[]string{"", ""}, []string{"1"}, []string{"", "", "1"}},
		"all the same":         {[]string{"7", "7"}, []string{"7"}, []string{"7", "7", "7"}},
		"negative":             {[]string{"2", "3"}, []string{"-1"}, []string{"2", "3", "-1"}},
		"not increasing":       {[]string{"9", "5", "7"}, []string{"1"}, []string{"9", "5", "7", "1"}},
	} {
		t.Run(name, func(t *testing.T) {
			ls := fifo.New[*msg]()
			ls.Add(numbered(false, c.first...)...)
			ls.Add(numbered(true, c.again...)...)
			require.Equal(t, c.want, sequences(ls.Take(plenty, plenty)))
		})
	}
}

func TestWhatIsReceivedForTheFirstTimeKeepsTheOrderOfTheAnswers(t *testing.T) {
	ls := fifo.New[*msg]()
	for _, s := range []string{"3", "1", "2"} { // one to an answer: nothing disproves them
		ls.Add(numbered(false, s)...)
	}
	taken := ls.Take(1, plenty)
	require.Equal(t, []string{"3"}, sequences(taken))
	ls.Return("a", taken, time.Time{})
	require.Equal(t, []string{"3", "1", "2"}, sequences(ls.Take(plenty, plenty)))
}

func TestLeaveBehindTakesAllThatCameLaterWhateverTheirNumbers(t *testing.T) {
	ls := fifo.New[*msg]()
	ls.Add(numbered(false, "3")...)
	taken := ls.Take(1, plenty)
	ls.Add(numbered(false, "1")...)
	ls.Add(numbered(true, "2")...)
	require.Equal(t, []string{"1"}, sequences(ls.LeaveBehind(taken[0])), "2 was received again: it stands before 3")
}

func TestMergePutsWhatWasReceivedAgainBeforeItsFollowers(t *testing.T) {
	ls := fifo.New[*msg]()
	merge := func(front, behind []*msg) []string { return sequences(ls.Merge(front, behind)) }
	first := func(of ...string) []*msg { return numbered(false, of...) }
	require.Equal(t, []string{"8", "9", "10"}, merge(first("9", "10"), numbered(true, "8")))
	require.Equal(t, []string{"9", "10", "8"}, merge(first("9", "10"), first("8")))
	require.Equal(t, []string{"8"}, merge(nil, first("8")))
	require.Equal(t, []string{"9"}, merge(first("9"), nil))
}

func TestLeaveOfAllForgetsTheWaitOfTheGroup(t *testing.T) {
	ls := fifo.New[*msg]()
	ls.Add(at(0, "a1")...)
	ls.Return("a", ls.Take(1, plenty), noon.Add(time.Hour))
	require.Equal(t, []string{"a1"}, names(ls.Leave("a")))
	require.Zero(t, ls.Resumes())
	ls.Settled("a")
	ls.Add(at(0, "a1")...)
	require.Equal(t, []string{"a1"}, names(ls.Take(plenty, plenty)), "received again, it does not wait any more")
}

func TestARemovedMessageLeavesNoGap(t *testing.T) {
	ls := fifo.New[*msg]()
	ls.Add(at(0, "a1", "a2", "a3")...)
	ls.Remove("a", func(m *msg) bool { return m.number == 2 })
	require.Equal(t, []string{"a1", "a3"}, names(ls.Take(plenty, plenty)))
}

func TestAnUnknownGroupIsNoTrouble(t *testing.T) {
	ls := fifo.New[*msg]()
	ls.Settled("x")
	ls.Return("x", at(0, "x1"), time.Time{})
	ls.Remove("x", func(*msg) bool { return true })
	require.Empty(t, ls.Leave("x"))
	require.Empty(t, ls.Take(plenty, plenty))
	require.Zero(t, ls.Len())
}

func TestGroupsAreThoseWithMessagesThatWait(t *testing.T) {
	ls := fifo.New[*msg]()
	ls.Add(at(0, "c1", "a2", "b3")...)
	require.Equal(t, []string{"a", "b", "c"}, ls.Names())
	ls.Take(1, plenty)
	require.Equal(t, []string{"a", "b"}, ls.Names())
	require.Equal(t, 3, ls.Len(), "of c a message is out")
	ls.Settled("c")
	require.Equal(t, 2, ls.Len())
}

func TestAMillionGroupsLeaveNothingBehind(t *testing.T) {
	ls := fifo.New[*msg]()
	pass := func(from, n int) {
		for i := from; i < from+n; i++ {
			ls.Add(newMsg(fmt.Sprint("customer ", i), i, noon, 1))
		}
		for range n / 10 {
			taken := ls.Take(10, plenty)
			for _, m := range taken {
				ls.Settled(m.group)
			}
		}
	}
	pass(0, 1000) // what the thousand that are here at once need stays
	base := heap()
	for i := range 1000 {
		pass(1000*i, 1000)
	}
	require.Zero(t, ls.Len())
	require.Empty(t, ls.Names())
	require.InDelta(t, base, heap(), 1<<20)
	runtime.KeepAlive(ls)
}

// heap returns the bytes that live.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
