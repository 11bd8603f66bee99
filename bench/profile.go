package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/pprof/profile"
)

// A kind of work, and the functions that do it.
type kind struct {
	name     string
	prefixes []string
}

// kinds are looked for from the innermost function outwards; the first function that one of them
// claims decides, so that an allocation is counted for whoever makes it.
var kinds = []kind{
	{"kernel", []string{"syscall.", "internal/runtime/syscall"}},
	{"signing", []string{"github.com/aws/aws-sdk-go-v2/aws/signer", "github.com/aws/aws-sdk-go-v2/internal/v4a", "crypto/sha256", "crypto/hmac", "crypto/internal/fips140/sha256", "crypto/internal/fips140/hmac", "github.com/sluice-go/sluice/internal/sqsapi.(*signer)", "github.com/aws/smithy-go/aws-http-auth"}},
	{"MD5 of bodies", []string{"crypto/md5"}},
	{"JSON", []string{"encoding/json", "github.com/aws/smithy-go/encoding", "github.com/aws/smithy-go/transport/http/protocol", "github.com/aws/smithy-go.Read", "github.com/aws/smithy-go.Write", "github.com/aws/aws-sdk-go-v2/service/sqs/types.", "github.com/sluice-go/sluice/internal/sqsapi.(*decoder)", "github.com/sluice-go/sluice/internal/sqsapi.(*scanner)", "github.com/sluice-go/sluice/internal/sqsapi.(*writer)"}},
	{"net/http", []string{"net/http", "net/textproto", "net.", "internal/poll.", "bufio.", "net/url", "mime"}},
	{"the SDK's middleware", []string{"github.com/aws/"}},
	{"sluice", []string{"github.com/sluice-go/sluice.", "github.com/sluice-go/sluice/internal"}},
	{"the benchmark's own handler and loop", []string{"main."}},
}

const (
	collecting = "garbage collection"
	growing    = "growing stacks of new goroutines"
	scheduling = "scheduler and timers"
)

// A split is a figure of the profiled peers, and the kinds of work that have a share in it.
type split struct {
	heading, text string

	section string
	cell    Cell
	ending  string                // of the profiles' files, after the peer
	whole   func(*Record) float64 // microseconds for each message
}

// shares writes where the time of each profiled peer went: the processor's, and what was spent waiting.
func (p *page) shares(folder string, all Results) error {
	err := p.split(folder, all, split{
		heading: "Where the processor time goes", text: "Shares of a CPU profile, %s, and microseconds of the same run for each message.",
		section: sectionProfile, cell: cells()[0], ending: ".pprof", whole: (*Record).cpu,
	})
	if err != nil {
		return err
	}
	return p.split(folder, all, split{
		heading: "Waiting for mutexes", text: "Who held what goroutines waited for, %s: shares of a profile of mutexes, and microseconds of waiting for each message, of all goroutines together.",
		section: sectionLocks, cell: cells()[2], ending: ".locks.pprof", whole: (*Record).waiting,
	})
}

func (p *page) split(folder string, all Results, s split) error {
	peers := all.peers(s.section)
	if len(peers) == 0 {
		return nil
	}
	p.linef("## %s\n", s.heading)
	p.linef(s.text+"\n", s.cell.title())
	heads := []string{""}
	columns := make([]map[string]float64, 0, len(peers))
	for _, peer := range peers {
		share, err := readShares(filepath.Join(folder, peer+s.ending))
		if errors.Is(err, os.ErrNotExist) {
			p.linef("The profile of %s is not there any more.\n", peer)
			continue
		}
		if err != nil {
			return err
		}
		heads = append(heads, title(peer))
		whole := all.of(s.section, s.cell.String(), peer, s.whole).median()
		share["all"] = 1
		column := map[string]float64{}
		for name, part := range share {
			column[name] = part * whole
		}
		columns = append(columns, column)
	}
	var rows [][]string
	names := []string{collecting, growing, scheduling}
	for _, k := range kinds {
		names = append(names, k.name)
	}
	for _, name := range append(names, "all") {
		if !slices.ContainsFunc(columns, func(column map[string]float64) bool { return column[name] >= 0.05 }) {
			continue // nobody has any, in tenths
		}
		row := []string{name}
		for _, column := range columns {
			row = append(row, fmt.Sprintf("%.0f %% · %.1f µs", 100*column[name]/column["all"], column[name]))
		}
		rows = append(rows, row)
	}
	if s.section == sectionProfile {
		allocs := []string{"allocations"}
		for _, peer := range peers {
			allocs = append(allocs, fmt.Sprintf("%.1f", all.of(s.section, s.cell.String(), peer, (*Record).allocs).median()))
		}
		rows = append(rows, allocs)
	}
	p.table(heads, rows)
	return nil
}

// readShares returns the share of each kind of work in a profile.
func readShares(file string) (map[string]float64, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	prof, err := profile.Parse(f)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", file, err)
	}
	share := map[string]float64{}
	total := 0.0
	for _, s := range prof.Sample {
		spent := float64(s.Value[len(s.Value)-1])
		share[kindOf(functions(s))] += spent
		total += spent
	}
	for name := range share {
		share[name] /= total
	}
	return share, nil
}

// functions of a sample, the innermost first.
func functions(s *profile.Sample) []string {
	var names []string
	for _, location := range s.Location {
		for _, line := range location.Line {
			if line.Function != nil {
				names = append(names, line.Function.Name)
			}
		}
	}
	return names
}

// kindOf tells what kind of work a stack is doing.
func kindOf(stack []string) string {
	for _, name := range stack {
		if strings.HasPrefix(name, "runtime.gc") || strings.HasPrefix(name, "runtime.bg") || name == "runtime.markroot" {
			return collecting
		}
		if name == "runtime.newstack" {
			return growing
		}
	}
	for _, name := range stack {
		for _, k := range kinds {
			if startsWith(name, k.prefixes) {
				return k.name
			}
		}
	}
	return scheduling
}

func startsWith(s string, prefixes []string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}
