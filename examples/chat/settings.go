package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"strings"
)

// settings are the flags.
type settings struct{ listen, db, queueURL, endpoint string }

// usage is what -help says before the flags.
const usage = `Chat shows two phones and the queue between them in a browser.

  go run ./examples/chat                   with a queue in this process
  go run ./examples/chat -queue-url URL    with a FIFO queue of Amazon SQS
  go run ./examples/chat -queue-url http://127.0.0.1:9324/000000000000/chat.fifo -endpoint http://127.0.0.1:9324
                                           with a queue of another SQS, such as sqslocal

Ctrl-C stops it. The same -db and -listen let it go on where it was.

`

// parse reads the flags. All mistakes are reported at once.
func parse(args []string, out io.Writer) (settings, error) {
	var s settings
	f := flag.NewFlagSet("chat", flag.ContinueOnError)
	f.SetOutput(out)
	f.Usage = func() {
		sayf(out, usage)
		f.PrintDefaults()
	}
	f.StringVar(&s.listen, "listen", "", "`address` of the page (default: 127.0.0.1:8080, or another port if that is taken)")
	f.StringVar(&s.db, "db", "", "`file` of the database (default: one in a new temporary folder, which is printed)")
	f.StringVar(&s.queueURL, "queue-url", "", "`URL` of an SQS FIFO queue (default: a queue in memory)")
	f.StringVar(&s.endpoint, "endpoint", "", "`address` of SQS, such as http://127.0.0.1:9324 (default: that of the queue's region)")
	if err := f.Parse(args); err != nil {
		return settings{}, err
	}
	if f.NArg() > 0 {
		return settings{}, fmt.Errorf("%q is no flag, see -help", f.Arg(0))
	}
	return s, s.validate()
}

// validate reports each flag with its value and its rule.
func (s *settings) validate() error {
	var wrong []error
	note := func(bad bool, format string, args ...any) {
		if bad {
			wrong = append(wrong, fmt.Errorf(format, args...))
		}
	}
	note(!isURL(s.queueURL), "-queue-url is %q, want a URL such as https://sqs.eu-central-1.amazonaws.com/123456789012/chat.fifo", s.queueURL)
	note(s.queueURL != "" && !strings.HasSuffix(s.queueURL, ".fifo"),
		"-queue-url is %q, want that of a FIFO queue, which ends in .fifo: elsewhere messages of a conversation change places", s.queueURL)
	note(!isURL(s.endpoint), "-endpoint is %q, want a URL such as http://127.0.0.1:9324", s.endpoint)
	note(s.endpoint != "" && s.queueURL == "", "-endpoint is %q and -queue-url is not given, want both or only -queue-url", s.endpoint)
	return errors.Join(wrong...)
}

// isURL reports whether s is a URL of HTTP, or empty.
func isURL(s string) bool {
	u, err := url.Parse(s)
	return s == "" || (err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https"))
}
