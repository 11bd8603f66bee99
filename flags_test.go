package sluice_test

import (
	"flag"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
)

func flags(o *sluice.Options, prefix string) *flag.FlagSet {
	fs := flag.NewFlagSet("worker", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	o.RegisterFlags(fs, prefix)
	return fs
}

// kebab returns the name of a flag for a field: batch-size for BatchSize.
func kebab(field string) string {
	var b strings.Builder
	field = strings.Replace(field, "SDK", "Sdk", 1)
	for i, c := range field {
		switch {
		case field[i:] == "URL":
			return b.String() + "-url"
		case i > 0 && unicode.IsUpper(c):
			b.WriteByte('-')
		}
		b.WriteRune(unicode.ToLower(c))
	}
	return b.String()
}

func TestEachOptionThatIsTextHasAFlag(t *testing.T) {
	fs := flags(&sluice.Options{}, "q-")
	for field := range reflect.TypeFor[sluice.Options]().Fields() {
		switch {
		case !field.IsExported(), field.Type.Kind() == reflect.Func, field.Name == "Logger", field.Name == "Hooks", field.Name == "Middleware":
			continue
		}
		require.NotNil(t, fs.Lookup("q-"+kebab(field.Name)), "a flag for %s", field.Name)
	}
}

func TestFlagsSetOptions(t *testing.T) {
	o := sluice.Options{Concurrency: 7, WaitTime: time.Minute}
	fs := flags(&o, "")
	require.Equal(t, "7", fs.Lookup("concurrency").DefValue)
	require.NoError(t, fs.Parse([]string{"-batch-size=100", "-wait-time", "10s", "-on-group-failure", "skip", "-system-attributes", "SenderId, AWSTraceHeader,"}))
	require.Equal(t, sluice.Options{
		BatchSize: 100, WaitTime: 10 * time.Second, Concurrency: 7, OnGroupFailure: sluice.GroupSkip,
		SystemAttributes: []types.MessageSystemAttributeName{"SenderId", "AWSTraceHeader"},
	}, o)
	require.ErrorContains(t, fs.Parse([]string{"-on-group-failure", "jump"}), `want one of ["retry in place" "release" "skip"]`)
	for _, g := range []sluice.GroupFailure{sluice.GroupRetryInPlace, sluice.GroupRelease, sluice.GroupSkip} {
		text, err := g.MarshalText()
		require.NoError(t, err)
		var back sluice.GroupFailure
		require.NoError(t, back.UnmarshalText(text))
		require.Equal(t, g, back)
	}
}

func TestTheEnvironmentSetsWhatTheCommandLineDoesNot(t *testing.T) {
	var o sluice.Options
	fs := flags(&o, "")
	require.NoError(t, fs.Parse([]string{"-concurrency=3"}))
	require.NoError(t, sluice.SetFromEnv(fs, "ORDERS_", []string{
		"ORDERS_CONCURRENCY=9", "ORDERS_BATCH_SIZE=100", "ORDERS_DEAD_LETTER_QUEUE_URL=https://x/1/dead?a=b", "ORDERSX=1", "PATH=/bin", "BATCH_SIZE=7",
	}))
	require.Equal(t, sluice.Options{BatchSize: 100, Concurrency: 3, DeadLetterQueueURL: "https://x/1/dead?a=b"}, o)
	require.NoError(t, sluice.SetFromEnv(fs, "", []string{"PATH=/bin", "RECEIVERS=5"}))
	require.Equal(t, 5, o.Receivers)
}

func TestTheEnvironmentsMistakesAreAllNamed(t *testing.T) {
	var o sluice.Options
	fs := flags(&o, "")
	require.NoError(t, fs.Parse(nil))
	err := sluice.SetFromEnv(fs, "ORDERS_", []string{"ORDERS_BATCHSIZE=100", "ORDERS_WAIT_TIME=soon", "ORDERS_RECEIVERS=5", "ORDERS_SECRET=hunter2"})
	require.ErrorContains(t, err, "ORDERS_BATCHSIZE belongs to no flag; the nearest is ORDERS_BATCH_SIZE")
	require.ErrorContains(t, err, `ORDERS_WAIT_TIME is "soon"`)
	require.NotContains(t, err.Error(), "hunter2")
	require.Equal(t, 5, o.Receivers, "what is right is set")
	require.ErrorContains(t, sluice.SetFromEnv(flag.NewFlagSet("", flag.ContinueOnError), "X_", []string{"X_Y=1"}), "the nearest is none")
}
