package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"time"
)

// settings are the flags.
type settings struct {
	db     string // file; "": in a new temporary folder
	listen string // address of the gateway
	svg    string // file of the plot; "": none

	now   bool
	at    string        // HH:MM, local time
	every time.Duration // 0: not given
	date  string        // of the business day; "": that of the clock

	n    int
	seed uint64

	events, settlement string // queue URLs; "": the embedded queues
	endpoint           string // of SQS; "": that of the queues' region

	batch      int
	wait       time.Duration
	poll       time.Duration
	visibility time.Duration
}

// usage is what -help says before the flags.
const usage = `Creditcard stages card payments as they arrive, and settles them in batches when the day is over.

  go run ./examples/creditcard                a day of 5,000 transactions, in some seconds
  go run ./examples/creditcard -svg day.svg   the same, with a picture of the day
  go run ./examples/creditcard -queue-url URL -settlement-queue-url URL
                                              with two queues of Amazon SQS or, with
                                              -endpoint http://127.0.0.1:9324, of another SQS

Ctrl-C stops it. The same -db and -date let it go on where it was.

`

// parse reads the flags. All mistakes are reported at once.
func parse(args []string, out io.Writer) (*settings, error) {
	var s settings
	f := flag.NewFlagSet("creditcard", flag.ContinueOnError)
	f.SetOutput(out)
	f.Usage = func() {
		printf(f.Output(), usage)
		f.PrintDefaults()
	}
	f.StringVar(&s.db, "db", "", "`file` of the database (default: one in a new temporary folder, which is printed)")
	f.StringVar(&s.listen, "listen", "127.0.0.1:0", "`address` of the gateway; port 0 is one that is free")
	f.StringVar(&s.svg, "svg", "", "`file` of a picture of the day in SVG, written when the day has ended (default: none)")
	f.BoolVar(&s.now, "now", false, "end the business day as soon as the terminals have sent theirs, then exit (the default)")
	f.StringVar(&s.at, "at", "", "end the business day at `HH:MM` local time, each day")
	f.DurationVar(&s.every, "every", 0, "end the business day after that time, again and again, such as 24h")
	f.StringVar(&s.date, "date", "", "`YYYY-MM-DD` of the business day (default: that on which it ends)")
	f.IntVar(&s.n, "n", 5000, "how many transactions the points of sale make up for a business day; 0: they come from elsewhere")
	f.Uint64Var(&s.seed, "seed", 1, "what the transactions are made from; the same ones each time")
	f.StringVar(&s.events, "queue-url", "", "`URL` of an SQS queue for events (default: a queue in memory)")
	f.StringVar(&s.settlement, "settlement-queue-url", "", "`URL` of an SQS queue for the settlement (default: a queue in memory)")
	f.StringVar(&s.endpoint, "endpoint", "", "`address` of SQS, such as http://127.0.0.1:9324 (default: that of the queues' region)")
	f.IntVar(&s.batch, "batch-size", 250, "how many transactions at most are settled in one database transaction")
	f.DurationVar(&s.wait, "wait-time", 5*time.Second, "how long a batch may wait to fill")
	f.DurationVar(&s.poll, "poll-time", 0, "how long a receive waits for messages; the end of the day waits for it (default: 20s, and 1s with -now)")
	f.DurationVar(&s.visibility, "visibility-timeout", 30*time.Second, "after what time the messages of a process that died are received again")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if f.NArg() > 0 {
		return nil, fmt.Errorf("%q is no flag, see -help", f.Arg(0))
	}
	if s.poll == 0 && s.at == "" && s.every == 0 {
		s.poll = time.Second // an idle hour costs twenty times the receives of the default, but here is none
	}
	return &s, s.validate()
}

