package envelope_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheProgramOfThePageRuns(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("SKIPPED: the program of docs/envelopes.md was not run: there is no go in PATH")
	}
	page, err := os.ReadFile("../docs/envelopes.md")
	require.NoError(t, err)
	found := regexp.MustCompile("(?s)```go\n(package main.*?)```.*?```text\n(.*?)```").FindSubmatch(page)
	require.NotNil(t, found)
	program := filepath.Join(t.TempDir(), "main.go")
	require.NoError(t, os.WriteFile(program, found[1], 0o600))
	run := exec.CommandContext(t.Context(), "go", "run", program)
	var logged bytes.Buffer // the library's log lines, and what is wrong
	run.Stderr = &logged
	out, err := run.Output()
	require.NoError(t, err, logged.String())
	require.Equal(t, string(found[2]), string(out))
}
