package main

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"unicode/utf8"
)

// A server takes messages from devices and streams notifications to them.
//
// Who a device belongs to is what it says: there is no login.
type server struct {
	store *store
	hub   *hub
	sent  func()         // is told that there is a new message
	meter func() numbers // reads what the page says of the queue
	took  latency
	log   *slog.Logger
}

// handler returns the server's routes.
func (s *server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", page)
	mux.HandleFunc("GET /queue", s.queue)
	mux.HandleFunc("POST /messages", s.post)
	mux.HandleFunc("GET /users/{user}/messages", s.user(s.history))
	mux.HandleFunc("GET /users/{user}/stream", s.user(s.stream))
	mux.HandleFunc("GET /users/{user}/waiting", s.user(s.waiting))
	mux.HandleFunc("POST /users/{user}/shown", s.user(s.shown))
	// Another site's page, open in the same browser, can reach loopback too.
	return http.NewCrossOriginProtection().Handler(mux)
}

const (
	longestText = 4_000   // characters of a message
	longestPost = 1 << 16 // bytes of a request's body
)

var (
	userNames  = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)
	messageIDs = regexp.MustCompile(`^[A-Za-z0-9-]{8,64}$`)
)

// post takes a message: it is written to the database, and its event follows.
func (s *server) post(w http.ResponseWriter, r *http.Request) {
	var m message
	if !s.read(w, r, &m) {
		return
	}
	m.Text = strings.TrimSpace(m.Text)
	switch {
	case !messageIDs.MatchString(m.ID):
		http.Error(w, "id: want 8 to 64 letters, digits and hyphens", http.StatusBadRequest)
		return
	case !userNames.MatchString(m.From) || !userNames.MatchString(m.To) || m.From == m.To:
		http.Error(w, "from, to: want the names of two users, of small letters, digits and hyphens", http.StatusBadRequest)
		return
	case m.Text == "" || utf8.RuneCountInString(m.Text) > longestText:
		http.Error(w, "text: want 1 to 4000 characters", http.StatusBadRequest)
		return
	}
	kept, err := s.store.add(r.Context(), m)
	if errors.Is(err, errTaken) {
		http.Error(w, err.Error(), http.StatusConflict)
		return
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.sent()
	s.write(w, r, http.StatusCreated, kept)
}

// history answers what a device of the user begins with.
func (s *server) history(w http.ResponseWriter, r *http.Request, user string) {
	messages, err := s.store.history(r.Context(), user)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.write(w, r, http.StatusOK, map[string]any{"messages": append([]message{}, messages...)})
}

// waiting answers how many messages wait for the user.
func (s *server) waiting(w http.ResponseWriter, r *http.Request, user string) {
	n, err := s.store.waiting(r.Context(), user)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.write(w, r, http.StatusOK, map[string]int{"waiting": n})
}

// queue answers the numbers of now, for a page that has no stream.
func (s *server) queue(w http.ResponseWriter, r *http.Request) {
	s.write(w, r, http.StatusOK, s.meter())
}

// shown takes a device's acknowledgement: it shows a message, and all before it.
func (s *server) shown(w http.ResponseWriter, r *http.Request, user string) {
	var last struct {
		ID string `json:"id"`
	}
	if !s.read(w, r, &last) {
		return
	}
	_, err := s.store.acknowledge(r.Context(), user, last.ID)
	switch {
	case errors.Is(err, errUnknown):
		http.Error(w, err.Error(), http.StatusNotFound)
	case err != nil:
		s.fail(w, r, err)
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

// user makes a handler of a function that takes the user named in the path.
func (s *server) user(f func(w http.ResponseWriter, r *http.Request, user string)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		name := r.PathValue("user")
		if !userNames.MatchString(name) {
			http.Error(w, "want the name of a user, of small letters, digits and hyphens", http.StatusBadRequest)
			return
		}
		f(w, r, name)
	}
}

// read decodes a request's body, and answers the request if it cannot.
func (s *server) read(w http.ResponseWriter, r *http.Request, into any) (ok bool) {
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, longestPost)).Decode(into); err != nil {
		http.Error(w, "want JSON: "+err.Error(), http.StatusBadRequest)
		return false
	}
	return true
}

func (s *server) write(w http.ResponseWriter, r *http.Request, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	if err := json.NewEncoder(w).Encode(v); err != nil {
		s.log.Debug("answering", "path", r.URL.Path, "err", err) // the device has gone
	}
}

// fail answers a request that went wrong here.
func (s *server) fail(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		return // nobody waits for the answer
	}
	s.log.Error("answering", "path", r.URL.Path, "err", err)
	http.Error(w, "something went wrong here; try again", http.StatusInternalServerError)
}
