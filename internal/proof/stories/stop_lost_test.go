package stories_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sqstest"
)

// SQS refuses the receipt of a message that is back in a FIFO queue. So the second try says that
// the first one had its effect.
func TestAGroupWhoseReleaseAtAStopLostItsAnswerIsNotLeftBehind(t *testing.T) {
	tell(t, func(w *world) {
		w.groups()
		for i := range 9 {
			w.sendGroup("a", fmt.Sprint("a ", i))
		}
		c := w.consumer(sluice.Options{RetryDelay: func(*sluice.Message, error) time.Duration { return time.Minute }})
		stop := w.run(c, w.handler(func(context.Context, []*sluice.Message) error { return errors.New("not yet") }))
		time.Sleep(time.Second)
		w.server.Inject(sqstest.Fault{Op: opChange, Err: sqstest.Reset(), After: true, Times: 1})
		require.NoError(w, stop())
		require.Len(w, w.left(), 9)
	})
}
