package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
)

const (
	heartbeat  = 15 * time.Second // so that both sides notice a connection that is dead
	patience   = 10 * time.Second // with a device that does not read
	reconnects = time.Second      // how soon a browser comes back by itself

	glance = 100 * time.Millisecond // between looks at the numbers of the queue: for eyes that is at once
)

// stream sends a device what is in its user's notification queue, in order, and
// goes on with what is new until the device goes away.
//
// Each device says which message it has shown last, by Last-Event-ID or after, and
// gets what comes behind that, whatever other devices of the user (two tabs of one
// phone) have got and acknowledged. That is also why nothing is lost when a
// connection dies with messages in it: they were sent, but not shown. A device that
// shows nothing yet begins behind what was acknowledged.
//
// A page that draws the queue asks by queue=1 for its numbers. They come on the same
// stream, since a browser has few connections, and only when they have changed.
func (s *server) stream(w http.ResponseWriter, r *http.Request, user string) {
	online := time.Now()
	news, leave := s.hub.join(user) // before the first look, so that nothing falls between
	defer leave()
	place, err := s.resume(r.Context(), user, cmp.Or(r.Header.Get("Last-Event-ID"), r.FormValue("after")))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	header := w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-store")
	line := &line{w: w, c: http.NewResponseController(w)}
	line.sendf("retry: %d\n\n", reconnects.Milliseconds())
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	look := make(<-chan time.Time) // nothing comes, unless the device asks
	if r.FormValue("queue") != "" {
		ticker := time.NewTicker(glance)
		defer ticker.Stop()
		look = ticker.C
		line.tell(s.meter())
	}
	for {
		place, err = s.deliver(r.Context(), line, user, place, online)
		if err != nil {
			if r.Context().Err() == nil {
				s.log.Warn("streaming", "user", user, "err", err) // the device comes back for the rest
			}
			return
		}
		s.wait(r.Context(), line, news, beat.C, look)
	}
}

// wait returns when there may be something to deliver, or when the device has gone.
// Until then it sends a heartbeat and what changes in the numbers of the queue.
func (s *server) wait(ctx context.Context, l *line, news <-chan struct{}, beat, look <-chan time.Time) {
	for l.err == nil {
		select {
		case <-ctx.Done():
			return
		case <-news:
			return
		case <-beat:
			l.sendf(": still here\n\n")
			return
		case <-look:
			l.tell(s.meter())
		}
	}
}

// resume returns the place in the user's queue behind which a device goes on that
// has shown a message, or, if that is unknown here, none.
func (s *server) resume(ctx context.Context, user, shown string) (place int64, err error) {
	if shown != "" {
		// To have shown it is to acknowledge it: the acknowledgement itself may
		// have been lost with the connection.
		place, err = s.store.acknowledge(ctx, user, shown)
		if !errors.Is(err, errUnknown) {
			return place, err
		}
	}
	return s.store.acknowledged(ctx, user)
}

// deliver sends what is in the user's queue behind a place, and returns the place
// of the last.
func (s *server) deliver(ctx context.Context, l *line, user string, place int64, online time.Time) (int64, error) {
	for {
		some, err := s.store.after(ctx, user, place)
		if err != nil {
			return place, err
		}
		for _, n := range some {
			data, err := json.Marshal(n.message) // one line; letters that HTML minds are escaped
			if err != nil {
				return place, err
			}
			l.sendf("id: %s\ndata: %s\n\n", n.ID, data)
			place = n.number
			if n.SentAt.After(online) {
				s.took.add(time.Since(n.SentAt)) // what waited for the device says nothing of our speed
			}
		}
		if len(some) == 0 || l.err != nil {
			return place, l.err
		}
	}
}

// A line is the way to a device. After an error it sends nothing more.
type line struct {
	w   http.ResponseWriter
	c   *http.ResponseController
	err error

	told numbers // of the queue
}

func (l *line) sendf(format string, args ...any) {
	if l.err != nil {
		return
	}
	_ = l.c.SetWriteDeadline(time.Now().Add(patience)) // a writer that knows no deadlines blocks nobody else
	_, l.err = fmt.Fprintf(l.w, format, args...)
	if l.err == nil {
		l.err = l.c.Flush()
	}
}

// tell sends the numbers of the queue, unless it has sent the same last. The event has
// no id, so the device's place stays what it is.
func (l *line) tell(now numbers) {
	if l.told.At != 0 && !now.differ(l.told) {
		return
	}
	data, err := json.Marshal(now)
	if err != nil {
		l.err = cmp.Or(l.err, err)
		return
	}
	l.told = now
	l.sendf("event: queue\ndata: %s\n\n", data)
}
