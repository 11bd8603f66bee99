package sqstest_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/sqstest"
)

// attributeOf is how a queue that is made with one attribute tells it.
func attributeOf(t *testing.T, queue, name, value string) (string, error) {
	t.Helper()
	s := sqstest.New()
	s.MustCreateQueue("dead", nil)
	in := &sqs.CreateQueueInput{QueueName: &queue, Attributes: map[string]string{name: value}}
	if queue == "q.fifo" && name != "FifoQueue" {
		in.Attributes["FifoQueue"] = "true"
	}
	made, err := s.CreateQueue(t.Context(), in)
	if err != nil {
		return "", err
	}
	out, err := s.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: made.QueueUrl, AttributeNames: []types.QueueAttributeName{types.QueueAttributeName(name)}})
	require.NoError(t, err)
	return out.Attributes[name], nil
}

func TestAttributesAreToldInOneWayOfWriting(t *testing.T) {
	const policy = `{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:dead","maxReceiveCount":`
	for _, c := range []struct{ queue, name, value, want string }{
		{"q.fifo", "FifoQueue", "True", "true"},
		{"q.fifo", "FifoQueue", "TRUE", "true"},
		{"q.fifo", "ContentBasedDeduplication", "True", "true"},
		{"q.fifo", "ContentBasedDeduplication", "False", "false"},
		{"q", "SqsManagedSseEnabled", "False", "false"},
		{"q", "VisibilityTimeout", "0030", "30"},
		{"q", "KmsMasterKeyId", "007", "007"},
		{"q", "RedrivePolicy", policy + `"1"}`, policy + `1}`},
		{"q", "RedrivePolicy", policy + `1000}`, policy + `1000}`},
		{"q", "RedrivePolicy", policy + ` 5.0 }`, policy + `5}`},
		{"q", "RedrivePolicy", policy + "\"+7\" ,\n\"more\":1}", policy + `7}`},
		{"q", "RedrivePolicy", "", ""},
	} {
		got, err := attributeOf(t, c.queue, c.name, c.value)
		require.NoError(t, err, c.value)
		require.Equal(t, c.want, got)
	}
}

func TestMistakesInARedrivePolicyAreNamed(t *testing.T) {
	const target = `"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:dead"`
	for policy, reason := range map[string]string{
		`nonsense`:              "Redrive policy is not a valid JSON map.",
		`[]`:                    "Redrive policy is not a valid JSON map.",
		`null`:                  "Redrive policy is not a valid JSON map.",
		`{}`:                    "Redrive policy does not contain mandatory attribute: maxReceiveCount.",
		`{"maxReceiveCount":1}`: "Redrive policy does not contain mandatory attribute: deadLetterTargetArn.",
		`{"maxReceiveCount":1,"DeadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:dead"}`: "Redrive policy does not contain mandatory attribute: deadLetterTargetArn.",
		`{"maxReceiveCount":1,"deadLetterTargetArn":""}`:                                        "Invalid value for deadLetterTargetArn.",
		`{"maxReceiveCount":1,"deadLetterTargetArn":7}`:                                         "Invalid value for deadLetterTargetArn.",
		`{"maxReceiveCount":1.5,` + target + `}`:                                                "Invalid value for maxReceiveCount: 1.5, valid values are from 1 to 1000 both inclusive.",
		`{"maxReceiveCount":null,` + target + `}`:                                               "Invalid value for maxReceiveCount: null, valid values are from 1 to 1000 both inclusive.",
		`{"maxReceiveCount":true,` + target + `}`:                                               "Invalid value for maxReceiveCount: true, valid values are from 1 to 1000 both inclusive.",
		`{"maxReceiveCount":"NaN",` + target + `}`:                                              "Invalid value for maxReceiveCount: NaN, valid values are from 1 to 1000 both inclusive.",
		`{"maxReceiveCount":1001,` + target + `}`:                                               "Invalid value for maxReceiveCount: 1001, valid values are from 1 to 1000 both inclusive.",
	} {
		_, err := attributeOf(t, "q", "RedrivePolicy", policy)
		require.ErrorContains(t, err, "InvalidParameterValue", policy)
		require.ErrorContains(t, err, "Value "+policy+" for parameter RedrivePolicy is invalid. Reason: "+reason)
	}
}
