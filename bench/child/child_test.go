package child

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"
)

func TestManyFiguresBecomeQuantiles(t *testing.T) {
	figures := make([]int64, 20_001)
	for i := range figures {
		figures[len(figures)-1-i] = int64(i)
	}
	few := thin(figures)
	require.Len(t, few, 201)
	require.EqualValues(t, 0, few[0])
	require.EqualValues(t, 10_000, few[100])
	require.EqualValues(t, 19_800, few[198])
	require.EqualValues(t, 20_000, few[200])
	require.Equal(t, []int64{1, 2, 3}, thin([]int64{3, 1, 2}), "few are kept as they are")
	require.Empty(t, thin(nil))
}

func TestTheLastConsumerLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		spec := &Spec{Consumers: 3, Leaves: time.Minute}
		left, stop := make(chan time.Duration, 3), make(chan struct{})
		peer := func(ctx context.Context, _ *sqs.Client, _ *Spec, _ *Work) error {
			select {
			case <-ctx.Done():
				left <- time.Since(began)
				return ctx.Err()
			case <-stop:
				return nil
			}
		}
		ended := make(chan error, 3)
		require.NoError(t, consume(spec, NewWork(spec), peer, nil, ended))
		time.Sleep(time.Hour)
		require.Equal(t, time.Minute, <-left)
		require.Empty(t, left, "the others stay")
		require.Empty(t, ended, "to leave is no failure")
		close(stop)
		synctest.Wait()
		require.Len(t, ended, 2)
	})
}

func TestAConsumerThatEndsByItselfIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("broken")
		ended := make(chan error, 1)
		require.NoError(t, consume(&Spec{}, NewWork(&Spec{}), func(context.Context, *sqs.Client, *Spec, *Work) error { return broken }, nil, ended))
		require.ErrorIs(t, <-ended, broken)
	})
}

func TestAClientNeedsACertificateToTrust(t *testing.T) {
	_, err := NewClient(&Spec{Endpoint: "https://127.0.0.1:1", CA: "no PEM"})
	require.EqualError(t, err, "the spec's CA has no certificate")
	for _, kind := range []string{"", SDKClient} {
		client, err := NewClient(&Spec{Endpoint: "http://127.0.0.1:1", Client: kind})
		require.NoError(t, err)
		require.NotNil(t, client)
	}
}
