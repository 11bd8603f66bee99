// Command docs compiles each Go block of README.md and of the pages in docs, and runs the program
// that a page begins with. It is run in the root folder of the repository:
//
//	go run ./internal/proof/docs            all pages
//	go run ./internal/proof/docs docs/x.md  these
//
// A block that begins with a package clause is a program. Any other block is a part of one: of the
// body of a function or of a file. What it may use without saying so is in prelude.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

func main() {
	if err := check(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "docs:", err)
		os.Exit(1)
	}
}

func check(pages []string) error {
	if len(pages) == 0 {
		found, err := filepath.Glob("docs/*.md")
		if err != nil {
			return err
		}
		pages = append([]string{"README.md"}, found...)
	}
	var blocks []block
	for _, page := range pages {
		text, err := os.ReadFile(page) //nolint:gosec // the caller's
		if err != nil {
			return err
		}
		blocks = append(blocks, blocksOf(page, string(text))...)
	}
	scratch, err := os.MkdirTemp("", "docs")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	if err := build(scratch, blocks); err != nil {
		return err
	}
	fmt.Printf("%d Go blocks of %d pages compile\n", len(blocks), len(pages))
	return runAll(scratch, blocks)
}

// A block is a Go block of a page.
type block struct {
	page string
	line int // its first one
	text string
	runs bool // the page begins with it, and it is a program that ends
}

func (b block) String() string { return fmt.Sprintf("%s:%d", b.page, b.line) }

// name is the folder that the block is compiled in.
func (b block) name() string {
	return fmt.Sprintf("%s_%d", strings.NewReplacer("/", "_", ".", "_", "-", "_").Replace(b.page), b.line)
}

// program reports whether the block is a whole file.
func (b block) program() bool { return clause.MatchString(b.text) }

var clause = regexp.MustCompile(`^(//.*\n)*package `)

// guided are pages whose programs need a queue or Lambda to run. The tests of their modules run them.
var guided = []string{"docs/lambda.md", "docs/large-payloads.md"}

var fence = regexp.MustCompile("(?ms)^```go\n(.*?)^```$")

func blocksOf(page, text string) (blocks []block) {
	for i, at := range fence.FindAllStringSubmatchIndex(text, -1) {
		b := block{page: page, line: 2 + strings.Count(text[:at[0]], "\n"), text: text[at[2]:at[3]]}
		b.runs = i == 0 && b.program() && page != "README.md" && !slices.Contains(guided, page) // that of the README consumes a queue until it is stopped
		blocks = append(blocks, b)
	}
	return blocks
}

// prelude are the names that a part of a program may use.
const prelude = `
var (
	ctx       context.Context
	cfg       aws.Config
	client    *sqs.Client
	queueURL  string
	opts      sluice.Options
	consumer  *sluice.Consumer
	handler   sluice.Handler
	db        *sql.DB
	box       *inbox.Inbox
	err       error
)
`

// imports are the packages that a part of a program may use, by the name before the dot.
var imports = map[string]string{
	"aws": "github.com/aws/aws-sdk-go-v2/aws", "sqs": "github.com/aws/aws-sdk-go-v2/service/sqs",
	"types": "github.com/aws/aws-sdk-go-v2/service/sqs/types", "config": "github.com/aws/aws-sdk-go-v2/config",
	"sluice": module, "sqstest": module + "/sqstest", "envelope": module + "/envelope", "inbox": module + "/inbox", "ops": module + "/ops",
	"otelsluice": module + "/contrib/otelsluice", "promsluice": module + "/contrib/promsluice", "s3sluice": module + "/contrib/s3sluice",
	"lambdasluice": module + "/contrib/lambdasluice", "dedup": module + "/contrib/dedup",
	"context": "context", "errors": "errors", "fmt": "fmt", "log": "log", "slog": "log/slog", "os": "os", "http": "net/http",
	"signal": "os/signal", "sql": "database/sql", "strings": "strings", "sync": "sync", "syscall": "syscall", "time": "time", "flag": "flag",
	"json": "encoding/json", "testing": "testing", "synctest": "testing/synctest", "require": "github.com/stretchr/testify/require",
	"s3": "github.com/aws/aws-sdk-go-v2/service/s3", "lambda": "github.com/aws/aws-lambda-go/lambda",
	"prometheus": "github.com/prometheus/client_golang/prometheus", "promhttp": "github.com/prometheus/client_golang/prometheus/promhttp",
}

