package otelsluice_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"

	"github.com/sluice-go/sluice"
)

// These tests let programs of others be the producers.

// patience is how long a test waits for a program. It is never waited for if all is well.
const patience = 5 * time.Minute

// javaScript are the packages of npm that testdata/producer.js needs.
var javaScript = []string{
	"@aws-sdk/client-sqs@3.1175.0", "@opentelemetry/api@1.9.1", "@opentelemetry/instrumentation@0.223.0",
	"@opentelemetry/instrumentation-aws-sdk@0.78.0", "@opentelemetry/sdk-trace-node@2.12.1",
}

// A sentBy is a span that sent messages, as its producer tells it.
type sentBy struct {
	TraceID string `json:"traceId"`
	SpanID  string `json:"spanId"`
}

func TestSpansOfJavaScriptGoOnInAHandler(t *testing.T) {
	modules := packagesOfJavaScript(t)
	w := newWorld(t)
	out := run(t, w, "NODE_PATH="+modules, "node", "testdata/producer.js")
	var spans []sentBy
	require.NoError(t, json.Unmarshal(out, &spans), "%s", out)
	require.Len(t, spans, 3, "a send, a batch, and what made both: %s", out)

	w.handle(3)
	require.Equal(t, map[string]string{"one": spans[0].SpanID, "two": spans[1].SpanID, "three": spans[1].SpanID}, w.parents())
	for _, s := range w.named("process orders") {
		require.Equal(t, spans[2].TraceID, s.SpanContext().TraceID().String())
	}
}

func TestTracesOfXRayGoOnInAHandler(t *testing.T) {
	needPython(t, "boto3", "aws_xray_sdk")
	w := newWorld(t)
	out := run(t, w, "", "python3", "testdata/xray.py")
	var segments []struct {
		Trace string `json:"trace"`
		Span  string `json:"span"`
	}
	require.NoError(t, json.Unmarshal(out, &segments), "%s", out)
	require.Len(t, segments, 2)

	w.handle(3)
	require.Equal(t, map[string]string{"one": segments[0].Span, "two": segments[1].Span, "three": segments[1].Span}, w.parents())
	for _, s := range w.named("process orders") {
		require.Equal(t, strings.ReplaceAll(strings.TrimPrefix(segments[0].Trace, "1-"), "-", ""), s.SpanContext().TraceID().String())
	}
}

func TestATraceGoesThroughATopic(t *testing.T) {
	needPython(t, "boto3", "moto")
	w := newWorld(t)
	body := run(t, w, "TRACEPARENT="+traceparent(1), "python3", "testdata/sns.py")
	require.Contains(t, string(body), `"Type"`)
	w.server.Send(w.url, string(body))
	w.handle(1)
	requireProducer(t, 1, w.span("process orders").Parent())
}

// handle handles n messages, one at a time, and notes the parent of each.
func (w *world) handle(n int) {
	w.drainReal(sluice.Options{MaxMessages: n, Concurrency: 1}, func(_ context.Context, batch []*sluice.Message) error {
		w.order = append(w.order, batch[0].Body)
		return nil
	})
}

// drainReal runs a consumer in real time until it has all that it may have.
func (w *world) drainReal(opts sluice.Options, h sluice.Handler) {
	ctx, cancel := context.WithTimeout(w.Context(), patience)
	defer cancel()
	require.NoError(w, w.consumer(opts).Run(ctx, h))
}

// parents returns the span ids of the parents of messages, by their bodies.
func (w *world) parents() map[string]string {
	ids := map[string]string{}
	for i, s := range w.named("process orders") {
		ids[w.order[i]] = s.Parent().SpanID().String()
		require.Equal(w, trace.SpanKindConsumer, s.SpanKind())
		require.Len(w, s.Links(), 1)
	}
	return ids
}

// run runs a producer against the queue, over a socket, and returns what it prints.
func run(t *testing.T, w *world, env string, command ...string) []byte {
	t.Helper()
	server := httptest.NewServer(w.server)
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Env = append(os.Environ(), "ENDPOINT="+server.URL, "QUEUE_URL="+server.URL+"/000000000000/orders", env)
	var out, wrong bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &wrong
	require.NoError(t, cmd.Run(), "%s", &wrong)
	return out.Bytes()
}

// needPython skips a test where Python lacks one of the modules.
func needPython(t *testing.T, modules ...string) {
	t.Helper()
	for _, module := range modules {
		if exec.CommandContext(t.Context(), "python3", "-c", "import "+module).Run() != nil {
			t.Skipf("SKIPPED: python3 has no module %s. To run it: pip install boto3 aws-xray-sdk moto", module)
		}
	}
}

// packagesOfJavaScript returns the folder of npm's packages, which stay in the cache of the user.
func packagesOfJavaScript(t *testing.T) string {
	t.Helper()
	for _, tool := range []string{"node", "npm"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("SKIPPED: there is no %s. To run it: install Node.js 20 or newer", tool)
		}
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = t.TempDir()
	}
	dir := filepath.Join(cache, "sluice-npm", "otelsluice")
	list := filepath.Join(dir, "installed") // written when all packages are there
	want := strings.Join(javaScript, "\n")
	if got, err := os.ReadFile(list); err == nil && string(got) == want {
		return filepath.Join(dir, "node_modules")
	}
	fresh := dir + "-" + filepath.Base(t.TempDir()) + "-" + time.Now().Format("150405.000000") // another test run may do the same
	require.NoError(t, os.MkdirAll(fresh, 0o700))
	defer os.RemoveAll(fresh)
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	args := slices.Concat([]string{"install", "--prefix", fresh, "--no-audit", "--no-fund", "--loglevel", "error"}, javaScript)
	if out, err := exec.CommandContext(ctx, "npm", args...).CombinedOutput(); err != nil {
		t.Skipf("SKIPPED: npm cannot install the packages of the JavaScript SDK: %v\n%s\nTo run it: let npm reach its registry", err, out)
	}
	require.NoError(t, os.WriteFile(filepath.Join(fresh, "installed"), []byte(want), 0o600))
	_ = os.RemoveAll(dir)
	if err := os.Rename(fresh, dir); err != nil && !errors.Is(err, os.ErrExist) {
		t.Skipf("SKIPPED: the packages of the JavaScript SDK cannot be kept: %v", err)
	}
	return filepath.Join(dir, "node_modules")
}
