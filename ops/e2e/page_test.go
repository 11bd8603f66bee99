package e2e

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/ops"
	"github.com/sluice-go/sluice/sqstest"
)

var orders = part{queue: "orders", options: sluice.Options{Concurrency: 16, BatchSize: 10, WaitTime: time.Second}, rate: 40, handler: takes(300 * time.Millisecond)}

func TestUnderLoadThePageShowsIt(t *testing.T) {
	b := browser(t)
	b.show(record(t, func(*scene) { time.Sleep(3 * time.Minute) }, orders))
	require.Equal(t, "Receiving", b.text(".state strong"))
	require.Contains(t, b.text(".failures"), markup, "as text")
	b.pictures("load")
}

func TestAnIdleQueueLooksIdle(t *testing.T) {
	b := browser(t)
	b.show(record(t, func(s *scene) {
		s.dry.Store(true)
		time.Sleep(3 * time.Minute)
	}, orders))
	require.Equal(t, "Idle", b.text(".state strong"))
	b.pictures("idle")
}

func TestAnOutageLooksLikeOne(t *testing.T) {
	b := browser(t)
	b.show(record(t, func(s *scene) {
		s.server.Inject(sqstest.Fault{Match: func(c sqstest.Call) bool { return c.Op != "SendMessage" && c.Op != "SendMessageBatch" }, Err: sqstest.Unavailable()})
		time.Sleep(90 * time.Second)
	}, orders))
	require.Equal(t, "Backing off", b.text(".state strong"))
	b.pictures("outage")
}

func TestARefusalLooksLikeOne(t *testing.T) {
	b := browser(t)
	b.show(record(t, func(s *scene) {
		s.server.Inject(sqstest.Fault{Op: "ReceiveMessage", Err: sqstest.AccessDenied()})
		time.Sleep(30 * time.Second)
	}, orders))
	require.Equal(t, "Refused", b.text(".state strong"))
	require.Contains(t, b.text(".error"), "AccessDenied")
	b.pictures("refused")
}

func TestAStoppedConsumerLooksStopped(t *testing.T) {
	b := browser(t)
	b.show(record(t, func(s *scene) {
		s.consumers[0].Stop()
		time.Sleep(2 * time.Minute)
	}, orders))
	require.Equal(t, "Stopped", b.text(".state strong"))
	b.pictures("stopped")
}

func TestSeveralQueuesHaveAnOverview(t *testing.T) {
	b := browser(t)
	slow := part{queue: "invoices.fifo", options: sluice.Options{Concurrency: 4}, rate: 0}
	slow.handler = takes(time.Second)
	behind := part{queue: "emails", options: sluice.Options{Concurrency: 4}, rate: 12, handler: takes(500 * time.Millisecond)}
	b.show(record(t, func(s *scene) {
		s.consumers[1].Pause()
		time.Sleep(2 * time.Minute)
	}, orders, slow, behind))
	b.pictures("several")
}

func TestAFingerOnAChartReadsItsValues(t *testing.T) {
	b := browser(t)
	b.show(record(t, func(*scene) { time.Sleep(3 * time.Minute) }, orders))
	for _, size := range []struct {
		name          string
		width, height int64
	}{{"desktop", 1280, 900}, {"phone", 390, 844}} {
		b.do(chromedp.EmulateViewport(size.width, size.height))
		for _, right := range []float64{0.4, 0.95} {
			b.point("[data-chart=rates] .chart-box", right)
			b.await("!document.querySelector('[data-chart=rates] .tip').hidden")
			require.Regexp(t, `^\d\d:\d\d:\d\d\s+received\s*\d+\s+succeeded\s*\d+\s+failed\s*[\d.<]+$`, b.text("[data-chart=rates] .tip"))
			b.await("!document.querySelector('[data-chart=calls] .tip').hidden") // the same moment in the other charts
		}
		b.await("document.documentElement.scrollWidth === innerWidth") // the tip stays on the screen
		b.picture("hover-" + size.name)
	}
	b.point("h1", 0.5)
	b.await("document.querySelector('[data-chart=rates] .tip').hidden")
	b.eval("document.querySelector('[data-chart=rates] .chart-box').dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowLeft' })); ''")
	b.await("!document.querySelector('[data-chart=rates] .tip').hidden")
}

// point moves the mouse over an element, so far to its right.
func (b *tab) point(selector string, right float64) {
	b.Helper()
	var x, y float64
	at := b.eval(fmt.Sprintf("(() => { const r = document.querySelector(%q).getBoundingClientRect(); return (r.x + r.width * %g) + ' ' + (r.y + r.height / 2) })()", selector, right))
	_, err := fmt.Sscan(at, &x, &y)
	require.NoError(b, err)
	b.do(chromedp.MouseEvent(input.DispatchMouseEventTypeMouseMoved, x, y))
}

func TestThePageIsLiveAndComesBack(t *testing.T) {
	b := browser(t)
	queues := sqstest.New()
	url := queues.MustCreateQueue("orders", nil)
	c, err := sluice.New(queues, url, sluice.Options{PollTime: time.Second, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	looked := make(chan struct{}) // at the page while messages were handled; ten seconds later it is idle again
	go func() {
		ended <- c.Run(ctx, func(ctx context.Context, _ []*sluice.Message) error {
			select {
			case <-looked:
			case <-ctx.Done():
			}
			return nil
		})
	}()

	page := ops.Page(c)
	page.Actions = true
	var away atomic.Bool
	b.open(http.StripPrefix("/some/prefix", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if away.Load() {
			http.Error(w, "away", http.StatusBadGateway)
			return
		}
		page.ServeHTTP(w, r)
	})))
	b.await("document.querySelector('.state strong')?.textContent === 'Idle'")
	queues.Send(url, "1", "2", "3")
	b.await("document.querySelector('.state strong').textContent === 'Receiving'")
	close(looked)
	b.await("document.querySelector('[data-table=counts] dd').textContent === '3'")

	b.eval("window.confirm = () => true; ''")
	b.do(chromedp.Click(chromedp.CSS(".action")))
	b.await("document.querySelector('.state strong').textContent === 'Paused'")
	require.Equal(t, sluice.StatePaused, c.Health().State)
	b.do(chromedp.Click(chromedp.CSS(".action")))
	b.await("document.querySelector('.state strong').textContent !== 'Paused'")

	away.Store(true)
	b.leave()
	b.await("document.querySelector('#live').dataset.live === 'lost'")
	b.picture("lost-desktop")
	away.Store(false)
	b.await("document.querySelector('#live').dataset.live === 'live'")
	stop()
	require.NoError(t, <-ended)
	b.await("document.querySelector('.state strong').textContent === 'Stopped'")
	require.Contains(t, b.eval("document.title"), "Stopped: orders")
}
