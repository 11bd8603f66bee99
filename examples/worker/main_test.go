package main

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sqstest"
)

// TestMain is the worker itself in the process that a test starts.
func TestMain(m *testing.M) {
	if os.Getenv("WORKER_TEST_CHILD") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// A worker is one that runs as a process.
type worker struct {
	t       *testing.T
	command *exec.Cmd
	page    string
	lines   chan string
}

// start starts a worker and waits until it runs.
func start(t *testing.T, env []string, args ...string) *worker {
	t.Helper()
	w := &worker{t: t, command: exec.CommandContext(t.Context(), os.Args[0], append(args, "-listen=127.0.0.1:0")...), lines: make(chan string, 1000)}
	w.command.Env = append(append(os.Environ(), "WORKER_TEST_CHILD=1"), env...)
	out, err := w.command.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, w.command.Start())
	go func() {
		defer close(w.lines)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			w.lines <- lines.Text()
		}
	}()
	for line := range w.lines {
		var entry struct {
			Page string `json:"page"`
		}
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Page != "" {
			w.page = entry.Page
			return w
		}
		t.Log(line)
	}
	t.Fatal("the worker ended before it ran")
	return nil
}

// get returns the answer of one of the worker's endpoints.
func (w *worker) get(path string) (int, string) {
	w.t.Helper()
	request, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, w.page+path, nil)
	require.NoError(w.t, err)
	answer, err := http.DefaultClient.Do(request)
	require.NoError(w.t, err)
	defer func() { require.NoError(w.t, answer.Body.Close()) }()
	body, err := io.ReadAll(answer.Body)
	require.NoError(w.t, err)
	return answer.StatusCode, string(body)
}

// ready waits until the worker has received.
func (w *worker) ready() {
	w.t.Helper()
	require.Eventually(w.t, func() bool {
		code, _ := w.get("readyz")
		return code == http.StatusOK
	}, time.Minute, 50*time.Millisecond)
}

// stop ends the worker as Kubernetes does, and returns its exit code.
func (w *worker) stop() int {
	w.t.Helper()
	require.NoError(w.t, w.command.Process.Signal(syscall.SIGTERM))
	for line := range w.lines {
		if strings.Contains(line, "the run has ended") {
			w.t.Log(line)
		}
	}
	_ = w.command.Wait()
	return w.command.ProcessState.ExitCode()
}

// A worker over sockets, which is scraped while it works and stopped in the middle, loses nothing: each order
// is in the database, in the queue, or a dead letter.
func TestAWorkerThatIsStoppedLosesNothing(t *testing.T) {
	const orders, hopeless = 3000, 30
	server := sqstest.New()
	web := httptest.NewServer(server)
	defer web.Close()
	dead := server.MustCreateQueue("orders-dead", nil)
	queue := server.MustCreateQueue("orders", nil)
	for n := range orders {
		cents := 100
		if n%(orders/hopeless) == 0 {
			cents = 0
		}
		server.Send(queue, fmt.Sprintf(`{"id":"A%d","item":"tea","cents":%d}`, n, cents))
	}
	file := filepath.Join(t.TempDir(), "orders.db")
	w := start(t, []string{
		"AWS_ENDPOINT_URL=" + web.URL, "AWS_REGION=us-east-1", "AWS_ACCESS_KEY_ID=x", "AWS_SECRET_ACCESS_KEY=x",
		"ORDERS_QUEUE_URL=" + queue, "ORDERS_DEAD_LETTER_QUEUE_URL=" + dead, "ORDERS_BATCH_SIZE=50", "ORDERS_POLL_TIME=1s", "ORDERS_DB=" + file,
	})
	w.ready()
	code, metrics := w.get("metrics")
	require.Equal(t, http.StatusOK, code)
	require.Contains(t, metrics, `sluice_messages_settled_total{queue="orders",result="deleted"}`)
	code, _ = w.get("livez")
	require.Equal(t, http.StatusOK, code)
	code, page := w.get("")
	require.Equal(t, http.StatusOK, code)
	require.Contains(t, page, "<html")
	require.Zero(t, w.stop())

	db, err := open(t.Context(), file)
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	var stored int
	require.NoError(t, db.QueryRowContext(t.Context(), "SELECT count(*) FROM orders").Scan(&stored))
	left, letters := len(server.Messages(queue)), len(server.Messages(dead))
	t.Logf("stored %d, left %d, dead letters %d", stored, left, letters)
	require.Equal(t, orders, stored+left+letters)
	require.NotZero(t, stored)
}

// Without flags it feeds itself, shows its page, and ends well.
func TestAWorkerRunsWithoutFlags(t *testing.T) {
	w := start(t, nil)
	w.ready()
	require.NoError(t, checkHealth(t.Context(), strings.Trim(strings.TrimPrefix(w.page, "http://"), "/")))
	require.Zero(t, w.stop())
	require.Error(t, checkHealth(t.Context(), strings.Trim(strings.TrimPrefix(w.page, "http://"), "/")))
}

func TestABatchIsInsertedAndWhatIsHopelessIsADeadLetter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db, err := sql.Open("sqlite", ":memory:")
		require.NoError(t, err)
		defer func() { require.NoError(t, db.Close()) }()
		db.SetMaxOpenConns(1)
		_, err = db.ExecContext(t.Context(), schema)
		require.NoError(t, err)
		handler := insert(db)
		batch := []*sluice.Message{
			{ID: "1", Body: `{"id":"A1","item":"tea","cents":250}`},
			{ID: "2", Body: `{"id":"A1","item":"tea","cents":250}`},
			{ID: "3", Body: `{"id":"A2","cents":0}`},
			{ID: "4", Body: `{"cents":1}`},
			{ID: "5", Body: `{`},
		}
		failed := map[string]sluice.OutcomeKind{}
		for m, err := range sluice.Outcomes(batch, handler(t.Context(), batch)) {
			failed[m.ID] = sluice.OutcomeOf(err).Kind
		}
		require.Equal(t, map[string]sluice.OutcomeKind{"3": sluice.OutcomeDeadLetter, "4": sluice.OutcomeDeadLetter, "5": sluice.OutcomeRetry}, failed)
		var stored int
		require.NoError(t, db.QueryRowContext(t.Context(), "SELECT count(*) FROM orders").Scan(&stored))
		require.Equal(t, 1, stored)

		ended, end := context.WithCancel(t.Context())
		end()
		for _, err := range sluice.Outcomes(batch[:1], handler(ended, batch[:1])) {
			require.Equal(t, sluice.OutcomeRetry, sluice.OutcomeOf(err).Kind)
		}
	})
}

func TestSettingsThatAreWrongAreAllNamed(t *testing.T) {
	_, err := parse([]string{"-batch-size=7", "now"}, []string{"ORDERS_BATCHSIZE=9", "ORDERS_WAIT_TIME=soon", "ORDERS_DEAD_LETTER_QUEUE_URL=x"}, io.Discard)
	for _, want := range []string{"nearest is ORDERS_BATCH_SIZE", `ORDERS_WAIT_TIME is "soon"`, `"now" is no flag`, "-queue-url is not"} {
		require.ErrorContains(t, err, want)
	}
	s, err := parse([]string{"-batch-size=7"}, []string{"ORDERS_BATCH_SIZE=9", "ORDERS_LISTEN=:80"}, io.Discard)
	require.NoError(t, err)
	require.Equal(t, 7, s.options.BatchSize)
	require.Equal(t, ":80", s.listen)
	require.Error(t, run(t.Context(), []string{"-listen=nowhere:x"}, nil, io.Discard))
}
