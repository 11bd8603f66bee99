package simtest

import (
	"cmp"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A mutant is a bug that somebody shipped, brought into this library by edits.
type mutant struct {
	bug   string // and who shipped it
	edits []edit // made one after the other
}

// An edit replaces a text that a function has exactly once, wherever the function lives.
type edit struct {
	fn  string // "f", "T.f" or "(*T).f", or "p.f" if package p is not the only one with it; empty: the text is unique in the shipped code
	old string // the space in which lines begin does not count
	new string
}

// A source is a set of Go files, by their paths.
type source map[string]file

type file struct {
	text      string
	functions []function
}

type function struct {
	pkg, name string // the name is as edit.fn says
	from, to  int    // in the text of the file: from its "func" to its last brace
}

// unshipped are the folders below internal that no user's program is built of.
var unshipped = []string{"proof", "testdata"}

// shipped reads the code that a user's program is built of: the root package's and that of
// internal, wherever it is moved to there.
func shipped() (source, error) {
	root, err := moduleRoot()
	if err != nil {
		return nil, err
	}
	src := source{}
	paths, err := filepath.Glob(filepath.Join(root, "*.go"))
	if err != nil {
		return nil, err
	}
	below, err := goFilesBelow(filepath.Join(root, "internal"))
	if err != nil {
		return nil, err
	}
	for _, path := range append(paths, below...) {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		if src[path], err = parse(string(text)); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	return src, nil
}

// moduleRoot returns the folder of go.mod, which is the working directory or above it.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("no folder above has a go.mod")
		}
		dir = filepath.Dir(dir)
	}
}

func goFilesBelow(dir string) (paths []string, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains(unshipped, d.Name()):
			return fs.SkipDir
		case filepath.Ext(path) == ".go":
			paths = append(paths, path)
		}
		return nil
	})
	return paths, err
}

// parse finds the functions of a file.
func parse(text string) (file, error) {
	f := file{text: text}
	set := token.NewFileSet()
	parsed, err := parser.ParseFile(set, "", text, parser.SkipObjectResolution)
	if err != nil {
		return file{}, err
	}
	offset := func(p token.Pos) int { return set.Position(p).Offset }
	for _, decl := range parsed.Decls {
		if fn, ok := decl.(*ast.FuncDecl); ok {
			f.functions = append(f.functions, function{pkg: parsed.Name.Name, name: nameOf(fn), from: offset(fn.Type.Func), to: offset(fn.End())})
		}
	}
	return f, nil
}

// nameOf returns the name of a function, without the type parameters of its receiver.
func nameOf(fn *ast.FuncDecl) string {
	if fn.Recv == nil {
		return fn.Name.Name
	}
	of, format := fn.Recv.List[0].Type, "%s.%s"
	if star, ok := of.(*ast.StarExpr); ok {
		of, format = star.X, "(*%s).%s"
	}
	switch generic := of.(type) {
	case *ast.IndexExpr:
		of = generic.X
	case *ast.IndexListExpr:
		of = generic.X
	}
	return fmt.Sprintf(format, of, fn.Name.Name)
}

// edited returns the files that a mutant changes, as it leaves them.
func (src source) edited(m mutant) (source, error) {
	now, changed := maps.Clone(src), source{}
	for _, e := range m.edits {
		path, err := now.apply(e)
		if err != nil {
			return nil, fmt.Errorf("the mutant %q: %w", m.bug, err)
		}
		changed[path] = now[path]
	}
	return changed, nil
}

// apply makes an edit and returns the path of the file that it has changed.
func (src source) apply(e edit) (path string, err error) {
	at, err := src.find(e)
	if err != nil {
		return "", err
	}
	text := src[at.path].text
	changed, err := parse(text[:at.from] + strings.TrimSpace(e.new) + text[at.to:])
	if err != nil {
		return "", fmt.Errorf("%s does not parse with the text %q: %w", e.where(), e.new, err)
	}
	src[at.path] = changed
	return at.path, nil
}

// where names what an edit is made in.
func (e edit) where() string { return cmp.Or(e.fn, "the shipped code") }

// A place is a part of a file.
type place struct {
	path     string
	from, to int
}

