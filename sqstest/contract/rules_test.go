package contract_test

import (
	"cmp"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/sqstest/contract"
)

var update = flag.Bool("update", false, "write the page of the rules anew")

func TestEachRuleHasItsRowsAndEachRowARule(t *testing.T) {
	rows := map[string]int{}
	for _, row := range contract.Rows() {
		require.NotContains(t, rows, row.Name, "two rows of one name")
		rows[row.Name] = 0
	}
	for _, rule := range contract.Rules() {
		require.Equal(t, len(rule.Rows) == 0, rule.Unshown != "", rule.Text)
		for _, name := range rule.Rows {
			shown := matching(rows, name)
			require.NotEmpty(t, shown, "%s names no row, beside: %s", name, rule.Text)
			for _, row := range shown {
				rows[row]++
			}
		}
	}
	for name, rules := range rows {
		require.Positive(t, rules, "%s belongs to no rule", name)
	}
}

// matching are the rows that a name in a rule stands for, in the order of the alphabet.
func matching(rows map[string]int, name string) []string {
	var all []string
	for _, row := range slices.Sorted(maps.Keys(rows)) {
		if row == name || strings.HasSuffix(name, "/") && strings.HasPrefix(row, name) {
			all = append(all, row)
		}
	}
	return all
}

// The page is for readers: it stands in the repository, and is held to the table.
func TestThePageOfTheRulesIsUpToDate(t *testing.T) {
	const name = "README.md"
	want := page()
	if *update {
		require.NoError(t, os.WriteFile(name, []byte(want), 0o600))
	}
	got, err := os.ReadFile(name)
	require.NoError(t, err)
	require.Equal(t, want, string(got), "write it anew with: go test ./sqstest/contract -run Page -update")
}

func page() string {
	var b strings.Builder
	rules, rows := contract.Rules(), contract.Rows()
	fmt.Fprintf(&b, `# What SQS does, and how it is shown

%d rules about the behaviour of Amazon SQS, and the %d rows that show them: each row
is a few calls and what must come of them, with its source, in the files rows_*.go.
They are tried on the embedded queue, in process and over HTTP with the real SDK
client, and, when asked for, on servers written by others and on AWS.

| command | what it tries |
| --- | --- |
| `+"`go test ./sqstest/contract`"+` | the embedded queue |
| `+"`SLUICE_CONTRACT_MOTO=1 go test -run Moto ./sqstest/contract`"+` | a `+"`moto_server`"+` in PATH |
| `+"`SLUICE_CONTRACT_FAUXQS=1 go test -run Fauxqs ./sqstest/contract`"+` | a `+"`fauxqs`"+` in PATH |
| `+"`SLUICE_CONTRACT_ENDPOINT=http://… go test -run Another ./sqstest/contract`"+` | any server |
| `+"`SLUICE_CONTRACT_AWS=1 go test -run AWS -timeout 30m ./sqstest/contract`"+` | AWS, in the account that is configured |

This page is made from the table by `+"`go test ./sqstest/contract -run Page -update`"+`.
`, len(rules), len(rows))
	about := ""
	for _, rule := range rules {
		if rule.About != about {
			about = rule.About
			fmt.Fprintf(&b, "\n## %s\n\n", about)
		}
		fmt.Fprintf(&b, "- %s\n  %s\n", rule.Text, cmp.Or(notShown(rule), strings.Join(rule.Rows, ", ")))
	}
	b.WriteString("\n## Where other servers differ\n\nEach has rows it does not keep, for these reasons; the rows stand in its test.\n")
	differences(&b, "moto 5.2", motoDeviations())
	differences(&b, "fauxqs 2.4.1", fauxqsDeviations())
	return b.String()
}

func notShown(rule contract.Rule) string {
	if rule.Unshown == "" {
		return ""
	}
	return "*Not shown: " + rule.Unshown + ".*"
}

// differences writes the reasons for which a server does not keep rows, and how many.
func differences(b *strings.Builder, server string, deviations map[string]string) {
	reasons := map[string]int{}
	for _, reason := range deviations {
		reasons[reason]++
	}
	fmt.Fprintf(b, "\n**%s** (%d rows):\n\n", server, len(deviations))
	for _, reason := range slices.Sorted(maps.Keys(reasons)) {
		fmt.Fprintf(b, "- %s (%d)\n", reason, reasons[reason])
	}
}
