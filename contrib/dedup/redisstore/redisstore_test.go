package redisstore_test

import (
	"log"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/contrib/dedup"
	"github.com/sluice-go/sluice/contrib/dedup/redisstore"
	"github.com/sluice-go/sluice/contrib/dedup/storetest"
)

func TestMiniredisIsAStore(t *testing.T) {
	server := miniredis.RunT(t)
	client := redis.NewClient(&redis.Options{Addr: server.Addr()})
	defer client.Close()
	store := redisstore.New(client, "dedup:")
	for _, c := range storetest.Cases {
		t.Run(c.Name, func(t *testing.T) { require.NoError(t, c.Run(t.Context(), store, server.FastForward)) })
	}
}

func TestRedisIsAStore(t *testing.T) {
	for _, program := range []string{"redis-server", "valkey-server"} {
		t.Run(program, func(t *testing.T) {
			client := start(t, program)
			store := redisstore.New(client, "dedup:")
			for _, c := range storetest.Cases {
				t.Run(c.Name, func(t *testing.T) {
					require.NoError(t, c.Run(t.Context(), store, func(d time.Duration) { age(t, client, d) }))
				})
			}
		})
	}
}

// start starts a server and waits until it answers.
func start(t *testing.T, program string) *redis.Client {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Skip("SKIPPED: there is no " + program + "; to run this test: apt-get install redis-server or valkey-server")
	}
	dir := t.TempDir()
	socket := filepath.Join(dir, "socket")
	if len(socket) > 100 {
		t.Skip("SKIPPED: the path of a socket is too long here; to run this test: set TMPDIR to a short path")
	}
	server := exec.CommandContext(t.Context(), path, "--port", "0", "--unixsocket", socket, "--dir", dir, "--save", "", "--appendonly", "no")
	require.NoError(t, server.Start())
	client := redis.NewClient(&redis.Options{Network: "unix", Addr: socket})
	t.Cleanup(func() {
		_ = client.Close()
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	const patience = 2 * time.Minute
	require.Eventually(t, func() bool { return client.Ping(t.Context()).Err() == nil }, patience, 10*time.Millisecond, "the server does not answer") // a process starts: the only wait in real time
	return client
}

// age makes all keys older: a server's clock cannot be set.
func age(t *testing.T, client *redis.Client, d time.Duration) {
	t.Helper()
	keys, err := client.Keys(t.Context(), "*").Result()
	require.NoError(t, err)
	for _, key := range keys {
		left, err := client.PTTL(t.Context(), key).Result()
		require.NoError(t, err)
		require.NoError(t, client.PExpire(t.Context(), key, left-d).Err()) // not above 0: it is gone
	}
}

func TestAServerThatIsDownIsAnError(t *testing.T) {
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1})
	defer client.Close()
	store := redisstore.New(client, "")
	_, err := store.Claim(t.Context(), "k", "a", time.Second)
	require.ErrorContains(t, err, "redisstore: claiming: ")
	err = store.Done(t.Context(), "k", "a", time.Second)
	require.ErrorContains(t, err, "redisstore: marking a key: ")
	require.NotErrorIs(t, err, dedup.ErrLost)
}

// The client is yours, and so is its end.
func ExampleNew() {
	client := redis.NewClient(&redis.Options{Addr: "localhost:6379"})
	defer client.Close()
	d, err := dedup.New(redisstore.New(client, "dedup:"), dedup.Options{Handler: "emails"})
	if err != nil {
		log.Print(err)
	}
	_ = d // and now sluice.Options{Middleware: []func(sluice.Handler) sluice.Handler{d.Middleware}}
}
