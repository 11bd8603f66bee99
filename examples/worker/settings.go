package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"time"

	"github.com/sluice-go/sluice"
)

// settings are what the flags and the environment say.
type settings struct {
	queueURL    string // "": an embedded queue that feeds itself
	endpoint    string // of SQS; "": that of the queue's region
	db          string // file; "": a new one in a temporary folder
	listen      string // of the endpoints and the page
	healthcheck bool

	options sluice.Options
}

// prefix is that of the environment variables: ORDERS_BATCH_SIZE for -batch-size.
const prefix = "ORDERS_"

// parse reads the flags, then the environment for those that are not given. All mistakes are reported
// at once.
func parse(args, environ []string, usage io.Writer) (*settings, error) {
	s := settings{options: sluice.Options{BatchSize: 100, WaitTime: time.Second, Concurrency: 4, HandlerTimeout: time.Minute}}
	fs := flag.NewFlagSet("worker", flag.ContinueOnError)
	fs.SetOutput(usage)
	fs.StringVar(&s.queueURL, "queue-url", "", "`URL` of the queue of orders; empty: an embedded one that feeds itself")
	fs.StringVar(&s.endpoint, "endpoint", "", "`address` of SQS, such as http://127.0.0.1:9324; empty: that of the queue's region")
	fs.StringVar(&s.db, "db", "", "`file` of the database; empty: a new one in a temporary folder")
	fs.StringVar(&s.listen, "listen", "127.0.0.1:8081", "`address` of health, metrics and the page; nobody else should reach it")
	fs.BoolVar(&s.healthcheck, "healthcheck", false, "ask the worker that listens there whether it is alive, and exit with 0 or 1")
	s.options.RegisterFlags(fs, "")
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	err := sluice.SetFromEnv(fs, prefix, environ)
	if fs.NArg() > 0 {
		err = errors.Join(err, fmt.Errorf("%q is no flag, see -help", fs.Arg(0)))
	}
	if s.queueURL == "" && s.options.DeadLetterQueueURL != "" {
		err = errors.Join(err, errors.New("-dead-letter-queue-url is given and -queue-url is not"))
	}
	return &s, err
}
