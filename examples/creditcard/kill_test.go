package main

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/sqstest"
)

// The program runs as a process of its own, with queues that outlive it, and is
// killed by SIGKILL: no deferred call, no last commit, no goodbye to the queue. The
// moments are chosen by what has happened at the queues, so that they fall into
// every part of a day however fast the machine is.
func TestADayThatIsKilledAgainAndAgainEndsAsOneThatWasNot(t *testing.T) {
	t.Parallel() // a process mostly waits for queues to be empty, in real time
	report, events := calmDay(t)
	seed := rand.Uint64() // another one each time, and told
	t.Logf("seed %d, %d events in a calm day", seed, events)
	random := rand.New(rand.NewPCG(seed, 0))
	branch := newBranch(t)
	for range seeds(t, 1) {
		branch.run(1 + random.Int64N(events))
		branch.release()
	}
	out := branch.run(0)
	require.Equal(t, report, reportIn(out))
	require.NotContains(t, out, "sent once more", "what was in the queues was enough to finish")
	require.Empty(t, branch.account.Messages("card-events"))
	require.Empty(t, branch.account.Messages("card-settlement"))
}

// Killed by what happens at the queues, the program hardly ever dies between two
// statements to its database. So here it kills itself after its first commit, then after
// its second, its third and its fourth. TestADayThatEndsBetweenItsCommitsEndsAsOneThatDidNot
// says why, and does so without a process.
func TestADayThatDiesBetweenItsCommitsEndsAsOneThatDidNot(t *testing.T) {
	t.Parallel()
	if os.Getenv("CREDITCARD_SEEDS") == "" {
		t.Skip("SKIPPED: with CREDITCARD_SEEDS=5, processes die between their commits, for half a minute")
	}
	const commits = 4 // of a day that has batches enough for all these deaths
	report, _ := calmDay(t)
	branch := newBranch(t)
	for commit := range min(commits, seeds(t, commits)) {
		_, died := branch.start(0, "CREDITCARD_DIE_AFTER="+strconv.Itoa(1+commit))
		require.True(t, died)
		branch.release()
	}
	require.Equal(t, report, reportIn(branch.run(0)))
}

// The day of the branches.
const (
	branchDate  = "2026-03-14"
	branchSize  = 400 // transactions
	branchSeed  = 7
	branchBatch = 50
)

// calmDay plays the branches' day in virtual time, which nothing disturbs. It returns
// the report, and how many events there were at the queues.
func calmDay(t *testing.T) (report string, events int64) {
	t.Helper()
	var seen atomic.Int64
	tell(t, func(w *world) {
		w.date, w.n, w.seed, w.batch = branchDate, branchSize, branchSeed, branchBatch
		w.account.Observe(func(sqstest.Event) { seen.Add(1) })
		report = w.play()
		require.Contains(w, report, "\nreconciled: ")
	})
	return report, seen.Load()
}

// dieAfter makes this process kill itself after so many commits, "": never.
func dieAfter(commits string) {
	n, err := strconv.ParseInt(commits, 10, 64)
	if err != nil {
		return
	}
	var done atomic.Int64
	committed = func() {
		if done.Add(1) == n {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // nothing else of this goroutine happens before the signal comes
		}
	}
}

// A branch has a database file, and queues that outlive the program.
type branch struct {
	*testing.T

	account *sqstest.Server
	events  atomic.Int64 // at the queues, so far
	db      string
}

func newBranch(t *testing.T) *branch {
	t.Helper()
	b := &branch{T: t, account: sqstest.New(), db: filepath.Join(t.TempDir(), "creditcard.db")}
	// Without a dead-letter queue: one message may be in hand at every kill.
	b.account.MustCreateQueue("card-events", nil)
	b.account.MustCreateQueue("card-settlement", nil)
	return b
}

// run runs the program, kills it after so many events at the queues, 0: never, and
// returns what it has printed.
func (b *branch) run(events int64) string {
	b.Helper()
	out, _ := b.start(events)
	return out
}

// start is run with more in the program's environment. It also reports whether the
// program was killed. It reaches the queues as it would reach those of AWS: by their
// URLs and the environment.
func (b *branch) start(events int64, env ...string) (printed string, killed bool) {
	b.Helper()
	server := httptest.NewServer(b.account)
	defer server.Close() // waits for the requests of the dead, whose answers nobody gets
	ctx, kill := context.WithCancel(b.Context())
	defer kill()
	last := b.events.Load() + events
	stop := b.account.Observe(func(sqstest.Event) {
		if b.events.Add(1) == last && events > 0 {
			kill()
		}
	})
	defer stop()
	child := exec.CommandContext(ctx, os.Args[0], "-db", b.db, "-poll-time", "1s",
		"-date", branchDate, "-n", strconv.Itoa(branchSize), "-seed", strconv.Itoa(branchSeed), "-batch-size", strconv.Itoa(branchBatch),
		"-queue-url", server.URL+"/000000000000/card-events", "-settlement-queue-url", server.URL+"/000000000000/card-settlement")
	child.Env = append(os.Environ(), "CREDITCARD_CHILD=yes", "AWS_ENDPOINT_URL_SQS="+server.URL,
		"AWS_REGION=us-east-1", "AWS_ACCESS_KEY_ID=made", "AWS_SECRET_ACCESS_KEY=up", "AWS_EC2_METADATA_DISABLED=true")
	child.Env = append(child.Env, env...)
	var out, trouble bytes.Buffer
	child.Stdout, child.Stderr = &out, &trouble
	err := child.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() < 0 { // by a signal
		return out.String(), true
	}
	require.NoError(b, err, trouble.String())
	return out.String(), false
}

// release ends the visibility timeouts of what a killed process held, as time
// would.
func (b *branch) release() {
	for _, queue := range []string{"card-events", "card-settlement"} {
		for _, m := range b.account.Messages(queue) {
			b.account.ExpireLease(queue, m.ID)
		}
	}
}
