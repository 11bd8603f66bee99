package fifo_test

import (
	"fmt"
	"testing"

	"github.com/sluice-go/sluice/internal/fifo"
)

// The way of a message through its group, with ever more other groups waiting: the
// cost may rise with their logarithm only.
func BenchmarkLines(b *testing.B) {
	for _, groups := range []int{10, 1_000, 100_000} {
		b.Run(fmt.Sprint("groups=", groups), func(b *testing.B) {
			ls := fifo.New[*msg]()
			for i := range groups {
				ls.Add(newMsg(fmt.Sprint(i), i, noon, 1))
			}
			b.ReportAllocs()
			for b.Loop() {
				m := ls.Take(1, plenty)[0]
				ls.Settled(m.group)
				m.arrived = m.arrived.Add(1) // behind all others
				ls.Add(m)
			}
		})
	}
}
