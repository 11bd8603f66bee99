package contract_test

import (
	"context"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sqstest"
	"github.com/sluice-go/sluice/sqstest/contract"
)

// The rows can be tried on any server, from the command line:
const (
	envEndpoint  = "SLUICE_CONTRACT_ENDPOINT"   // its URL, such as http://127.0.0.1:9324
	envPatience  = "SLUICE_CONTRACT_PATIENCE"   // how long a row may wait there, or on AWS, such as 90s; 5s if unset
	envMoto      = "SLUICE_CONTRACT_MOTO"       // 1: a moto_server from PATH, or the command in …_COMMAND; the gate sets it
	envFauxqs    = "SLUICE_CONTRACT_FAUXQS"     // 1: a fauxqs from PATH, or the command in …_COMMAND
	envAWS       = "SLUICE_CONTRACT_AWS"        // 1: the account of the default configuration; makes queues and costs money
	envAWSPrefix = "SLUICE_CONTRACT_AWS_PREFIX" // what the names of those queues begin with; sluice-contract- if unset
)

// few is how many messages of a queue may be in flight where that can be told.
const few = 400

func TestTheServerKeepsTheContract(t *testing.T) {
	contract.Run(t, contract.Target{Bubble: true, InFlight: few, New: func(*testing.T) contract.API {
		return sqstest.New(sqstest.InFlightLimit(few))
	}})
}

// What chance decides there is what chance decides on AWS.
func TestTheServerKeepsTheContractAlsoWhereItIsMany(t *testing.T) {
	contract.Run(t, contract.Target{Bubble: true, InFlight: few, Sampling: true, New: func(*testing.T) contract.API {
		return sqstest.New(
			sqstest.InFlightLimit(few), sqstest.Servers(3), sqstest.Disorder(5),
			sqstest.AnswerSize(func(r *rand.Rand) int { return 1 + r.IntN(10) }),
		)
	}, Deviations: map[string]string{
		"TouchedGroupsGoToTheBack": "groups on different servers have no order",
	}})
}

func TestTheRealClientKeepsTheContractInProcess(t *testing.T) {
	contract.Run(t, contract.Target{Bubble: true, InFlight: few, New: func(*testing.T) contract.API {
		s := sqstest.New(sqstest.InFlightLimit(few))
		return remote{s.Client(), s}
	}})
}

func TestTheRealClientKeepsTheContractOverSockets(t *testing.T) {
	s := sqstest.New(sqstest.InFlightLimit(few))
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	target := at(server.URL)
	target.InFlight = few
	client := target.New(t)
	target.New = func(*testing.T) contract.API { return remote{client, s} }
	contract.Run(t, target)
}

// remote is a client of a server whose calls can be made to fail.
type remote struct {
	contract.API

	server *sqstest.Server
}

func (r remote) Inject(f sqstest.Fault) (remove func()) { return r.server.Inject(f) }

func TestAnotherServerKeepsTheContract(t *testing.T) {
	endpoint := os.Getenv(envEndpoint)
	if endpoint == "" {
		t.Skipf("set %s to the URL of a server to try", envEndpoint)
	}
	target := at(endpoint)
	target.Patience = patience(t)
	contract.Run(t, target)
}

func patience(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv(envPatience)
	if text == "" {
		return 5 * time.Second
	}
	d, err := time.ParseDuration(text)
	require.NoError(t, err)
	return d
}

// at is a server that takes any credentials.
func at(endpoint string) contract.Target {
	client := sluice.NewClient(aws.Config{ // the SDK's own loses an answer now and then
		Region:       "us-east-1",
		BaseEndpoint: &endpoint,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "contract", SecretAccessKey: "contract"}, nil
		}),
	})
	return contract.Target{New: func(*testing.T) contract.API { return client }}
}
