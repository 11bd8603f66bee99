package dynamostore_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/contrib/dedup"
	"github.com/sluice-go/sluice/contrib/dedup/dynamostore"
	"github.com/sluice-go/sluice/contrib/dedup/storetest"
)

const table = "idempotency"

func TestDynamoDBIsAStore(t *testing.T) {
	client := start(t)
	store := dynamostore.New(client, table)
	for _, c := range storetest.Cases {
		t.Run(c.Name, func(t *testing.T) { require.NoError(t, c.Run(t.Context(), store, store.Pass)) })
	}
}

// What Powertools has written is understood: its records have no owner.
func TestRecordsOfPowertoolsAreUnderstood(t *testing.T) {
	client := start(t)
	store := dynamostore.New(client, table)
	now := time.Now()
	for id, tt := range map[string]struct {
		item map[string]types.AttributeValue
		want dedup.State
	}{
		"completed":                 {record("COMPLETED", now.Add(time.Hour).Unix(), 0), dedup.StateHandled},
		"completed long ago":        {record("COMPLETED", now.Add(-time.Hour).Unix(), 0), dedup.StateClaimed},
		"in progress":               {record("INPROGRESS", now.Add(time.Hour).Unix(), now.Add(time.Minute).UnixMilli()), dedup.StateBusy},
		"in progress, for ever":     {record("INPROGRESS", now.Add(time.Hour).Unix(), 0), dedup.StateBusy},
		"in progress until it died": {record("INPROGRESS", now.Add(time.Hour).Unix(), now.Add(-time.Second).UnixMilli()), dedup.StateClaimed},
	} {
		tt.item["id"] = &types.AttributeValueMemberS{Value: id}
		_, err := client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: new(table), Item: tt.item})
		require.NoError(t, err)
		c, err := store.Claim(t.Context(), id, "a", 30*time.Second)
		require.NoError(t, err)
		require.Equal(t, tt.want, c.State, id)
		if c.State == dedup.StateBusy {
			require.Positive(t, c.Left)
			require.ErrorIs(t, store.Done(t.Context(), id, "a", time.Hour), dedup.ErrLost)
			require.ErrorIs(t, store.Extend(t.Context(), id, "a", time.Hour), dedup.ErrLost)
		}
	}
}

func record(status string, expiration, claim int64) map[string]types.AttributeValue {
	item := map[string]types.AttributeValue{
		"status":     &types.AttributeValueMemberS{Value: status},
		"expiration": &types.AttributeValueMemberN{Value: strconv.FormatInt(expiration, 10)},
		"data":       &types.AttributeValueMemberS{Value: "{}"},
	}
	if claim != 0 {
		item["in_progress_expiration"] = &types.AttributeValueMemberN{Value: strconv.FormatInt(claim, 10)}
	}
	return item
}

func TestATableThatIsMissingIsAnError(t *testing.T) {
	store := dynamostore.New(start(t), "missing")
	_, err := store.Claim(t.Context(), "k", "a", time.Second)
	require.ErrorContains(t, err, "dynamostore: claiming in missing: ")
	require.ErrorContains(t, store.Extend(t.Context(), "k", "a", time.Second), "dynamostore: extending a claim in missing: ")
	require.ErrorContains(t, store.Done(t.Context(), "k", "a", time.Second), "dynamostore: marking a key in missing: ")
	require.ErrorContains(t, store.Release(t.Context(), "k", "a"), "dynamostore: releasing a claim in missing: ")
}

// A serial client makes one call at a time: DynamoDB decides about an item in one step, and moto, which
// has a thread for each call, does not.
type serial struct {
	*dynamodb.Client

	mu *sync.Mutex
}

func (c serial) PutItem(ctx context.Context, in *dynamodb.PutItemInput, optFns ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.Client.PutItem(ctx, in, optFns...)
}

// moto stands in for DynamoDB. It is started once.
var moto struct {
	once   sync.Once
	client *dynamodb.Client
	server *exec.Cmd
	err    error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if moto.server != nil && moto.server.Process != nil {
		_ = moto.server.Process.Kill()
		_ = moto.server.Wait()
	}
	os.Exit(code)
}

// start returns a client of moto, which has the table.
func start(t *testing.T) serial {
	t.Helper()
	moto.once.Do(func() { moto.err = startMoto() })
	if moto.err != nil {
		t.Skip("SKIPPED: " + moto.err.Error())
	}
	return serial{moto.client, new(sync.Mutex)}
}

func startMoto() error {
	path, err := exec.LookPath("moto_server")
	if err != nil {
		return errors.New("there is no moto_server; to run this test: pip install 'moto[server]'")
	}
	port, err := freePort()
	if err != nil {
		return err
	}
	moto.server = exec.Command(path, "-H", "127.0.0.1", "-p", port)
	if err := moto.server.Start(); err != nil {
		return err
	}
	moto.client = dynamodb.New(dynamodb.Options{
		Region: "eu-central-1", BaseEndpoint: new("http://127.0.0.1:" + port),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
		}),
	})
	const patience = 2 * time.Minute // a process starts; the only wait in real time
	for began := time.Now(); time.Since(began) < patience; time.Sleep(100 * time.Millisecond) {
		if err = createTable(); err == nil {
			return nil
		}
	}
	return fmt.Errorf("moto has not answered for %v: %w", patience, err)
}

func createTable() error {
	_, err := moto.client.CreateTable(context.Background(), &dynamodb.CreateTableInput{
		TableName: new(table), BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: new("id"), AttributeType: types.ScalarAttributeTypeS}},
		KeySchema:            []types.KeySchemaElement{{AttributeName: new("id"), KeyType: types.KeyTypeHash}},
	})
	return err
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}

// The table is made beforehand, as the package says.
func ExampleNew() {
	var cfg aws.Config // of config.LoadDefaultConfig(ctx)
	d, err := dedup.New(dynamostore.New(dynamodb.NewFromConfig(cfg), "idempotency"), dedup.Options{Handler: "emails"})
	if err != nil {
		log.Fatal(err)
	}
	_ = d // and now sluice.Options{Middleware: []func(sluice.Handler) sluice.Handler{d.Middleware}}
}
