// Package e2e looks at the chat as a person does: the program runs, and a browser
// shows its page.
package e2e

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// limit is how long a story may take before something hangs.
const limit = 5 * time.Minute

// browser starts a headless Chromium. Without one the test is skipped, except in
// CI, where it must be there.
func browser(t *testing.T) context.Context {
	t.Helper()
	path := chromium()
	if path == "" {
		const missing = "NO BROWSER: there is no chromium in PATH, so nobody has looked at the page (Debian: apt-get install chromium)"
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
		chromedp.WindowSize(1280, 800),
	)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx, chromedp.WithErrorf(t.Logf))
	t.Cleanup(func() { _ = chromedp.Cancel(ctx); cancel() })
	return ctx
}

func chromium() string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// A program is the running chat.
type program struct {
	t       *testing.T
	binary  string
	db      string
	address string // of its page
	stop    func() // as Ctrl-C does
	kill    func()
}

// chat builds the program and starts it.
func chat(t *testing.T) *program {
	t.Helper()
	p := &program{t: t, binary: filepath.Join(t.TempDir(), "chat"), db: filepath.Join(t.TempDir(), "chat.db")}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", p.binary, ".")
	build.Dir = ".."
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	p.start("127.0.0.1:0")
	t.Cleanup(func() { p.stop() })
	return p
}

// start starts the program, and reads its address from what it prints.
func (p *program) start(addr string) {
	p.t.Helper()
	command := exec.CommandContext(context.WithoutCancel(p.t.Context()), p.binary, "-listen", addr, "-db", p.db)
	out, err := command.StdoutPipe()
	require.NoError(p.t, err)
	command.Stderr = os.Stderr
	require.NoError(p.t, command.Start())
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		p.t.Log(lines.Text())
		if _, url, ok := strings.Cut(lines.Text(), "open      "); ok {
			p.address = url
			break
		}
	}
	require.NotEmpty(p.t, p.address)
	read := make(chan struct{})
	go func() {
		defer close(read)
		for lines.Scan() {
			p.t.Log(lines.Text())
		}
	}()
	end := func(how os.Signal) error {
		p.stop, p.kill = func() {}, func() {}
		require.NoError(p.t, command.Process.Signal(how))
		<-read
		return command.Wait()
	}
	p.stop = func() { require.NoError(p.t, end(os.Interrupt)) }
	p.kill = func() { require.Error(p.t, end(os.Kill)) }
}
