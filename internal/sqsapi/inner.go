package sqsapi

import "github.com/aws/aws-sdk-go-v2/service/sqs"

// Inner returns what client was before [Wrap].
func Inner(client sqs.HTTPClient) sqs.HTTPClient {
	if w, ok := client.(*wrapper); ok {
		return w.inner
	}
	return client
}
