// Package e2e looks at the live page as a person does: in a browser.
package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/ops"
	"github.com/sluice-go/sluice/sqstest"
)

// limit is how long a story may take before something hangs.
const limit = 5 * time.Minute

// A tab is a tab of a browser.
type tab struct {
	*testing.T

	ctx   context.Context
	leave func() // cuts the connections to the server
}

// browser starts a headless Chromium. Without one the test is skipped, except in CI, where it
// must be there. What the page's script or its security policy complains of fails the test.
func browser(t *testing.T) *tab {
	t.Helper()
	path := chromium()
	if path == "" {
		const missing = "SKIPPED: NO BROWSER: there is no chromium in PATH, so nobody has looked at the live page (Debian: apt-get install chromium)"
		if os.Getenv("CI") == "true" {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
	// chromedp makes the browser's folder and removes it. Children of the browser outlive it and write there,
	// which the test's own temporary folder does not allow.
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path),
		chromedp.NoSandbox, // which a root user of a container cannot have
		chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.WindowSize(1280, 900),
	)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx, chromedp.WithErrorf(t.Logf))
	t.Cleanup(func() { _ = chromedp.Cancel(ctx); cancel() })
	require.NoError(t, chromedp.Listen(ctx, func(event any) {
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			t.Errorf("the page's script: %+v", e.ExceptionDetails)
		case *log.EventEntryAdded:
			if e.Entry.Source == "security" {
				t.Errorf("the page's policy: %s", e.Entry.Text)
			}
		}
	}))
	return &tab{T: t, ctx: ctx}
}

func chromium() string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

func (b *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	b.Helper()
	require.NoError(b, chromedp.Do(b.ctx, actions...))
}

// await waits until an expression of the page's script is true.
func (b *tab) await(expression string) {
	b.Helper()
	_, err := chromedp.Run(b.ctx, chromedp.Poll[bool](expression, chromedp.WithPollingInterval(20*time.Millisecond), chromedp.WithPollingTimeout(2*time.Minute)))
	if err != nil {
		b.Fatalf("%s: %v; the page shows\n%s", expression, err, b.eval("document.body.innerText"))
	}
}

func (b *tab) eval(expression string) string {
	b.Helper()
	value, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](expression))
	require.NoError(b, err)
	return value
}

// text returns what the page shows at a selector.
func (b *tab) text(selector string) string {
	b.Helper()
	return b.eval(fmt.Sprintf("document.querySelector(%q)?.innerText ?? 'nothing'", selector))
}

// scheme makes the page light or dark.
func (b *tab) scheme(name string) {
	b.Helper()
	_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}},
	})
	require.NoError(b, err)
}

// pictures takes pictures of the page, on a desktop and on a phone, light and dark. On neither
// may it be wider than the screen.
func (b *tab) pictures(name string) {
	b.Helper()
	for _, size := range []struct {
		name          string
		width, height int64
	}{{"desktop", 1280, 900}, {"phone", 390, 844}} {
		b.do(chromedp.EmulateViewport(size.width, size.height))
		for _, scheme := range []string{"light", "dark"} {
			b.scheme(scheme)
			b.picture(fmt.Sprintf("%s-%s-%s", name, size.name, scheme))
		}
		wide := b.eval("String(document.documentElement.scrollWidth)")
		require.Equal(b, fmt.Sprint(size.width), wide, "%s on a %s scrolls sideways", name, size.name)
	}
	b.scheme("light")
	b.do(chromedp.EmulateViewport(1280, 900))
}

// picture writes a PNG of the page to the folder SCREENSHOTS. Without one there is none: they
// take long.
func (b *tab) picture(name string) {
	b.Helper()
	dir := os.Getenv("SCREENSHOTS")
	if dir == "" {
		return
	}
	require.NoError(b, os.MkdirAll(dir, 0o755))
	const best = 100 // and so a PNG
	png, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(best))
	require.NoError(b, err)
	file := filepath.Join(dir, name+".png")
	require.NoError(b, os.WriteFile(file, png, 0o600))
	b.Logf("see %s", file)
}

// show serves the page with events that were recorded, under a prefix, and opens it.
func (b *tab) show(events []byte) {
	b.Helper()
	c, err := sluice.New(sqstest.New(), "https://sqs.eu-central-1.amazonaws.com/123456789012/none", sluice.Options{})
	require.NoError(b, err)
	page := ops.Page(c)
	mux := http.NewServeMux()
	mux.Handle("/", page)
	mux.HandleFunc("/events", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = w.Write(events)
		for r.Context().Err() == nil { // the same moment again and again
			_ = http.NewResponseController(w).Flush()
			time.Sleep(time.Second)
			_, _ = w.Write(events[bytes.LastIndex(events, []byte("event: now")):])
		}
	})
	b.open(http.StripPrefix("/some/prefix", mux))
	b.await("document.querySelector('#live').textContent === 'live'")
}

// open serves a handler under a prefix and opens its page.
func (b *tab) open(h http.Handler) {
	b.Helper()
	server := httptest.NewServer(h)
	b.leave = server.CloseClientConnections
	b.Cleanup(func() {
		b.leave()
		server.Close()
	})
	b.do(chromedp.Navigate(server.URL + "/some/prefix/"))
}
