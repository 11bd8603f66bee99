package contract_test

import (
	"context"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/sqstest/contract"
)

// Independent servers, written by others. Trying the rows on them is a check of the rows: where one
// differs, either is wrong about SQS, and the list of its deviations says which and why. None of
// them is needed to build or test this library.

// other is a server that a test may start, if it is there and asked for.
type other struct {
	name       string
	asked      string   // environment variable: 1 to try it
	command    string   // environment variable: its command, if it is not the one below; words apart by spaces
	binary     string   // looked for in PATH
	install    string   // how to get it
	args, env  []string // {port} stands for the number of a free port
	deviations map[string]string
}

func TestMotoKeepsTheContract(t *testing.T) {
	tryOther(t, &other{
		name: "moto", asked: envMoto, command: envMoto + "_COMMAND", binary: "moto_server",
		install: "pip install 'moto[server]'",
		args:    []string{"-H", "127.0.0.1", "-p", "{port}"}, deviations: motoDeviations(),
	})
}

func TestFauxqsKeepsTheContract(t *testing.T) {
	tryOther(t, &other{
		name: "fauxqs", asked: envFauxqs, command: envFauxqs + "_COMMAND", binary: "fauxqs",
		install: "npm install fauxqs@2.4.1; it needs node 22",
		env:     []string{"FAUXQS_PORT={port}", "FAUXQS_LOGGER=false"}, deviations: fauxqsDeviations(),
	})
}

// tryOther tries the rows on o, or says loudly that it did not.
func tryOther(t *testing.T, o *other) {
	t.Helper()
	if os.Getenv(o.asked) != "1" {
		t.Skipf("NOT CHECKED against %s, an independent server, which takes about a minute: set %s to 1", o.name, o.asked)
	}
	command := strings.Fields(os.Getenv(o.command))
	if len(command) == 0 {
		path, err := exec.LookPath(o.binary)
		if err != nil {
			t.Skipf("NOT CHECKED against %s, an independent server: there is no %s in PATH (%s), and no command in %s", o.name, o.binary, o.install, o.command)
		}
		command = []string{path}
	}
	target := at("http://" + o.start(t, command))
	target.Patience = 3 * time.Second
	target.Deviations = o.deviations
	contract.Run(t, target)
}

// start runs the server until the test's end and returns its address.
func (o *other) start(t *testing.T, command []string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := listener.Addr().String()
	require.NoError(t, listener.Close())
	_, port, err := net.SplitHostPort(addr)
	require.NoError(t, err)

	// Not the test's context: rows run in parallel, and clean up after it is done.
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	args := slices.Concat(command[1:], withPort(o.args, port))
	server := exec.CommandContext(ctx, command[0], args...)
	server.Env = append(os.Environ(), withPort(o.env, port)...)
	require.NoError(t, server.Start())
	t.Cleanup(func() {
		stop()
		_ = server.Wait() // killed
	})
	dialer := net.Dialer{}
	require.Eventually(t, func() bool {
		conn, err := dialer.DialContext(ctx, "tcp", addr)
		if err != nil {
			return false
		}
		return conn.Close() == nil
	}, 3*time.Minute, 100*time.Millisecond, "%s does not listen on %s", o.name, addr)
	return addr
}

func withPort(words []string, port string) []string {
	out := make([]string, len(words))
	for i, word := range words {
		out[i] = strings.ReplaceAll(word, "{port}", port)
	}
	return out
}

// byRow turns a list of reasons, each with the rows it explains, into a target's deviations.
func byRow(reasons map[string][]string) map[string]string {
	all := map[string]string{}
	for reason, rows := range reasons {
		for _, name := range rows {
			all[name] = reason
		}
	}
	return all
}