const module = "github.com/sluice-go/sluice"

var (
	used        = regexp.MustCompile(`\b([a-z0-9]+)\.[A-Z]`)
	declaration = regexp.MustCompile(`(?m)^(func|type|var|const|import) `)
)

// file returns the block as a Go file.
func (b block) file() string {
	if b.program() {
		return b.text
	}
	var head strings.Builder
	head.WriteString("package part\n\nimport (\n")
	var known []string
	for _, match := range used.FindAllStringSubmatch(prelude+b.text, -1) {
		if path := imports[match[1]]; path != "" && !slices.Contains(known, path) {
			known = append(known, path)
			fmt.Fprintf(&head, "\t%q\n", path)
		}
	}
	head.WriteString(")\n" + prelude)
	if declaration.MatchString(b.text) {
		return head.String() + b.text
	}
	return head.String() + "func part() error {\n" + b.text + "\nreturn err\n}\n"
}

// build compiles all blocks, as packages that are not there but for the compiler. Programs are kept, in
// the folder bin of scratch. Names that a part declares and does not use are no fault of it.
func build(scratch string, blocks []block) error {
	here, err := os.Getwd()
	if err != nil {
		return err
	}
	overlay := struct {
		Replace map[string]string `json:"Replace"`
	}{map[string]string{}}
	var programs, parts []string
	for _, b := range blocks {
		file := filepath.Join(scratch, b.name()+".go")
		if err := os.WriteFile(file, []byte(b.file()), 0o600); err != nil {
			return err
		}
		overlay.Replace[filepath.Join(here, "internal/proof/docs", b.name(), "main.go")] = file
		if b.program() {
			programs = append(programs, "./internal/proof/docs/"+b.name())
		} else {
			parts = append(parts, "./internal/proof/docs/"+b.name())
		}
	}
	text, err := json.Marshal(overlay)
	if err != nil {
		return err
	}
	if err := errors.Join(os.WriteFile(filepath.Join(scratch, "overlay.json"), text, 0o600), os.MkdirAll(filepath.Join(scratch, "bin"), 0o700)); err != nil {
		return err
	}
	common := []string{"build", "-gcflags=-e", "-overlay", filepath.Join(scratch, "overlay.json")}
	kept := []string{"-o", filepath.Join(scratch, "bin") + "/"} // go builds nothing but programs with -o
	return errors.Join(compile(slices.Concat(common, kept, programs), blocks), compile(slices.Concat(common, parts), blocks))
}

// compile runs the go command, whose last arguments are packages.
func compile(args []string, blocks []block) error {
	if !strings.HasPrefix(args[len(args)-1], "./") {
		return nil // there is no package
	}
	out, err := exec.CommandContext(context.Background(), "go", args...).CombinedOutput() //nolint:gosec // our own pages
	if err == nil {
		return nil
	}
	if wrong := faults(string(out), blocks); wrong != "" {
		return errors.New("what does not compile:\n" + wrong)
	}
	return nil
}

// faults returns what the compiler says, with the names of blocks for those of files.
func faults(out string, blocks []block) string {
	var wrong []string
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(line)
		i := slices.IndexFunc(blocks, func(b block) bool {
			return strings.Contains(line, b.name()+".") || strings.Contains(line, b.name()+"/")
		})
		unused := strings.Contains(line, "declared and not used") || strings.Contains(line, "imported and not used")
		switch {
		case line == "", strings.HasPrefix(line, "# "), i >= 0 && unused && !blocks[i].program():
		case i >= 0:
			wrong = append(wrong, blocks[i].String()+": "+line)
		default:
			wrong = append(wrong, line)
		}
	}
	return strings.Join(wrong, "\n")
}

// runAll runs the programs that pages begin with. Each has a minute.
func runAll(scratch string, blocks []block) error {
	for _, b := range blocks {
		if !b.runs {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		var out bytes.Buffer
		command := exec.CommandContext(ctx, filepath.Join(scratch, "bin", b.name())) //nolint:gosec // built above
		command.Stdout, command.Stderr, command.Dir = &out, &out, scratch
		err := command.Run()
		cancel()
		if err != nil {
			return fmt.Errorf("the program of %v: %w\n%s", b, err, out.String())
		}
		fmt.Printf("%v runs\n", b)
	}
	return nil
}