// validate reports each flag with its value and its rule, those that become
// options of the library with the library's.
func (s *settings) validate() error {
	var wrong []error
	note := func(bad bool, format string, args ...any) {
		if bad {
			wrong = append(wrong, fmt.Errorf(format, args...))
		}
	}
	const most = 1_000_000
	note(s.n < 0 || s.n > most, "-n is %d, want 0 to %d", s.n, most)
	note(s.every < 0, "-every is %v, want more than 0", s.every)
	note(s.every > 0 && s.at != "", "-every is %v and -at is %s, want one of them", s.every, s.at)
	note(s.now && s.at != "", "-now is set and -at is %s, want one of them", s.at)
	note(s.now && s.every > 0, "-now is set and -every is %v, want one of them", s.every)
	note((s.events == "") != (s.settlement == ""), "-queue-url is %q and -settlement-queue-url is %q, want both or none", s.events, s.settlement)
	note(s.events != "" && s.events == s.settlement, "-queue-url and -settlement-queue-url are both %q, want two queues", s.events)
	note(!isURL(s.events), "-queue-url is %q, want a URL such as https://sqs.eu-central-1.amazonaws.com/123456789012/card-events", s.events)
	note(!isURL(s.settlement), "-settlement-queue-url is %q, want a URL such as https://sqs.eu-central-1.amazonaws.com/123456789012/card-settlement", s.settlement)
	note(!isURL(s.endpoint), "-endpoint is %q, want a URL such as http://127.0.0.1:9324", s.endpoint)
	note(s.endpoint != "" && s.events == "", "-endpoint is %q and -queue-url is not given, want both or only -queue-url", s.endpoint)
	note(s.batch < 1 || s.batch > 10_000, "-batch-size is %d, want 1 to 10000", s.batch)
	note(s.wait < time.Millisecond || s.wait > 11*time.Hour, "-wait-time is %v, want 1ms to 11h", s.wait)
	note(s.poll != 0 && !seconds(s.poll, 20*time.Second), "-poll-time is %v, want whole seconds, 1s to 20s", s.poll)
	note(!seconds(s.visibility, 12*time.Hour), "-visibility-timeout is %v, want whole seconds, 1s to 12h", s.visibility)
	folder, err := os.Stat(filepath.Dir(s.svg))
	note(s.svg != "" && (err != nil || !folder.IsDir()), "-svg is %q, want a file in a folder that exists", s.svg)
	_, err = time.Parse("15:04", s.at)
	note(s.at != "" && err != nil, "-at is %q, want HH:MM, such as 18:00", s.at)
	_, err = time.Parse(time.DateOnly, s.date)
	note(s.date != "" && err != nil, "-date is %q, want YYYY-MM-DD", s.date)
	return errors.Join(wrong...)
}

// seconds reports whether d is whole seconds, 1 to most, as SQS counts.
func seconds(d, most time.Duration) bool { return d >= time.Second && d <= most && d%time.Second == 0 }

// isURL reports whether s is a URL of HTTP, or empty.
func isURL(s string) bool {
	u, err := url.Parse(s)
	return s == "" || (err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https"))
}

// closing returns when the business day that has begun at now ends; zero: as soon
// as the terminals have sent everything.
func (s *settings) closing(now time.Time) time.Time {
	switch {
	case s.every > 0:
		return now.Add(s.every)
	case s.at != "":
		at, _ := time.Parse("15:04", s.at) // validate has checked it
		y, m, d := now.Date()
		closing := time.Date(y, m, d, at.Hour(), at.Minute(), 0, 0, now.Location())
		if !closing.After(now) {
			closing = time.Date(y, m, d+1, at.Hour(), at.Minute(), 0, 0, now.Location()) // not 24 h: clocks change
		}
		return closing
	default:
		return time.Time{}
	}
}

// businessDay returns the midnight of the business day that has begun at now: its
// date is that on which it closes.
func (s *settings) businessDay(now, closing time.Time) time.Time {
	if day, err := time.Parse(time.DateOnly, s.date); err == nil {
		return day
	}
	if closing.IsZero() {
		closing = now
	}
	y, m, d := closing.Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
}
