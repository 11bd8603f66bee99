package queue

import "github.com/aws/aws-sdk-go-v2/service/sqs"

// Inner returns what client was before [Whole].
func Inner(client sqs.HTTPClient) sqs.HTTPClient {
	if w, ok := client.(*whole); ok {
		return w.inner
	}
	return client
}
