package sqstest

import "context"

// zeros tells which numbers of a request were sent as an explicit 0. The Go SDK cannot do that (it leaves a zero
// out, and absent means the queue's default), but the AWS CLI, boto3 and others can.
type zeros struct {
	Wait       bool   // ReceiveMessage: WaitTimeSeconds
	Visibility bool   // ReceiveMessage: VisibilityTimeout
	Max        bool   // ReceiveMessage: MaxNumberOfMessages
	Delay      bool   // SendMessage: DelaySeconds
	Delays     []bool // SendMessageBatch: DelaySeconds of each entry; shorter means false for the rest
}

type zerosKey struct{}

// withZeros gives an operation called with the returned context the zeros of its request.
func withZeros(ctx context.Context, z zeros) context.Context {
	return context.WithValue(ctx, zerosKey{}, z)
}

func zerosOf(ctx context.Context) zeros {
	z, _ := ctx.Value(zerosKey{}).(zeros)
	return z
}

func (z zeros) delay(i int) bool { return i < len(z.Delays) && z.Delays[i] }
