package ops

import (
	"context"
	"crypto/rand"
	"embed"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sluice-go/sluice"
)

//go:embed web
var web embed.FS

// A LivePage is a handler of a page that shows how consumers of this process do, each second
// anew, with the last ten minutes. Use [Page] to make one.
//
// It serves its path and those below it, and works under any prefix that http.StripPrefix or a
// proxy takes off. It sees one process only, and the page says so. A load balancer in front of
// several processes must keep a browser at one of them.
//
// While nobody looks it does nothing, and has no history. [LivePage.Record] keeps one. All
// methods may be called concurrently.
type LivePage struct {
	// Actions lets people pause and resume consumers on the page, by POST. Requests that a
	// browser sends for a page of another site get a 403. False: the page only shows. Set it
	// before the first request.
	Actions bool

	consumers []*sluice.Consumer
	names     []string
	recorder  *recorder
	mux       *http.ServeMux
	process   string // tells this LivePage from those of other processes behind one address
	began     time.Time

	closing sync.Once
	closed  chan struct{}
}

// Page returns the page of consumers. It starts nothing. It panics without consumers, and if
// one is nil.
func Page(consumers ...*sluice.Consumer) *LivePage {
	check(consumers)
	p := &LivePage{
		consumers: consumers, names: namesOf(consumers), recorder: newRecorder(consumers), mux: http.NewServeMux(),
		process: rand.Text(), began: time.Now(), closed: make(chan struct{}),
	}
	p.mux.HandleFunc("GET /{$}", asset("index.html"))
	for _, name := range []string{"app.js", "card.js", "chart.js", "format.js", "model.js", "style.css", "icon.svg"} {
		p.mux.HandleFunc("GET /"+name, asset(name))
	}
	p.mux.HandleFunc("GET /events", p.events)
	p.mux.HandleFunc("POST /pause", p.act((*sluice.Consumer).Pause))
	p.mux.HandleFunc("POST /resume", p.act((*sluice.Consumer).Resume))
	return p
}

// Record looks at the consumers each second until ctx is done or the page is closed, so that
// whoever opens the page sees the last ten minutes. A look takes well under a millisecond,
// and the history about 200 kB of memory for each consumer.
func (p *LivePage) Record(ctx context.Context) {
	for {
		p.recorder.look()
		if !p.tick(ctx) {
			return
		}
	}
}

// Close ends the answers to all who watch, and those to come. An http.Server waits for its
// answers when it shuts down, and these would not end: see [http.Server.RegisterOnShutdown].
// Close may be called more than once.
func (p *LivePage) Close() { p.closing.Do(func() { close(p.closed) }) }

// ServeHTTP answers a request.
func (p *LivePage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "+
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	if r.URL.Path == "" { // of a prefix without its slash, to which the names of files would not be relative
		uri, _, _ := strings.Cut(r.RequestURI, "?")
		h.Set("Location", "./"+path.Base(uri)+"/")
		w.WriteHeader(http.StatusMovedPermanently)
		return
	}
	p.mux.ServeHTTP(w, r)
}

// contentTypes are those of the files; a machine's own table may say something else.
var contentTypes = map[string]string{
	".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml",
}

// asset serves a file of the page.
func asset(name string) http.HandlerFunc {
	text, err := web.ReadFile("web/" + name)
	if err != nil {
		panic(err) // it is embedded
	}
	contentType := contentTypes[path.Ext(name)]
	return func(w http.ResponseWriter, _ *http.Request) {
		header(w, contentType)
		_, _ = w.Write(text)
	}
}

// act lets people do something with a consumer.
func (p *LivePage) act(action func(*sluice.Consumer)) http.HandlerFunc {
	do := func(w http.ResponseWriter, r *http.Request) {
		const most = 1 << 10 // bytes of the form
		r.Body = http.MaxBytesReader(w, r.Body, most)
		i, err := strconv.Atoi(r.PostFormValue("queue"))
		switch {
		case !p.Actions:
			http.Error(w, "this page only shows; set Actions to let it act", http.StatusForbidden)
		case r.PostFormValue("process") != p.process:
			http.Error(w, "this is another process than the one that the page shows", http.StatusConflict)
		case err != nil || i < 0 || i >= len(p.consumers):
			http.Error(w, "there is no such queue", http.StatusBadRequest)
		default:
			action(p.consumers[i])
			w.WriteHeader(http.StatusNoContent)
		}
	}
	return http.NewCrossOriginProtection().Handler(http.HandlerFunc(do)).ServeHTTP
}

