package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

type contextKey struct{}

func newTestContext() *callContext {
	return &callContext{base: context.WithValue(context.Background(), contextKey{}, "value")}
}

var errOver = errors.New("over")

func TestTheContextOfACallIsLikeOneOfTheStandardLibrary(t *testing.T) {
	for name, look := range map[string]func(*callContext){
		"nobody has asked":          func(*callContext) {},
		"somebody waits for it":     func(c *callContext) { c.Done() },
		"somebody asks for a value": func(c *callContext) { c.Value(contextKey{}) },
		"somebody asks for its end": func(c *callContext) { _ = c.Err() },
	} {
		t.Run(name, func(t *testing.T) {
			c := newTestContext()
			look(c)
			require.NoError(t, c.Err())
			require.NoError(t, c.end(errOver))
			require.Equal(t, context.Canceled, c.Err())
			require.Equal(t, errOver, context.Cause(c))
			require.Equal(t, errOver, c.end(context.Canceled), "the first cause counts")
			<-c.Done()
			require.Equal(t, context.Canceled, c.Err())
			require.Equal(t, errOver, context.Cause(c))
			require.Equal(t, "value", c.Value(contextKey{}))
			_, ok := c.Deadline()
			require.False(t, ok)
		})
	}
}

func TestContextsThatComeFromThatOfACallEndWithIt(t *testing.T) {
	c := newTestContext()
	before, cancel := context.WithCancel(c)
	defer cancel()
	require.NoError(t, before.Err())
	require.NoError(t, c.end(errOver))
	require.Equal(t, context.Canceled, before.Err(), "at once, without a goroutine that waits for it")
	require.Equal(t, errOver, context.Cause(before))
	after, stop := context.WithCancel(c)
	defer stop()
	require.Equal(t, context.Canceled, after.Err())
	require.Contains(t, fmt.Sprint(after), "sluice.Handler")
}

func TestTheContextOfACallMayEndWhileOthersLookAtIt(t *testing.T) {
	for range 1000 {
		c := newTestContext()
		var wg sync.WaitGroup
		wg.Go(func() { _ = c.end(errOver) })
		wg.Go(func() {
			<-c.Done()
			require.Error(t, c.Err())
			require.Equal(t, errOver, context.Cause(c))
		})
		wg.Go(func() {
			if c.Err() != nil {
				<-c.Done()
			}
		})
		wg.Wait()
	}
}

func TestAContextThatNobodyAsksForCostsOneAllocation(t *testing.T) {
	base := context.Background()
	require.LessOrEqual(t, testing.AllocsPerRun(100, func() {
		c := &callContext{base: base}
		sink = c // else it would be on the stack
		_ = c.Err()
		_ = c.end(context.Canceled)
	}), 1.0)
}

var sink *callContext
