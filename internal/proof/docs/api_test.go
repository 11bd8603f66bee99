package main

import (
	"flag"
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the API that there is to testdata/api")

// packages are those that users import, by folder.
var packages = []string{".", "envelope", "inbox", "ops", "sqstest", "contrib/dedup", "contrib/lambdasluice", "contrib/otelsluice", "contrib/promsluice", "contrib/s3sluice"}

// What users compile against changes only on purpose: with -update, and a line in CHANGELOG.md.
func TestTheAPIIsTheOneThatIsWrittenDown(t *testing.T) {
	for _, folder := range packages {
		t.Run(folder, func(t *testing.T) {
			got := apiOf(t, filepath.Join("../../..", folder))
			file := filepath.Join("testdata/api", strings.ReplaceAll(strings.TrimPrefix(folder+".txt", "."), "/", "_"))
			if folder == "." {
				file = "testdata/api/sluice.txt"
			}
			if *update {
				require.NoError(t, os.MkdirAll("testdata/api", 0o750))
				require.NoError(t, os.WriteFile(file, []byte(got), 0o600))
			}
			want, err := os.ReadFile(file)
			require.NoError(t, err)
			require.Equal(t, string(want), got, "write it down with: go test ./internal/proof/docs -run API -update")
		})
	}
}

// apiOf returns the exported declarations of a package, without comments and bodies, in the order of
// their text.
func apiOf(t *testing.T, folder string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*.go"))
	require.NoError(t, err)
	var declarations []string
	fset := token.NewFileSet()
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		if !ast.FileExports(file) {
			continue
		}
		for _, d := range file.Decls {
			declarations = append(declarations, exported(t, fset, d)...)
		}
	}
	require.NotEmpty(t, declarations)
	slices.Sort(declarations)
	return strings.Join(declarations, "\n") + "\n"
}

func exported(t *testing.T, fset *token.FileSet, d ast.Decl) (texts []string) {
	t.Helper()
	write := func(node any) {
		var text strings.Builder
		require.NoError(t, (&printer.Config{Mode: printer.UseSpaces, Tabwidth: 4}).Fprint(&text, fset, node))
		texts = append(texts, text.String())
	}
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Recv != nil && !ast.IsExported(strings.TrimLeft(types.ExprString(d.Recv.List[0].Type), "*")) {
			return nil
		}
		d.Body, d.Doc = nil, nil
		write(d)
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			if d.Tok != token.IMPORT {
				write(&ast.GenDecl{Tok: d.Tok, Specs: []ast.Spec{spec}})
			}
		}
	}
	return texts
}
