package server

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestARunOverTLSOffersBothProtocols(t *testing.T) {
	own, err := newIdentity()
	require.NoError(t, err)
	r, err := newRun(&pacer{}, Setup{TLS: true}, own)
	require.NoError(t, err)
	defer r.close()
	require.True(t, strings.HasPrefix(r.url, "https://"), r.url)
	pool := x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM([]byte(own.authority())))
	for _, h2 := range []bool{true, false} {
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: h2}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.endpoint, strings.NewReader(`{}`))
		require.NoError(t, err)
		req.Header.Set("X-Amz-Target", "AmazonSQS.ListQueues")
		resp, err := (&http.Client{Transport: transport, Timeout: time.Minute}).Do(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		transport.CloseIdleConnections()
		require.Equal(t, http.StatusOK, resp.StatusCode)
		require.EqualValues(t, tls.VersionTLS13, resp.TLS.Version)
		require.Equal(t, h2, resp.ProtoMajor == 2)
	}
}

func TestPlainHTTPHasNoAuthority(t *testing.T) {
	var none *identity
	require.Equal(t, "http", none.scheme())
	require.Empty(t, none.authority())
}