// events sends what is new each second, until the browser leaves or the page is closed.
//
// A browser that reads slowly has one goroutine that waits for it, for a while, and keeps
// nothing for it. Then it gets all that it has missed, as far as the history has it.
func (p *LivePage) events(w http.ResponseWriter, r *http.Request) {
	select {
	case <-p.closed:
		http.Error(w, "the page is closed", http.StatusServiceUnavailable)
		return
	default:
	}
	header(w, "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // nginx would keep it back otherwise
	if r.Method == http.MethodHead {
		return
	}
	s := &stream{w: w, c: http.NewResponseController(w)}
	if err := s.c.Flush(); errors.Is(err, http.ErrNotSupported) {
		http.Error(w, "ops: a middleware hides http.Flusher, so nothing can be streamed", http.StatusInternalServerError)
		return
	}
	s.send("hello", p.hello())
	for s.err == nil {
		p.recorder.look()
		s.tell(p.recorder.after(s.seen))
		if s.err != nil || !p.tick(r.Context()) {
			return
		}
	}
}

// tick waits for the next full second, so that all who wait for it share a look. It reports
// false when ctx is done or the page is closed.
func (p *LivePage) tick(ctx context.Context) bool {
	now := time.Now()
	timer := time.NewTimer(now.Truncate(apart).Add(apart).Sub(now))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	case <-p.closed:
		return false
	}
}

// A queue is what the page shows of a consumer and never changes.
type queue struct {
	Name    string  `json:"name"`
	FIFO    bool    `json:"fifo"`
	Options options `json:"options"`
}

// hello returns the JSON of what never changes.
func (p *LivePage) hello() []byte {
	queues := make([]queue, len(p.consumers))
	for i, c := range p.consumers {
		fifo := strings.HasSuffix(nameOf(c.QueueURL()), ".fifo")
		queues[i] = queue{p.names[i], fifo, p.recorder.options[i]}
	}
	columns := make([]string, len(p.recorder.columns))
	for i, c := range p.recorder.columns {
		columns[i] = c.name
	}
	host, _ := os.Hostname() // "" is shown as nothing
	return encode(map[string]any{
		"process": p.process, "host": host, "pid": os.Getpid(), "began": p.began.UnixMilli(),
		"actions": p.Actions, "history": history.Milliseconds(), "kinds": kinds, "columns": columns, "queues": queues,
	})
}

// A stream is the way to a browser. After an error it sends nothing more.
type stream struct {
	w       http.ResponseWriter
	c       *http.ResponseController
	err     error
	seen    int64 // the sample that was sent last
	version int64 // of the failures that were sent last
}

// tell sends what is new, in one event after another.
func (s *stream) tell(n news) {
	if n.version != s.version {
		s.version = n.version
		s.send("failures", n.failures)
	}
	if len(n.samples) > 0 {
		s.seen = n.samples[len(n.samples)-1].seq
		parts := make([][]byte, 0, 2*len(n.samples)+1)
		for i := range n.samples {
			parts = append(parts, separator(i, 0), n.samples[i].data)
		}
		s.send("samples", []byte("["), append(parts, []byte("]"))...)
	}
	s.send("now", n.now)
}

// send sends an event, whose data come in parts.
func (s *stream) send(event string, data []byte, more ...[]byte) {
	const patience = 10 * time.Second // with a browser that does not read
	if s.err != nil {
		return
	}
	_ = s.c.SetWriteDeadline(time.Now().Add(patience)) // a writer that knows no deadlines holds up nobody else
	s.write(fmt.Appendf(nil, "event: %s\ndata: ", event), data)
	s.write(more...)
	s.write([]byte("\n\n"))
	if s.err == nil {
		s.err = s.c.Flush()
	}
}

func (s *stream) write(parts ...[]byte) {
	for _, part := range parts {
		if s.err == nil {
			_, s.err = s.w.Write(part)
		}
	}
}
