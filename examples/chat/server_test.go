package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// serve runs the whole chat on a socket, as main does, and returns its address.
func serve(t *testing.T) (address string) {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "a folder?")
	require.NoError(t, os.Mkdir(folder, 0o700))
	reader, writer := io.Pipe()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, settings{listen: "127.0.0.1:0", db: filepath.Join(folder, "chat 100%.db")}, writer)
		writer.Close()
	}()
	lines := bufio.NewScanner(reader)
	for address == "" && lines.Scan() {
		if _, url, ok := strings.Cut(lines.Text(), "open      "); ok {
			address = strings.TrimSuffix(url, "/")
		}
	}
	go io.Copy(io.Discard, reader)
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-ended)
	})
	require.NotEmpty(t, address)
	return address
}

func get(t *testing.T, url string) *http.Response {
	t.Helper()
	answer, err := http.Get(url)
	require.NoError(t, err)
	t.Cleanup(func() { answer.Body.Close() })
	return answer
}

func post(t *testing.T, url, body string) *http.Response {
	t.Helper()
	answer, err := http.Post(url, "application/json", strings.NewReader(body))
	require.NoError(t, err)
	t.Cleanup(func() { answer.Body.Close() })
	return answer
}

func TestStreamOverASocketBringsAMessageAndEndsWithTheProgram(t *testing.T) {
	address := serve(t)
	stream := get(t, address+"/users/ben/stream")
	require.Equal(t, "text/event-stream", stream.Header.Get("Content-Type"))
	answer := post(t, address+"/messages", `{"id": "message-1", "from": "ada", "to": "ben", "text": "  a <b>bold</b> \"word\"\nand a line "}`)
	require.Equal(t, http.StatusCreated, answer.StatusCode)

	lines := bufio.NewScanner(stream.Body)
	var seen []string
	for lines.Scan() {
		seen = append(seen, lines.Text())
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		var m message
		require.NoError(t, json.Unmarshal([]byte(data), &m))
		require.Equal(t, "a <b>bold</b> \"word\"\nand a line", m.Text)
		require.NotContains(t, data, "<")
		break
	}
	require.Equal(t, []string{"retry: 1000", "", "id: message-1"}, seen[:3])
	// The cleanup stops the program while the stream is open.
}

func TestServerRefusesWhatItCannotUse(t *testing.T) {
	tell(t, func(w *world) {
		good := func() map[string]string {
			return map[string]string{"id": "message-1", "from": "ada", "to": "ben", "text": "Hello"}
		}
		require.Equal(w, http.StatusCreated, w.ask(http.MethodPost, "/messages", good()).Code)
		require.Equal(w, http.StatusCreated, w.ask(http.MethodPost, "/messages", good()).Code, "the same once more")
		for field, values := range map[string][]string{
			"id":   {"", "short", "a message", strings.Repeat("x", 65), "<script>alert(1)"},
			"from": {"", "ben", "Ada", "a:b", strings.Repeat("x", 33)},
			"to":   {"", "ada", "ben/../eve"},
			"text": {"", " \n ", strings.Repeat("ä", 4001)},
		} {
			for _, v := range values {
				m := good()
				m[field] = v
				require.Equal(w, http.StatusBadRequest, w.ask(http.MethodPost, "/messages", m).Code, "%s %q", field, v)
			}
		}
		other := good()
		other["text"] = "something else"
		require.Equal(w, http.StatusConflict, w.ask(http.MethodPost, "/messages", other).Code)
		require.Equal(w, http.StatusBadRequest, w.ask(http.MethodPost, "/messages", strings.Repeat("x", longestPost)).Code)
		require.Equal(w, http.StatusBadRequest, w.ask(http.MethodGet, "/users/Ben/stream", nil).Code)
		require.Equal(w, http.StatusNotFound, w.ask(http.MethodPost, "/users/ben/shown", map[string]string{"id": "message-9"}).Code)
		require.Equal(w, http.StatusNotFound, w.ask(http.MethodGet, "/index.html", nil).Code)
		require.Len(w, w.stored("ada"), 1)
	})
}

func TestAnotherSitesPageCannotPost(t *testing.T) {
	tell(t, func(w *world) {
		r := httptest.NewRequestWithContext(w.Context(), http.MethodPost, "/messages",
			strings.NewReader(`{"id": "message-1", "from": "ada", "to": "ben", "text": "Hello"}`))
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		answer := httptest.NewRecorder()
		w.web.ServeHTTP(answer, r)
		require.Equal(w, http.StatusForbidden, answer.Code)
		require.Empty(w, w.stored("ada"))
	})
}

