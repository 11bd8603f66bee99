package contract_test

import (
	"cmp"
	"context"
	"crypto/rand"
	"os"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sqstest/contract"
)

// TestAWSKeepsTheContract tries the rows on the real service, for whoever asks for it and has an
// account: nothing of this library needs it. It makes a queue or two for each row, under names that
// begin with a prefix and an id of this run, and deletes them all in the end. The calls, a few
// thousand, are less than a cent's worth at 0.40 dollars for a million; an account's first million
// of a month is free.
//
//	SLUICE_CONTRACT_AWS=1 go test -count=1 -parallel 16 -timeout 30m -run AWS -v ./sqstest/contract
//
// The credentials need sqs:* on queues of that prefix, and sqs:ListQueues. Rows that need to wait
// for longer than five seconds are skipped; with SLUICE_CONTRACT_PATIENCE=6m most of them run.
func TestAWSKeepsTheContract(t *testing.T) {
	if os.Getenv(envAWS) != "1" {
		t.Skipf("NOT CHECKED against AWS: set %s to 1 to make queues, and costs, in the account that is configured", envAWS)
	}
	cfg, err := config.LoadDefaultConfig(t.Context())
	require.NoError(t, err)
	if cfg.Credentials == nil {
		t.Skip("NOT CHECKED against AWS: no credentials are configured")
	}
	if _, err := cfg.Credentials.Retrieve(t.Context()); err != nil {
		t.Skipf("NOT CHECKED against AWS: there are no credentials: %v", err)
	}
	client := sluice.NewClient(cfg)
	prefix := cmp.Or(os.Getenv(envAWSPrefix), "sluice-contract-") + rand.Text()[:6] + "-"
	t.Logf("queues begin with %s", prefix)
	t.Cleanup(func() { sweep(t, client, prefix) })
	contract.Run(t, contract.Target{
		New:      func(*testing.T) contract.API { return client },
		Patience: patience(t),
		Sampling: true,
		Prefix:   prefix,
	})
}

// sweep deletes what rows have left behind, because a call of theirs failed.
func sweep(t *testing.T, client *sqs.Client, prefix string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
	defer cancel()
	pages := sqs.NewListQueuesPaginator(client, &sqs.ListQueuesInput{QueueNamePrefix: &prefix, MaxResults: new(int32(1000))})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			t.Errorf("queues that begin with %s may be left: %v", prefix, err)
			return
		}
		for _, url := range page.QueueUrls {
			_, err := client.DeleteQueue(ctx, &sqs.DeleteQueueInput{QueueUrl: &url})
			t.Logf("deleting %s, which a row has left: %v", url, err) // or is gone, and still listed
		}
	}
}
