package chaos_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/proof/sockets/chaos"
)

const answer = "coffee, tea and a piece of cake"

// A network is a proxy with a server behind it and a client before it.
type network struct {
	*testing.T

	proxy  *chaos.Proxy
	client *http.Client
	hold   chan struct{} // the server answers when this is closed
	gone   chan struct{} // a client went away first

	mu    sync.Mutex // guards harms
	harms map[chaos.Harm][]chaos.Exchange
}

// newNetwork returns a network whose server answers when hold is closed, or at
// once.
func newNetwork(t *testing.T, faults chaos.Faults) *network {
	t.Helper()
	n := &network{T: t, hold: make(chan struct{}), gone: make(chan struct{}, 1), harms: map[chaos.Harm][]chaos.Exchange{}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body) // only then the server notices that its client is gone
		select {
		case <-n.hold:
		case <-r.Context().Done():
			select {
			case n.gone <- struct{}{}:
			default: // nobody waits for it
			}
			return
		}
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(server.Close)
	proxy, err := chaos.Listen(t.Context(), server.Listener.Addr().String(), 1, faults, n.harmed)
	require.NoError(t, err)
	n.proxy = proxy
	transport := &http.Transport{}
	n.client = &http.Client{Transport: transport}
	ctx, stop := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() { require.NoError(t, proxy.Serve(ctx)) })
	t.Cleanup(func() {
		stop()
		serving.Wait()
		transport.CloseIdleConnections()
	})
	return n
}

func (n *network) harmed(h chaos.Harm, e chaos.Exchange) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.harms[h] = append(n.harms[h], e)
}

// post makes a request and returns what of the answer arrived.
func (n *network) post(body string) (string, error) {
	req, err := http.NewRequest(http.MethodPost, "http://"+n.proxy.Address(), strings.NewReader(body))
	require.NoError(n, err)
	req.Header.Set("X-Amz-Target", "AmazonSQS.ReceiveMessage")
	resp, err := n.client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	return string(got), err
}

func TestWithoutFaultsEverythingPasses(t *testing.T) {
	n := newNetwork(t, chaos.Faults{})
	close(n.hold)
	for range 5 {
		got, err := n.post("{}")
		require.NoError(t, err)
		require.Equal(t, answer, got)
	}
	require.Equal(t, chaos.Counts{Connections: 1, Exchanges: 5}, n.proxy.Counts(), "the connection is kept")
	require.Empty(t, n.harms)
}

func TestAWaveResetsAConnectionThatWaitsForItsAnswer(t *testing.T) {
	n := newNetwork(t, chaos.Faults{Waves: chaos.Span{Least: time.Millisecond, Most: 2 * time.Millisecond}, Hit: 1})
	for { // until a wave comes after the request has passed, and not before
		_, err := n.post("{}")
		require.Error(t, err)
		if n.proxy.Counts().Exchanges > 0 && n.proxy.Counts().Lost > 0 {
			require.ErrorIs(t, err, syscall.ECONNRESET)
			break
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	require.Equal(t, chaos.Exchange{Operation: "AmazonSQS.ReceiveMessage", Request: []byte("{}")}, n.harms[chaos.Lost][0])
}

func TestACutAnswerArrivesByHalf(t *testing.T) {
	n := newNetwork(t, chaos.Faults{Cut: 1})
	close(n.hold)
	got, err := n.post("{}")
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.Equal(t, answer[:len(answer)-len(answer)/2], got)
	require.EqualValues(t, 1, n.proxy.Counts().Cuts)
	require.Equal(t, answer, string(n.harms[chaos.Cut][0].Answer))
}

func TestAStalledAnswerArrivesInTheEnd(t *testing.T) {
	const stall = 20 * time.Millisecond
	n := newNetwork(t, chaos.Faults{Stall: 1, StallFor: chaos.Span{Least: stall, Most: stall}})
	close(n.hold)
	for range 10 { // some hang at the beginning, some in the middle
		began := time.Now()
		got, err := n.post("{}")
		require.NoError(t, err)
		require.Equal(t, answer, got)
		require.GreaterOrEqual(t, time.Since(began), stall)
	}
	require.EqualValues(t, 10, n.proxy.Counts().Stalls)
	require.Len(t, n.harms[chaos.Stalled], 10)
}

func TestAWaveSparesAConnectionThatIsStalled(t *testing.T) {
	const stall = 50 * time.Millisecond
	wave := chaos.Span{Least: 5 * time.Millisecond, Most: 5 * time.Millisecond}
	n := newNetwork(t, chaos.Faults{Waves: wave, Hit: 1, Stall: 1, StallFor: chaos.Span{Least: stall, Most: stall}})
	close(n.hold)
	for { // a request may meet a wave before it is stalled
		got, err := n.post("{}")
		if err == nil {
			require.Equal(t, answer, got)
			return
		}
	}
}

func TestAClientThatGoesAwayEndsItsRequestAtTheServer(t *testing.T) {
	n := newNetwork(t, chaos.Faults{})
	conn, err := net.Dial("tcp", n.proxy.Address())
	require.NoError(t, err)
	_, err = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: sqs\r\nContent-Length: 2\r\n\r\n{}")
	require.NoError(t, err)
	require.NoError(t, conn.Close())
	<-n.gone
}
