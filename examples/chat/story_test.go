package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/sqstest"
)

// A world is the whole chat in virtual time: its server, relay and pusher, around a
// real database file and the real SDK client.
type world struct {
	*testing.T

	account *sqstest.Server
	queue   queue
	store   *store
	app     *app
	web     http.Handler
	pusher  *pusher
	posts   int
	parts   map[string]func() // those that run, by name: what stops them
}

// tell runs a story in a bubble of its own. Nothing runs yet in its world.
func tell(t *testing.T, story func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		account := sqstest.New()
		w := &world{T: t, account: account, parts: map[string]func(){}}
		w.queue = queue{client: account.Client(), url: account.MustCreateQueue("chat.fifo", nil), poll: time.Second}
		w.open(filepath.Join(t.TempDir(), "chat.db"))
		t.Cleanup(func() { require.NoError(t, w.store.close()) })
		t.Cleanup(func() {
			for part := range w.parts {
				w.stop(part)
			}
		})
		story(w)
	})
}

// open makes a process's parts around a database file.
func (w *world) open(file string) {
	w.Helper()
	quiet := slog.New(slog.DiscardHandler)
	store, err := openStore(w.Context(), file)
	require.NoError(w, err)
	w.store = store
	w.app, err = newApp(store, w.queue, quiet)
	require.NoError(w, err)
	w.web = w.app.server.handler()
	w.pusher = w.app.pusher
}

// start runs parts of the chat: "relay", "pusher".
func (w *world) start(parts ...string) {
	w.Helper()
	for _, part := range parts {
		require.NotContains(w, w.parts, part)
		ctx, cancel := context.WithCancel(w.Context())
		ended := make(chan error, 1)
		go func() {
			if part == "relay" {
				w.app.relay.run(ctx)
				ended <- nil
				return
			}
			ended <- w.app.push(ctx)
		}()
		w.parts[part] = func() {
			cancel()
			require.NoError(w, <-ended)
		}
	}
}

func (w *world) stop(part string) {
	w.Helper()
	w.parts[part]()
	delete(w.parts, part)
}

// ask makes a request and returns the answer.
func (w *world) ask(method, path string, body any) *httptest.ResponseRecorder {
	w.Helper()
	b, err := json.Marshal(body)
	require.NoError(w, err)
	answer := httptest.NewRecorder()
	w.web.ServeHTTP(answer, httptest.NewRequestWithContext(w.Context(), method, path, bytes.NewReader(b)))
	return answer
}

// send posts texts, one after the other, and returns the messages' ids.
func (w *world) send(from, to string, texts ...string) (ids []string) {
	w.Helper()
	for _, text := range texts {
		w.posts++
		m := message{ID: fmt.Sprintf("message-%04d", w.posts), From: from, To: to, Text: text}
		require.Equal(w, http.StatusCreated, w.ask(http.MethodPost, "/messages", m).Code)
		ids = append(ids, m.ID)
	}
	return ids
}

// waiting returns how many messages wait for a user.
func (w *world) waiting(user string) int {
	w.Helper()
	n, err := w.store.waiting(w.Context(), user)
	require.NoError(w, err)
	return n
}

// A device is what a browser is to the server: it shows each message that its
// stream brings, acknowledges it, and comes back behind the last that it has shown.
type device struct {
	w     *world
	user  string
	mute  bool // it acknowledges nothing
	close func()

	mu    sync.Mutex // guards the fields below
	texts []string
	times []time.Duration // from each message's post to its showing
	last  string
}

func (w *world) device(user string) *device { return &device{w: w, user: user} }

// online opens the device's stream.
func (d *device) online() {
	d.w.Helper()
	ctx, cancel := context.WithCancel(d.w.Context())
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/users/"+d.user+"/stream", nil)
	if d.last != "" {
		r.Header.Set("Last-Event-ID", d.last)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		d.w.web.ServeHTTP(&screen{device: d, header: http.Header{}}, r)
	}()
	d.close = func() {
		cancel()
		<-ended
	}
	d.w.Cleanup(d.close)
	synctest.Wait()
}

// offline closes it; so does the end of the story.
func (d *device) offline() { d.close() }

func (d *device) show(event string) {
	for field := range strings.Lines(event) {
		data, ok := strings.CutPrefix(field, "data: ")
		if !ok {
			continue
		}
		var m message
		if err := json.Unmarshal([]byte(data), &m); err != nil {
			d.w.Errorf("the stream brought %q: %v", data, err) // from the stream's goroutine, so it goes on
			return
		}
		d.mu.Lock()
		d.texts, d.times, d.last = append(d.texts, m.Text), append(d.times, time.Since(m.SentAt)), m.ID
		d.mu.Unlock()
		if !d.mute {
			assert.Equal(d.w, http.StatusNoContent, d.w.ask(http.MethodPost, "/users/"+d.user+"/shown", map[string]string{"id": m.ID}).Code)
		}
	}
}

// shows returns the texts on the device's screen.
func (d *device) shows() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]string(nil), d.texts...)
}

// A screen is the device's end of a stream.
type screen struct {
	device *device
	header http.Header
	buffer bytes.Buffer
}

func (s *screen) Header() http.Header         { return s.header }
func (s *screen) WriteHeader(code int)        { assert.Equal(s.device.w, http.StatusOK, code) }
func (s *screen) Write(b []byte) (int, error) { return s.buffer.Write(b) }

func (s *screen) Flush() {
	s.device.show(s.buffer.String())
	s.buffer.Reset()
}

// counting returns the texts prefix 1 to prefix n.
func counting(prefix string, n int) (texts []string) {
	for i := range n {
		texts = append(texts, fmt.Sprintf("%s %d", prefix, i+1))
	}
	return texts
}
