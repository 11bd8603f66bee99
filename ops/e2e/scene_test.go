package e2e

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/ops"
	"github.com/sluice-go/sluice/sqstest"
)

// markup is an error that a page must show as text.
const markup = `no stock of <img src=x onerror="document.title='owned'"> & <b>more</b>`

// A scene is consumers that have run for ten minutes, in virtual time.
type scene struct {
	*testing.T

	ctx       context.Context
	server    *sqstest.Server
	urls      []string
	consumers []*sluice.Consumer
	page      *ops.LivePage
	dry       atomic.Bool // nothing more is sent
}

// A part is a queue of a scene, and who consumes it.
type part struct {
	queue   string
	options sluice.Options
	rate    float64 // messages a second; it swings
	handler sluice.Handler
}

// record plays parts for ten minutes and then lets more happen. It returns the events that
// the page sends to a browser which opens it then.
func record(t *testing.T, more func(*scene), parts ...part) (events []byte) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		s := &scene{T: t, ctx: ctx, server: sqstest.New(sqstest.Latency(sqstest.LognormalDelay(12*time.Millisecond, 0.4)))}
		for _, p := range parts {
			p.options.Logger = slog.New(slog.DiscardHandler)
			s.urls = append(s.urls, s.server.MustCreateQueue(p.queue, nil))
			c, err := sluice.New(s.server, s.urls[len(s.urls)-1], p.options)
			require.NoError(t, err)
			s.consumers = append(s.consumers, c)
		}
		s.page = ops.Page(s.consumers...)
		s.page.Actions = true
		go s.page.Record(ctx)
		for i, p := range parts {
			go func() { _ = s.consumers[i].Run(ctx, p.handler) }()
			go s.feed(s.urls[i], p.rate)
		}
		time.Sleep(8 * time.Minute)
		more(s)
		events = s.look()
		stop()
		time.Sleep(time.Minute)
	})
	return events
}

// feed sends messages until the scene ends, or has stopped feeding.
func (s *scene) feed(url string, rate float64) {
	began := time.Now()
	for n := 0; s.ctx.Err() == nil && rate > 0; n++ {
		swing := 1 + 0.45*math.Sin(time.Since(began).Seconds()/70) + 0.15*math.Sin(time.Since(began).Seconds()/11)
		time.Sleep(time.Duration(float64(time.Second) / (rate * swing)))
		if !s.dry.Load() {
			s.server.Send(url, fmt.Sprint("order ", n))
		}
	}
}

// look returns the events that a browser gets at once.
func (s *scene) look() []byte {
	gone, leave := context.WithCancel(s.ctx)
	leave()
	w := httptest.NewRecorder()
	s.page.ServeHTTP(w, httptest.NewRequestWithContext(gone, http.MethodGet, "/events", nil))
	return w.Body.Bytes()
}

// takes returns a handler that takes so long, and fails one message in a hundred.
func takes(d time.Duration) sluice.Handler {
	return func(ctx context.Context, batch []*sluice.Message) error {
		time.Sleep(d)
		var errs []error
		for _, m := range batch {
			if len(m.ID) > 1 && m.ID[0] == '0' && m.ID[1] < '3' && m.ReceiveCount == 1 {
				errs = append(errs, sluice.Failed(m, errors.New(markup)))
			}
		}
		return errors.Join(errs...)
	}
}
