package stories_test

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
)

// The page of operations says how long a message that always fails takes to its dead-letter queue.
func TestAMessageThatAlwaysFailsIsDeadLetteredInTheTimeThatThePageSays(t *testing.T) {
	for _, row := range []struct { // the times are those of the shortest and the longest delays that chance can choose
		suffix     string // of the queue's name
		most       int    // receives
		tries      [2]int // at least, at most
		begin, end time.Duration
	}{
		{"", 3, [2]int{3, 3}, 3 * time.Minute, 4 * time.Minute},
		{"", 5, [2]int{5, 5}, 13 * time.Minute, 18 * time.Minute},
		{".fifo", 1, [2]int{5, 6}, 14 * time.Minute, 32 * time.Minute},
		{".fifo", 3, [2]int{12, 15}, 44 * time.Minute, 96 * time.Minute},
		{".fifo", 5, [2]int{17, 20}, 89 * time.Minute, 151 * time.Minute},
	} {
		t.Run(fmt.Sprintf("%d receives of orders%s", row.most, row.suffix), func(t *testing.T) {
			tell(t, func(w *world) {
				dead := w.server.MustCreateQueue("dead"+row.suffix, nil)
				w.url = w.server.MustCreateQueue("failing"+row.suffix, map[string]string{
					"RedrivePolicy": fmt.Sprintf(`{"maxReceiveCount":"%d","deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:dead%s"}`, row.most, row.suffix),
				})
				w.server.Send(w.url, "x")
				stop := w.run(w.consumer(sluice.Options{}), w.handler(fails(errors.New("always"))))
				time.Sleep(row.begin)
				require.Empty(w, w.server.Messages(dead), "it is tried for longer")
				time.Sleep(row.end - row.begin)
				require.Len(w, w.server.Messages(dead), 1, "it is tried for no longer")
				require.GreaterOrEqual(w, len(w.seen()), row.tries[0])
				require.LessOrEqual(w, len(w.seen()), row.tries[1])
				require.NoError(w, stop())
			})
		})
	}
}

// A page that operators read must not name log lines that nobody writes, nor leave any out.
func TestThePageOfOperationsHasEachLogLine(t *testing.T) {
	files := sources(t)
	adds := wrappers{always: keysIn(t, files, "Log"), aboutMessage: keysIn(t, files, "line")}
	written := map[string]bool{}
	for _, file := range files {
		ast.Inspect(file, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok {
				if row := adds.logLine(call); row != "" {
					written[row] = true
				}
			}
			return true
		})
	}
	require.NotEmpty(t, written)
	documented := documentedLines(t)
	for row := range written {
		require.Contains(t, documented, row, "docs/operations.md does not have this log line, or has it otherwise")
	}
	for _, row := range documented {
		require.Contains(t, written, row, "docs/operations.md has a log line that is not written, or not so")
	}
}

// root is the folder of the library, as seen from this one.
const root = "../../.."

// sources parses the files of the library: of its folder, and of what it imports.
func sources(t *testing.T) (files []*ast.File) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(root, "*.go"))
	require.NoError(t, err)
	inner, err := filepath.Glob(filepath.Join(root, "internal", "*", "*.go")) // proofs are one folder deeper
	require.NoError(t, err)
	for _, path := range slices.Concat(paths, inner) {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		files = append(files, file)
	}
	return files
}

// keysIn returns the keys that the one method of that name adds to the log lines that it writes: the
// texts in its body.
func keysIn(t *testing.T, files []*ast.File, method string) (keys []string) {
	t.Helper()
	found := 0
	for _, file := range files {
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || f.Recv == nil || f.Name.Name != method {
				continue
			}
			found++
			ast.Inspect(f.Body, func(n ast.Node) bool {
				if literal, ok := n.(ast.Expr); ok && quoted(literal) != "" {
					keys = append(keys, quoted(literal))
				}
				return true
			})
		}
	}
	require.Equal(t, 1, found, "methods named %s", method)
	require.NotEmpty(t, keys)
	return keys
}

// A wrappers is what the library's own methods add to the keys of a log line.
type wrappers struct {
	always       []string // by run.Log, through which the engine's lines go too
	aboutMessage []string // by reporting.line
}

// logLine returns the level, the message and the keys of a call that writes a log line, as
// its row in the table has them; "": it writes none.
func (w wrappers) logLine(call *ast.CallExpr) string {
	method, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	args := call.Args
	switch name := method.Sel.Name; {
	case name == "Log" && len(args) > 1 && levelOf(args[0]) != "":
		return row(levelOf(args[0]), args[1], w.always, args[2:])
	case name == "line" && len(args) > 3: // quota, text, message, time
		return row("Warn", args[1], slices.Concat(w.always, w.aboutMessage), args[4:])
	case slices.Contains([]string{"Debug", "Info", "Warn", "Error"}, name) && len(args) > 0: // of a slog.Logger
		return row(name, args[0], nil, args[1:])
	default:
		return ""
	}
}

// row returns the row of a log line; "": its text is not constant.
func row(level string, text ast.Expr, keys []string, args []ast.Expr) string {
	if quoted(text) == "" {
		return ""
	}
	keys = slices.Clone(keys)
	for i := 0; i < len(args); i += 2 {
		keys = append(keys, quoted(args[i]))
	}
	return strings.Join([]string{level, quoted(text), strings.Join(keys, ", ")}, " | ")
}

// levelOf returns the name of a constant such as slog.LevelWarn; "": it is something else.
func levelOf(e ast.Expr) string {
	if constant, ok := e.(*ast.SelectorExpr); ok {
		if level, found := strings.CutPrefix(constant.Sel.Name, "Level"); found {
			return level
		}
	}
	return ""
}

// quoted returns the text of a string literal; "": it is something else.
func quoted(e ast.Expr) string {
	if literal, ok := e.(*ast.BasicLit); ok && literal.Kind == token.STRING {
		if text, err := strconv.Unquote(literal.Value); err == nil {
			return text
		}
	}
	return ""
}

// documentedLines returns the rows of the table in docs/operations.md, without what they advise.
func documentedLines(t *testing.T) (rows []string) {
	t.Helper()
	page, err := os.ReadFile(filepath.Join(root, "docs", "operations.md"))
	require.NoError(t, err)
	_, section, found := strings.Cut(string(page), "\n## Log lines\n")
	require.True(t, found)
	section, _, _ = strings.Cut(section, "\n## ")
	for line := range strings.Lines(section) {
		cells := strings.Split(strings.TrimSpace(line), " | ")
		level, isRow := strings.CutPrefix(cells[0], "| ")
		if !isRow || level == "level" || strings.HasPrefix(level, "---") {
			continue
		}
		rows = append(rows, strings.Join(slices.Concat([]string{level}, cells[1:3]), " | "))
	}
	return rows
}