func TestPageIsOneFileThatRunsOnlyItsOwnScript(t *testing.T) {
	answer := httptest.NewRecorder()
	page(answer, nil)
	policy := answer.Header().Get("Content-Security-Policy")
	require.NotContains(t, policy, "unsafe")
	require.Contains(t, policy, "script-src 'sha256-")
	body := answer.Body.String()
	require.Equal(t, 1, strings.Count(body, "<script"))
	require.Equal(t, 1, strings.Count(body, "<style"))
	require.NotRegexp(t, `(?i)<[^>]*\s(on[a-z]+|style)=`, body, "inline handlers and styles")
	require.NotRegexp(t, `(?i)(src|href)="?(https?:)?//`, body, "files from elsewhere")
	require.NotContains(t, body, "innerHTML")
}

func TestFlagsThatCannotWorkAreRefusedEachByItsName(t *testing.T) {
	const fifo = "https://sqs.eu-central-1.amazonaws.com/123456789012/chat.fifo"
	for name, bad := range map[string]struct {
		args []string
		want string
	}{
		"a standard queue":             {[]string{"-queue-url", strings.TrimSuffix(fifo, ".fifo")}, "-queue-url is"},
		"a queue's name":               {[]string{"-queue-url", "chat.fifo"}, "-queue-url is \"chat.fifo\""},
		"an endpoint without a scheme": {[]string{"-queue-url", fifo, "-endpoint", "127.0.0.1:9324"}, "-endpoint is \"127.0.0.1:9324\""},
		"an endpoint without a queue":  {[]string{"-endpoint", "http://127.0.0.1:9324"}, "-queue-url is not given"},
		"no flag":                      {[]string{"help"}, "\"help\" is no flag"},
	} {
		_, err := parse(bad.args, io.Discard)
		require.ErrorContains(t, err, bad.want, name)
	}
	s, err := parse([]string{"-queue-url", fifo, "-endpoint", "http://127.0.0.1:9324", "-db", "x", "-listen", ":1"}, io.Discard)
	require.NoError(t, err)
	require.Equal(t, settings{listen: ":1", db: "x", queueURL: fifo, endpoint: "http://127.0.0.1:9324"}, s)
}

func TestHelpNamesTheProgramAndEachFlagOnce(t *testing.T) {
	var out strings.Builder
	_, err := parse([]string{"-h"}, &out)
	require.ErrorIs(t, err, flag.ErrHelp)
	require.Contains(t, out.String(), "go run ./examples/chat ")
	require.NotContains(t, out.String(), "go-build")
	for _, name := range []string{"listen", "db", "queue-url", "endpoint"} {
		require.Equal(t, 1, strings.Count(out.String(), "\n  -"+name+" "), name)
	}
}

func TestSettingsThatCannotWorkAreRefused(t *testing.T) {
	for name, s := range map[string]settings{
		"a folder as the database": {db: t.TempDir()},
		"no address":               {listen: "nowhere at all"},
	} {
		require.Error(t, run(t.Context(), s, io.Discard), name)
	}
}

func TestAnyPortWillDoIfNoneIsAskedFor(t *testing.T) {
	first, err := listen(t.Context(), "")
	require.NoError(t, err)
	defer first.Close()
	second, err := listen(t.Context(), "")
	require.NoError(t, err)
	defer second.Close()
	require.NotEqual(t, first.Addr().String(), second.Addr().String())
}

func TestPartThatCannotGoOnEndsTheProgram(t *testing.T) {
	store, err := openStore(t.Context(), filepath.Join(t.TempDir(), "chat.db"))
	require.NoError(t, err)
	defer store.close()
	q, err := connect(t.Context(), "", "")
	require.NoError(t, err)
	q.url += "-that-is-not-there.fifo"
	a, err := newApp(store, q, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	listener, err := listen(t.Context(), "127.0.0.1:0")
	require.NoError(t, err)
	require.ErrorContains(t, a.run(t.Context(), listener), "does not exist")
}

func TestReadoutTellsMedianAnd99thPercentile(t *testing.T) {
	var l latency
	require.Equal(t, "no messages yet", l.String())
	for i := range 101 {
		l.add(time.Duration(100-i) * time.Millisecond)
	}
	require.Equal(t, "101 messages, median 50ms, 99th percentile 99ms", l.String())
	for range keptSamples {
		l.add(7 * time.Millisecond)
	}
	require.Equal(t, "10000 messages, median 7ms, 99th percentile 7ms", l.String())
}
