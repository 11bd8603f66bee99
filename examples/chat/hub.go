package main

import "sync"

// A hub wakes the streams of a user's devices when there is something new in the
// user's notification queue. It carries no messages: those are in the database,
// where a device that was away finds them too.
//
// Pusher and devices meet here because they are in one process. With several, the
// pusher would tell the others, by whatever carries a user's name.
type hub struct {
	mu      sync.Mutex // guards streams; never held while calling out
	streams map[string]map[chan struct{}]bool
}

func newHub() *hub { return &hub{streams: map[string]map[chan struct{}]bool{}} }

// join returns a channel that gets a value soon after each wake for the user,
// until leave is called. Several wakes may be one value.
func (h *hub) join(user string) (news <-chan struct{}, leave func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := make(chan struct{}, 1)
	if h.streams[user] == nil {
		h.streams[user] = map[chan struct{}]bool{}
	}
	h.streams[user][c] = true
	return c, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.streams[user], c)
		if len(h.streams[user]) == 0 {
			delete(h.streams, user)
		}
	}
}

// wake tells all streams of the user to look. It never waits.
func (h *hub) wake(user string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.streams[user] {
		select {
		case c <- struct{}{}:
		default: // it has been told, and not looked yet
		}
	}
}
