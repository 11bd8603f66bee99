package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

const page = "# Title\n\n```go\npackage main\n\nfunc main() {}\n```\n\ntext\n\n```sh\nls\n```\n\n```go\nerr = consumer.Run(ctx, handler)\n```\n\n```go\nfunc f(m *sluice.Message) string { return m.ID }\n```\n"

func TestEachGoBlockOfAPageIsFound(t *testing.T) {
	blocks := blocksOf("docs/a-b.md", page)
	require.Len(t, blocks, 3)
	require.Equal(t, "docs/a-b.md:4", blocks[0].String())
	require.Equal(t, "docs_a_b_md_4", blocks[0].name())
	require.True(t, blocks[0].runs)
	require.False(t, blocks[1].program() || blocks[1].runs || blocks[2].runs)
	require.False(t, blocksOf("README.md", page)[0].runs)
}

func TestAPartOfAProgramIsMadeAFile(t *testing.T) {
	blocks := blocksOf("a.md", page)
	require.Equal(t, blocks[0].text, blocks[0].file())
	require.Contains(t, blocks[1].file(), "func part() error {\nerr = consumer.Run(ctx, handler)\n\nreturn err\n}")
	require.Contains(t, blocks[1].file(), "\t\"github.com/sluice-go/sluice\"\n")
	require.NotContains(t, blocks[2].file(), "func part()")
}

func TestWhatDoesNotCompileIsNamedByItsPage(t *testing.T) {
	blocks := blocksOf("a.md", page)
	require.Empty(t, faults("# x/a_md_16\n./x/a_md_16/main.go:3:1: declared and not used: x\n", blocks))
	require.Equal(t, "a.md:4: ./x/a_md_4/main.go:3:1: declared and not used: x", faults("./x/a_md_4/main.go:3:1: declared and not used: x\n", blocks))
	require.Equal(t, "a.md:16: ./x/a_md_16/main.go:9:1: undefined: y", faults("./x/a_md_16/main.go:9:1: undefined: y\n", blocks))
	require.Equal(t, "go: no network", faults("go: no network\n", blocks))
}
