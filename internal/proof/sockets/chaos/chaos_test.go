package chaos_test

import (
	"bufio"
	"context"
	"errors"
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

// requests is how many a test makes until something happens that chance decides.
const requests = 1000

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

// harm returns the first exchange that was harmed so; nil: none was.
func (n *network) harm(h chaos.Harm) *chaos.Exchange {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.harms[h]) == 0 {
		return nil
	}
	return &n.harms[h][0]
}

func (n *network) request(body string) *http.Request {
	req, err := http.NewRequest(http.MethodPost, "http://"+n.proxy.Address(), strings.NewReader(body))
	require.NoError(n, err)
	req.Header.Set("X-Amz-Target", "AmazonSQS.ReceiveMessage")
	return req
}

// post makes a request and returns what of the answer arrived.
func (n *network) post(body string) (string, error) {
	resp, err := n.client.Do(n.request(body))
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
	conn, err := net.Dial("tcp", n.proxy.Address()) // an HTTP client may take another one for the next request
	require.NoError(t, err)
	defer conn.Close()
	answers := bufio.NewReader(conn)
	for range 5 {
		req := n.request("{}")
		require.NoError(t, req.Write(conn))
		resp, err := http.ReadResponse(answers, req)
		require.NoError(t, err)
		got, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, answer, string(got))
	}
	require.Equal(t, chaos.Counts{Connections: 1, Exchanges: 5}, n.proxy.Counts(), "the connection is kept")
	require.Empty(t, n.harms)
}

func TestAWaveResetsAConnectionThatWaitsForItsAnswer(t *testing.T) {
	n := newNetwork(t, chaos.Faults{Waves: chaos.Span{Least: 10 * time.Millisecond, Most: 20 * time.Millisecond}, Hit: 1})
	reset := false
	for range requests { // until a wave has come after a request had passed, and not before
		_, err := n.post("{}")
		require.Error(t, err)
		reset = reset || errors.Is(err, syscall.ECONNRESET)
		if lost := n.harm(chaos.Lost); reset && lost != nil {
			require.Equal(t, &chaos.Exchange{Operation: "AmazonSQS.ReceiveMessage", Request: []byte("{}")}, lost)
			require.Positive(t, n.proxy.Counts().Lost)
			return
		}
	}
	require.Fail(t, "no request was lost and its connection reset", "%+v", n.proxy.Counts())
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
	const stall = 200 * time.Millisecond
	wave := chaos.Span{Least: 20 * time.Millisecond, Most: 20 * time.Millisecond}
	n := newNetwork(t, chaos.Faults{Waves: wave, Hit: 1, Stall: 1, StallFor: chaos.Span{Least: stall, Most: stall}})
	close(n.hold)
	for range requests { // one may meet a wave before it is stalled
		got, err := n.post("{}")
		if err == nil {
			require.Equal(t, answer, got)
			return
		}
	}
	require.Fail(t, "each request was reset", "%+v", n.proxy.Counts())
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