// find returns the one place of an edit's text.
func (src source) find(e edit) (place, error) {
	scopes := src.scopes(e.fn)
	if e.fn != "" && len(scopes) != 1 {
		return place{}, fmt.Errorf("%d functions are named %s, want 1", len(scopes), e.fn)
	}
	var found []place
	for _, in := range scopes {
		for _, at := range pattern(e.old).FindAllStringIndex(src[in.path].text[in.from:in.to], -1) {
			found = append(found, place{in.path, in.from + at[0], in.from + at[1]})
		}
	}
	if len(found) != 1 {
		return place{}, fmt.Errorf("%s has the text %q %d times, want 1", e.where(), e.old, len(found))
	}
	return found[0], nil
}

// scopes returns the functions of that name; all files, if it is empty.
func (src source) scopes(name string) (all []place) {
	for path, f := range src {
		if name == "" {
			all = append(all, place{path, 0, len(f.text)})
		}
		for _, fn := range f.functions {
			if fn.name == name || fn.pkg+"."+fn.name == name {
				all = append(all, place{path, fn.from, fn.to})
			}
		}
	}
	return all
}

// pattern matches a text whose lines begin with any space.
func pattern(text string) *regexp.Regexp {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for i, line := range lines {
		lines[i] = regexp.QuoteMeta(strings.TrimSpace(line))
	}
	return regexp.MustCompile(strings.Join(lines, `\n\s*`))
}

// TestEachMutantCanBeMade notices in a second that code has changed which a mutant changes.
func TestEachMutantCanBeMade(t *testing.T) {
	src, err := shipped()
	require.NoError(t, err)
	var errs []error
	for _, m := range mutants {
		_, err := src.edited(m)
		errs = append(errs, err)
	}
	require.NoError(t, errors.Join(errs...), "write these edits anew for the code as it is")
}

// TestAnEditIsMadeInItsFunctionAlone shows what an edit finds, and what it says if it does not.
func TestAnEditIsMadeInItsFunctionAlone(t *testing.T) {
	const one = `package one

// f and g have y() in common, and so has this comment.
func f() { x(); y() }
func g() { y() }

func (*list[T]) f() {
	if a {
		y()
	}
}

func (pair[K, V]) f() { y() }
`
	for _, tt := range []struct {
		name string
		edit edit
		want string // in the file; or
		err  string
	}{
		{"a function", edit{"g", "y()", "z()"}, "func g() { z() }", ""},
		{"its package named", edit{"one.g", "y()", "z()"}, "func g() { z() }", ""},
		{"a method of a pointer", edit{"(*list).f", "y()", "z()"}, "\t\tz()", ""},
		{"a method of a value", edit{"pair.f", "y()", "z()"}, "func (pair[K, V]) f() { z() }", ""},
		{"lines that begin elsewhere", edit{"(*list).f", "\nif a {\ny()\n}", "z()"}, "f() {\n\tz()\n}", ""},
		{"anywhere", edit{"", "x()", "z()"}, "func f() { z(); y() }", ""},
		{"two functions", edit{"two.h", "y()", "z()"}, "", "2 functions are named two.h, want 1"},
		{"no function", edit{"two.g", "y()", "z()"}, "", "0 functions are named two.g, want 1"},
		{"a text that is not there", edit{"g", "x()", "z()"}, "", `g has the text "x()" 0 times, want 1`},
		{"a text that is there often", edit{"", "y()", "z()"}, "", `the shipped code has the text "y()" 7 times, want 1`},
		{"what does not parse", edit{"g", "y()", "z("}, "", `g does not parse with the text "z("`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			src := source{}
			for path, text := range map[string]string{"one.go": one, "a.go": "package two; func h() { y() }", "b.go": "package two; func h() { y() }"} {
				f, err := parse(text)
				require.NoError(t, err)
				src[path] = f
			}
			changed, err := src.edited(mutant{"it", []edit{tt.edit}})
			if tt.err != "" {
				require.ErrorContains(t, err, `the mutant "it": `+tt.err)
				return
			}
			require.NoError(t, err)
			require.Len(t, changed, 1)
			require.Contains(t, changed["one.go"].text, tt.want)
			require.Equal(t, one, src["one.go"].text, "the shipped code itself")
		})
	}
}
