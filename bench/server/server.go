// Package server is the other end of the benchmarks' wire: queues in memory behind HTTP on
// loopback, with a fixed latency per call, faults on demand, a supply of messages that does not
// end, and counters of its own. It runs in a process of its own.
//
// Each run of a consumer has its own queue and its own port, so that nothing of one is counted for
// another. A control port sets runs up, marks moments, and ends them.
package server

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A Setup is a run that is asked for.
type Setup struct {
	Latency time.Duration `json:"latency"` // of each call: half of it before the effect, half after
	Size    int           `json:"size"`    // of bodies, in bytes
	Depth   int           `json:"depth"`   // messages that the queue has at the start and is kept at; 0: it is empty
	Rate    float64       `json:"rate"`    // messages a second that are sent from the first mark on, at random intervals; 0: none
	Fault   string        `json:"fault"`   // one of [Faults]; empty: none

	Seed    uint64        `json:"seed,omitzero"`    // of all that is random; 0: another one each time
	Servers int           `json:"servers,omitzero"` // that the messages lie on; a receive is answered by one of them; 0: one
	Answers []Answers     `json:"answers,omitzero"` // how many messages a receive brings at most; none: as many as it asks for
	Turn    time.Duration `json:"turn,omitzero"`    // how long each of several Answers holds, one after the other, again and again
	Sigma   float64       `json:"sigma,omitzero"`   // of a lognormal distribution whose median is Latency; 0: all calls take the same
	Tails   bool          `json:"tails,omitzero"`   // 2 % of the calls take 500 ms more
	Empty   float64       `json:"empty,omitzero"`   // share of the receives that are answered with nothing, at once
	Load    []Phase       `json:"load,omitzero"`    // what is sent from the first mark on, one phase after the other; none: see Rate

	TLS        bool `json:"tls,omitzero"`        // the run speaks TLS 1.3 and offers h2
	JSON       bool `json:"json,omitzero"`       // bodies are JSON documents, full of quotes; else they are one letter again and again
	Attributes int  `json:"attributes,omitzero"` // of each message, with values of 16 bytes
	Groups     int  `json:"groups,omitzero"`     // message groups of a FIFO queue, which take turns; 0: it is a standard queue
}

// Answers are sizes of answers: each number of messages from Least to Most is as likely.
type Answers struct {
	Least int `json:"least"`
	Most  int `json:"most"`
}

// A Phase is a part of a load.
type Phase struct {
	For   time.Duration `json:"for"`
	Rate  float64       `json:"rate"`           // messages a second, at random intervals
	Burst int           `json:"burst,omitzero"` // messages sent at once when it begins
	Down  bool          `json:"down,omitzero"`  // every call of a consumer is answered with HTTP 503
}

// A Run is a run that was set up.
type Run struct {
	ID       int    `json:"id"`
	Endpoint string `json:"endpoint"` // of SQS, for this run
	QueueURL string `json:"queueUrl"`
	CA       string `json:"ca,omitzero"` // who signed the server's certificate, in PEM; empty: it speaks no TLS
}

// A Server sets up runs.
type Server struct {
	pacer    *pacer
	identity func() (*identity, error) // made once, when it is needed

	mu    sync.Mutex // guards the fields below
	runs  map[int]*run
	count int
}

// Serve answers on listener, the control port, until ctx is done.
func Serve(ctx context.Context, listener net.Listener) error {
	p, err := newPacer()
	if err != nil {
		return err
	}
	s := &Server{pacer: p, identity: sync.OnceValues(newIdentity), runs: map[int]*run{}}
	go func() { panic(p.run()) }() // as long as the process; without it every call would hang
	mux := http.NewServeMux()
	mux.HandleFunc("POST /runs", s.create)
	mux.HandleFunc("POST /runs/{id}/mark", s.mark)
	mux.HandleFunc("DELETE /runs/{id}", s.remove)
	control := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = control.Close() })
	defer stop()
	if err := control.Serve(listener); ctx.Err() == nil {
		return fmt.Errorf("serving the control port: %w", err)
	}
	return nil
}

func (s *Server) create(w http.ResponseWriter, r *http.Request) {
	var setup Setup
	if err := json.NewDecoder(r.Body).Decode(&setup); err != nil {
		http.Error(w, "decoding the setup: "+err.Error(), http.StatusBadRequest)
		return
	}
	one, err := s.start(setup)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	s.mu.Lock()
	s.count++
	id := s.count
	s.runs[id] = one
	s.mu.Unlock()
	reply(w, Run{ID: id, Endpoint: one.endpoint, QueueURL: one.url, CA: one.identity.authority()})
}

func (s *Server) start(setup Setup) (*run, error) {
	if !setup.TLS {
		return newRun(s.pacer, setup, nil)
	}
	own, err := s.identity()
	if err != nil {
		return nil, err
	}
	return newRun(s.pacer, setup, own)
}

func (s *Server) mark(w http.ResponseWriter, r *http.Request) {
	one := s.find(w, r)
	if one == nil {
		return
	}
	one.begin()
	reply(w, one.meter.mark())
}

func (s *Server) remove(w http.ResponseWriter, r *http.Request) {
	one := s.find(w, r)
	if one == nil {
		return
	}
	id, _ := strconv.Atoi(r.PathValue("id"))
	s.mu.Lock()
	delete(s.runs, id)
	s.mu.Unlock()
	one.close()
}

// find returns the run that r is about, or answers that there is none.
func (s *Server) find(w http.ResponseWriter, r *http.Request) *run {
	id, _ := strconv.Atoi(r.PathValue("id"))
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.runs[id]
	if one == nil {
		http.Error(w, "there is no such run", http.StatusNotFound)
	}
	return one
}

func reply(w http.ResponseWriter, v any) {
	text, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(text) // a caller that went away needs no answer
}

// operation is the one that r asks for.
func operation(r *http.Request) string {
	_, op, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	return op
}
