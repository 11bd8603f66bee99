// Serial measures how much of a message only one goroutine at a time can do, which is what
// bounds a [sluice.Consumer] on a machine with many cores. All decisions of a run are made in the
// turns of one loop. The command tells what a turn costs for each message, and simulates how many
// messages a second that allows on more cores than there are here.
//
//	go run ./bench/serial          prints the section of the README, in a minute
//	go run ./bench/serial -write   and puts it there
//
// Nothing else should run on the machine meanwhile.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/sluice-go/sluice/bench/server"
)

func main() {
	if err := command(context.Background(), os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "serial:", err)
		os.Exit(1)
	}
}

func command(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("serial", flag.ContinueOnError)
	window := flags.Duration("window", 5*time.Second, "how long each run is measured")
	rounds := flags.Int("rounds", 3, "how often")
	work := flags.Duration("work", 25*time.Microsecond, "processor `time` of a message with a real client, besides the loop's: see the results, cell L 1, H 0")
	write := flags.Bool("write", false, "put the section into the README")
	if err := flags.Parse(args); err != nil {
		return err
	}
	kinds, err := measureAll(ctx, *window, *rounds)
	if err != nil {
		return err
	}
	section := page(kinds, *work)
	fmt.Print(section)
	if !*write {
		return nil
	}
	return rewrite(readme(), section)
}

// sizes of batches that are measured; 1: a message at a time.
var sizes = []int{1, 10, 100, 1000}

// A kind is what was measured with one size of batches.
type kind struct {
	size     int
	one, two cost // with one processor, and with two
}

// measureAll measures all sizes, in rounds, and takes the medians.
func measureAll(ctx context.Context, window time.Duration, rounds int) ([]kind, error) {
	if runtime.NumCPU() < 2 {
		return nil, fmt.Errorf("the machine has %d core, want 2 or more", runtime.NumCPU())
	}
	costs := map[[2]int][]cost{} // by size and processors
	for range rounds {
		for _, size := range sizes {
			for processors := 1; processors <= 2; processors++ {
				c, err := measure(ctx, size, processors, window)
				if err != nil {
					return nil, err
				}
				fmt.Fprintf(os.Stderr, "batches of %-4d  GOMAXPROCS %d  %s\n", size, processors, c)
				costs[[2]int{size, processors}] = append(costs[[2]int{size, processors}], c)
			}
		}
	}
	kinds := make([]kind, len(sizes))
	for i, size := range sizes {
		kinds[i] = kind{size, median(costs[[2]int{size, 1}]), median(costs[[2]int{size, 2}])}
	}
	return kinds, nil
}

// Marks of the section in the README.
const (
	begin = "<!-- Made by go run ./bench/serial -write: begin -->\n"
	end   = "<!-- end -->\n"
)

// readme is the file of the benchmarks.
func readme() string {
	if _, err := os.Stat(filepath.Join("bench", "go.mod")); err == nil {
		return filepath.Join("bench", "README.md")
	}
	return "README.md"
}

// rewrite puts the section between its marks.
func rewrite(file, section string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	replaced, err := replace(string(text), section)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return os.WriteFile(file, []byte(replaced), 0o644)
}

func replace(text, section string) (string, error) {
	before, rest, ok := strings.Cut(text, begin)
	_, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		return "", errors.New("it has no marks for the section")
	}
	return before + begin + section + end + after, nil
}

// page is the section.
func page(kinds []kind, work time.Duration) string {
	var b bytes.Buffer
	linef := func(format string, args ...any) { _, _ = fmt.Fprintf(&b, format+"\n", args...) }
	linef("Measured on %d cores with %s, medians. The client costs nothing: its calls return at once with ten messages. "+
		"*Loop* is nanoseconds of turns for each message, *in all* what the processor spends for it. With two processors each second turn, and with 16 nearly each one, runs on another processor than the turn before, and fetches the loop's memory from there. "+
		"So the figure for 16 is made from the other two. *Highest rate* is that of a loop that always has a turn.\n", runtime.NumCPU(), runtime.Version())
	linef("| | loop, GOMAXPROCS 1 | loop, GOMAXPROCS 2 | in all, GOMAXPROCS 1 | in all, GOMAXPROCS 2 | loop, 16 processors | highest rate |")
	linef("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
	for _, k := range kinds {
		sixteen := k.loop(16)
		linef("| %s | %d ns | %d ns | %d ns | %d ns | %d ns | **%s/s** |", k.name(), k.one.loop.Nanoseconds(), k.two.loop.Nanoseconds(),
			k.one.all.Nanoseconds(), k.two.all.Nanoseconds(), sixteen.Nanoseconds(), thousands(perSecond(sixteen)))
	}
	linef("\nSimulated: messages a second on N processors that do nothing else, and the share of the time in which the loop has a turn. *Work* is what a message takes of a processor besides the loop. "+
		"%s is about that of the cell L 1, H 0, and %s that of a client three times as lean.\n", microseconds(work), microseconds(work/3))
	linef("| | work | %s |", strings.Join(columns(), " | "))
	linef("| --- | --- |%s", strings.Repeat(" ---: |", len(simulated)))
	for _, k := range kinds {
		for _, w := range []time.Duration{work, work / 3} {
			fields := make([]string, len(simulated))
			for i, n := range simulated {
				rate, busy := simulate(k.model(n, w))
				fields[i] = fmt.Sprintf("%s · %.0f %%", thousands(rate), 100*busy)
			}
			linef("| %s | %s | %s |", k.name(), microseconds(w), strings.Join(fields, " | "))
		}
	}
	return b.String()
}

func microseconds(d time.Duration) string { return fmt.Sprintf("%.0f µs", d.Seconds()*1e6) }

// simulated are numbers of processors.
var simulated = []int{1, 2, 4, 8, 16, 32}

func columns() []string {
	heads := make([]string, len(simulated))
	for i, n := range simulated {
		heads[i] = fmt.Sprintf("N %d", n)
	}
	return heads
}

func (k kind) name() string {
	if k.size == 1 {
		return "a message at a time"
	}
	return "batches of " + thousands(float64(k.size))
}

// loop is what the turns cost for each message on so many processors. A turn finds the memory of the
// loop where the last one was, with a chance of one in n, or has to fetch it.
func (k kind) loop(n int) time.Duration {
	elsewhere := 1 - 1/float64(n)
	fetch := max(0, k.two.loop-k.one.loop) * 2 // with two it is elsewhere half of the time
	return k.one.loop + time.Duration(elsewhere*float64(fetch))
}

func (k kind) model(n int, work time.Duration) model {
	return model{processors: n, batch: k.size, loop: k.loop(n), work: work}
}

func perSecond(d time.Duration) float64 { return float64(time.Second) / float64(d) }

// thousands writes a number with commas, three digits of which count.
func thousands(v float64) string {
	unit := 1.0
	for v/unit >= 1000 {
		unit *= 10
	}
	s := fmt.Sprintf("%.0f", float64(int(v/unit+0.5))*unit)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// cpu is the processor time of this process.
func cpu() time.Duration { return server.CPU() }
