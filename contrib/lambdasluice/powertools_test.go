package lambdasluice_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/contrib/lambdasluice"
)

// Powertools is what AWS gives to functions in other languages. Its version is part of the name of the
// folder that it is installed to.
const powertools = "@aws-lambda-powertools/batch@2.35.0"

// A powertoolsCase is an event, and which of its messages fail.
type powertoolsCase struct {
	Mode    string          `json:"mode"` // standard, fifo (all stop at a failure) or group (its group stops)
	Event   events.SQSEvent `json:"event"`
	Failing []string        `json:"failing"`
}

// In the mode fifo Powertools stops at the first failure, whatever its message group: AWS's guide says
// so. A queue has no order between groups, so lambdasluice stops the group only, as Powertools does
// in the mode group. Where there is one group, both are the same.
func TestReportsAreThoseOfPowertools(t *testing.T) {
	folder := installPowertools(t)
	random := rand.New(rand.NewPCG(1, 2))
	var cases []powertoolsCase
	for range 150 {
		cases = append(cases, randomCase(random, "standard", 1), randomCase(random, "fifo", 1), randomCase(random, "group", 3))
	}
	answers := askPowertools(t, folder, cases)
	require.Len(t, answers, len(cases))
	thrown := 0
	for i, c := range cases {
		for _, size := range []int{1, 3, 10} {
			var got []string
			out, err := lambdasluice.Handler(failing(&got, c.Failing...), quiet(lambdasluice.Options{BatchSize: size}))(t.Context(), c.Event)
			if answers[i] == nil {
				thrown++
				require.ErrorContains(t, err, "messages failed", "case %d: %+v", i, c)
				continue
			}
			require.NoError(t, err)
			require.Equal(t, strings.Join(answers[i], " "), reported(out), "case %d: %+v", i, c)
		}
	}
	require.NotZero(t, thrown, "some events fail as a whole")
}

// randomCase returns an event of up to ten messages, of up to so many message groups.
func randomCase(random *rand.Rand, mode string, groups int) powertoolsCase {
	var ids []string
	for i := range 1 + random.IntN(10) {
		ids = append(ids, fmt.Sprintf("%c%d", 'a'+random.IntN(groups), i))
	}
	c := powertoolsCase{Mode: mode, Event: standard(ids...), Failing: []string{}}
	if mode != "standard" {
		c.Event = fifo(ids...)
	}
	share := random.Float64()
	for _, id := range ids {
		if random.Float64() < share*share {
			c.Failing = append(c.Failing, id)
		}
	}
	return c
}

// installPowertools returns a folder with Powertools in it, which later tests find in the user's cache.
func installPowertools(t *testing.T) string {
	t.Helper()
	for _, tool := range []string{"node", "npm"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("SKIPPED: reports are not compared with those of %s: there is no %s in PATH; Node.js has it", powertools, tool)
		}
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = t.TempDir()
	}
	folder := filepath.Join(cache, "sluice-tools", strings.ReplaceAll(powertools, "/", "-"))
	if _, err := os.Stat(filepath.Join(folder, "node_modules")); err == nil {
		return folder
	}
	require.NoError(t, os.MkdirAll(filepath.Dir(folder), 0o750))
	fresh, err := os.MkdirTemp(filepath.Dir(folder), "powertools-") //nolint:usetesting // beside it: moved there when it is complete
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(fresh) })
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, "npm", "install", "--prefix", fresh, "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error", powertools).CombinedOutput()
	if err != nil {
		t.Skipf("SKIPPED: reports are not compared with those of %s: npm cannot install it: %v\n%s", powertools, err, out)
	}
	if err := os.Rename(fresh, folder); err != nil {
		require.DirExists(t, folder, "another test has put it there meanwhile: %v", err)
	}
	return folder
}

// askPowertools returns what Powertools reports for each case; nil: it throws.
func askPowertools(t *testing.T, folder string, cases []powertoolsCase) (answers [][]string) {
	t.Helper()
	script, err := os.ReadFile("testdata/powertools.mjs")
	require.NoError(t, err)
	name := filepath.Join(t.TempDir(), "powertools.mjs")
	require.NoError(t, os.Symlink(filepath.Join(folder, "node_modules"), filepath.Join(filepath.Dir(name), "node_modules"))) // node looks beside the script
	require.NoError(t, os.WriteFile(name, script, 0o600))
	input, err := json.Marshal(cases)
	require.NoError(t, err)
	var errors bytes.Buffer
	node := exec.CommandContext(t.Context(), "node", name)
	node.Stdin, node.Stderr = bytes.NewReader(input), &errors
	out, err := node.Output()
	require.NoError(t, err, errors.String())
	lines := slices.Collect(strings.Lines(string(out)))
	require.NoError(t, json.Unmarshal([]byte(lines[len(lines)-1]), &answers), "%s", out)
	return answers
}
