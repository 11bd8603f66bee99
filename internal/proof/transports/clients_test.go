package transports

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go/logging"

	"github.com/sluice-go/sluice"
)

// A client is a way to make one.
type client struct {
	name string
	make func(ctx context.Context, n *network) (*sqs.Client, error)
}

var clients = []client{
	{"NewClient", func(ctx context.Context, n *network) (*sqs.Client, error) {
		cfg, err := n.config(ctx)
		return sluice.NewClient(cfg), err
	}},
	{"the SDK's", func(ctx context.Context, n *network) (*sqs.Client, error) {
		cfg, err := n.config(ctx)
		return sqs.NewFromConfig(cfg), err
	}},
	{"with an HTTP client of the user's", func(_ context.Context, n *network) (*sqs.Client, error) {
		transport := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: authorities()}}
		n.fit(transport)
		return sqs.New(sqs.Options{
			Region: "eu-central-1", BaseEndpoint: &n.url, Credentials: keys, Logger: logging.Nop{}, HTTPClient: &http.Client{Transport: transport},
		}), nil
	}},
}

// keys have a session token, as a role's have: what follows a redirect would take it along.
var keys = aws.NewCredentialsCache(aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
	return aws.Credentials{AccessKeyID: "key", SecretAccessKey: "secret of the user's", SessionToken: "token of the session"}, nil
}))

// A trust is how a client knows whom to trust.
type trust int

const (
	bundle    trust = iota // AWS_CA_BUNDLE
	transport              // the options of the SDK's transport
)

// config is the configuration of a client, as a program has it.
func (n *network) config(ctx context.Context) (aws.Config, error) {
	if n.row.trust == transport {
		return aws.Config{
			Region: "eu-central-1", BaseEndpoint: &n.url, Credentials: keys, Logger: logging.Nop{},
			HTTPClient: awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
				t.TLSClientConfig.RootCAs = authorities()
				n.fit(t)
			}),
		}, nil
	}
	cfg, err := config.LoadDefaultConfig(ctx, config.WithRegion("eu-central-1"), config.WithBaseEndpoint(n.url), config.WithCredentialsProvider(keys), config.WithLogger(logging.Nop{}))
	return cfg, err
}

// authorities are those that the servers' certificates are from.
func authorities() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(identity().Leaf)
	return pool
}

// identity is the certificate of all servers, and of the authority that vouches for them.
// It is one whose handshakes cost little.
var identity = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	now := time.Now()
	form := x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "transports"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	text, err := x509.CreateCertificate(rand.Reader, &form, &form, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	leaf, err := x509.ParseCertificate(text)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{text}, PrivateKey: key, Leaf: leaf}
})

// TestMain makes the environment that of a program behind a TLS-inspecting gateway: it
// trusts what AWS_CA_BUNDLE says, and nothing else of the machine's matters.
func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "transports")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: identity().Leaf.Raw})
	if err := os.WriteFile(file, text, 0o600); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "AWS_PROFILE"} {
		_ = os.Unsetenv(name)
	}
	for name, value := range map[string]string{
		"AWS_CA_BUNDLE": file, "AWS_CONFIG_FILE": filepath.Join(dir, "none"), "AWS_SHARED_CREDENTIALS_FILE": filepath.Join(dir, "none"),
		"AWS_EC2_METADATA_DISABLED": "true",
	} {
		_ = os.Setenv(name, value)
	}
	return m.Run()
}
