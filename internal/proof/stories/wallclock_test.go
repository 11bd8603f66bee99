package stories_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestTheWallClockOfARealMachine runs the tests of suspended_test.go. They need a time
// package whose wall clock can be put forward, made of the toolchain's own, and with it
// all packages anew, which takes minutes the first time: so it is asked for by SUSPEND=1.
func TestTheWallClockOfARealMachine(t *testing.T) {
	if os.Getenv("SUSPEND") == "" {
		t.Skip("SUSPEND is not set")
	}
	root, err := exec.CommandContext(t.Context(), "go", "env", "GOROOT").Output()
	require.NoError(t, err)
	original := filepath.Join(strings.TrimSpace(string(root)), "src", "time", "time.go")
	text, err := os.ReadFile(original)
	require.NoError(t, err)
	const reads = "\tsec, nsec, mono := runtimeNow()\n"
	if !bytes.Contains(text, []byte("func Now() Time {\n"+reads)) {
		t.Skip("SKIPPED ALTHOUGH IT WAS ASKED FOR: time.Now of this toolchain is written otherwise")
	}
	dir := t.TempDir()
	with := func(name string, text []byte) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, text, 0o600))
		return path
	}
	changed := bytes.Replace(text, []byte("func Now() Time {\n"+reads), []byte("func Now() Time {\n"+reads+"\tsec += XWall.Load()\n"), 1)
	wall := "package time\n\nimport \"internal/runtime/atomic\"\n\n// XWall is by how many seconds the wall clock was put forward.\nvar XWall atomic.Int64\n"
	plan, err := json.Marshal(map[string]any{"Replace": map[string]string{
		original: with("time.go", changed),
		filepath.Join(filepath.Dir(original), "xwall.go"): with("xwall.go", []byte(wall)),
	}})
	require.NoError(t, err)
	binary := filepath.Join(dir, "suspend.test")
	out, err := exec.CommandContext(t.Context(), "go", "test", "-c", "-tags", "suspend", "-overlay", with("overlay.json", plan), "-o", binary, ".").CombinedOutput()
	if err != nil {
		t.Skipf("SKIPPED ALTHOUGH IT WAS ASKED FOR: it cannot be built: %v\n%s", err, out)
	}
	out, err = exec.CommandContext(t.Context(), binary, "-test.run=^TestSuspended", "-test.v", "-test.timeout=2m").CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Equal(t, 2, strings.Count(string(out), "--- PASS: TestSuspended"), "%s", out)
}
