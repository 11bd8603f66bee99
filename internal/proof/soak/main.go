// Soak lets consumers work for a long time and watches what they take from the
// machine. It exits with 1 if they leave anything behind, lose a message, or make
// more calls than they should.
//
//	go run ./internal/proof/soak           # 3 minutes
//	go run ./internal/proof/soak -for 60m  # as long as it takes to see a slow leak
//
// The queues are in another process, behind HTTP on loopback, with a steady load
// and calls that fail now and then. In this one are four consumers with the SDK's
// client: of standard and of FIFO queues, event at a time and in batches. Their
// handlers fail, panic, discard and dead-letter; they are stopped, run again, paused
// and resumed every few seconds. At the end of each round all of them rest, and
// only then memory is measured: what is left then is what has been left behind.
//
// It needs Linux: open files and memory are read from /proc.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// settings are the command line.
type settings struct {
	duration time.Duration
	rate     int // messages a second, over all queues
}

func main() {
	if os.Getenv(serverVariable) != "" {
		exitOn(serve(os.Stdin, os.Stdout))
		return
	}
	var s settings
	flag.DurationVar(&s.duration, "for", 3*time.Minute, "how long to go on, 30s or more")
	flag.IntVar(&s.rate, "rate", 1000, "messages to send in a second")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := soak(ctx, s)
	stop()
	exitOn(err)
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

// soak runs it all and returns what is wrong.
func soak(ctx context.Context, s settings) error {
	if s.duration < 30*time.Second || s.rate < 1 {
		return fmt.Errorf("-for is %v and -rate is %d, want at least 30s and 1", s.duration, s.rate)
	}
	const toDrain = 2 * time.Minute // and for nothing else: a hang ends here
	ctx, cancel := context.WithTimeout(ctx, s.duration+toDrain)
	defer cancel()
	queues, err := startServer(ctx)
	if err != nil {
		return err
	}
	defer queues.close()
	w := newWorks(queues.hello.Endpoint, s)
	before, err := measure()
	if err != nil {
		return err
	}
	fmt.Printf("soaking for %v at %d messages a second\n", s.duration, s.rate)
	if err := w.work(ctx, queues, s, before.goroutines); err != nil {
		return err
	}
	after, err := w.rest(before.goroutines)
	if err != nil {
		return err
	}
	var r report
	if err := queues.ask("report", &r); err != nil {
		return err
	}
	fmt.Print(w.table(s, &r))
	wrong := w.verdict(s, before, after, &r)
	if len(wrong) > 0 {
		return errors.New(strings.Join(wrong, "\nsoak: "))
	}
	fmt.Println("nothing was left behind")
	return nil
}
