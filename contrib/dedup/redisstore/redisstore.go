// Package redisstore is a store of package dedup in Redis, Valkey or a server that speaks their
// protocol.
//
//	store := redisstore.New(redis.NewClient(&redis.Options{Addr: "localhost:6379"}), "dedup:")
//
// Each key is one string that expires by itself. The server's clock counts. A server that evicts
// keys (maxmemory-policy), or that loses the last writes when it fails over, forgets claims and
// marks. Then messages are handled again.
package redisstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sluice-go/sluice/contrib/dedup"
)

// A Store is a [dedup.Store].
type Store struct {
	client redis.Scripter
	prefix string
}

// New returns a Store. prefix is in front of each key, such as "dedup:"; it may be empty. A client
// of a cluster or of sentinels will do too. The client's timeouts should be shorter than
// [dedup.Options.TTL].
func New(client redis.Scripter, prefix string) *Store { return &Store{client: client, prefix: prefix} }

// The value of a key is c: (claimed) or d: (done) with the owner behind it.

// The scripts get the key, the owner and a time in milliseconds.
var (
	claimScript = redis.NewScript(`
local v = redis.call('GET', KEYS[1])
if not v or v == 'c:' .. ARGV[1] then
	redis.call('SET', KEYS[1], 'c:' .. ARGV[1], 'PX', ARGV[2])
	return {1, 0}
end
if string.sub(v, 1, 2) == 'd:' then
	return {3, 0}
end
return {2, redis.call('PTTL', KEYS[1])}`)

	extendScript = redis.NewScript(`
if redis.call('GET', KEYS[1]) ~= 'c:' .. ARGV[1] then
	return 0
end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])`)

	doneScript = redis.NewScript(`
local v = redis.call('GET', KEYS[1])
if v and v ~= 'c:' .. ARGV[1] and v ~= 'd:' .. ARGV[1] then
	return 0
end
redis.call('SET', KEYS[1], 'd:' .. ARGV[1], 'PX', ARGV[2])
return 1`)

	releaseScript = redis.NewScript(`
if redis.call('GET', KEYS[1]) == 'c:' .. ARGV[1] then
	redis.call('DEL', KEYS[1])
end
return 1`)
)

// Claim implements [dedup.Store].
func (s *Store) Claim(ctx context.Context, key, owner string, ttl time.Duration) (dedup.Claim, error) {
	answer, err := claimScript.Run(ctx, s.client, []string{s.prefix + key}, owner, ttl.Milliseconds()).Int64Slice()
	if err != nil {
		return dedup.Claim{}, fmt.Errorf("redisstore: claiming: %w", err)
	}
	if len(answer) != 2 {
		return dedup.Claim{}, errors.New("redisstore: claiming: the answer is not the script's")
	}
	left := max(0, time.Duration(answer[1])*time.Millisecond)
	return dedup.Claim{State: dedup.State(answer[0]), Left: left}, nil
}

// Extend implements [dedup.Store].
func (s *Store) Extend(ctx context.Context, key, owner string, ttl time.Duration) error {
	return s.fenced(ctx, "extending a claim", extendScript, key, owner, ttl)
}

// Done implements [dedup.Store].
func (s *Store) Done(ctx context.Context, key, owner string, keep time.Duration) error {
	return s.fenced(ctx, "marking a key", doneScript, key, owner, keep)
}

// Release implements [dedup.Store].
func (s *Store) Release(ctx context.Context, key, owner string) error {
	return s.fenced(ctx, "releasing a claim", releaseScript, key, owner, 0)
}

// fenced runs a script that answers 0 if the key is another owner's.
func (s *Store) fenced(ctx context.Context, what string, script *redis.Script, key, owner string, d time.Duration) error {
	n, err := script.Run(ctx, s.client, []string{s.prefix + key}, owner, d.Milliseconds()).Int()
	if err != nil {
		return fmt.Errorf("redisstore: %s: %w", what, err)
	}
	if n == 0 {
		return dedup.ErrLost
	}
	return nil
}
