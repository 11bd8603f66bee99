package sqstest

import (
	"maps"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// MustCreateQueue makes a queue and returns its URL. An ARN instead of a name makes it in that region and account. A name that ends in ".fifo" makes a FIFO queue, without the
// attribute FifoQueue. It panics on an error, which is a mistake in the test.
func (s *Server) MustCreateQueue(name string, attributes map[string]string) (url string) {
	ctx := near(name)
	if key, ok := parseARN(name); ok {
		name = key.name
	}
	set := map[string]string{}
	if isFIFO(name) {
		set["FifoQueue"] = "true"
	}
	maps.Copy(set, attributes)
	out, err := s.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: &name, Attributes: set})
	if err != nil {
		panic("sqstest: creating queue " + name + ": " + err.Error())
	}
	return *out.QueueUrl
}

// Send sends bodies to a queue (name, URL or ARN), one by one in their order, and returns the messages' ids. On a FIFO queue
// they go to the group "default", each with its own deduplication id. It panics on an error. Faults strike it as any
// other call of SendMessage.
func (s *Server) Send(queue string, bodies ...string) (ids []string) {
	for _, body := range bodies {
		in := &sqs.SendMessageInput{QueueUrl: &queue, MessageBody: &body}
		if isFIFO(nameOf(queue)) {
			in.MessageGroupId = new("default")
			in.MessageDeduplicationId = new("sqstest-" + itoa(int(s.sends.Add(1))))
		}
		out, err := s.SendMessage(near(queue), in)
		if err != nil {
			panic("sqstest: sending to " + nameOf(queue) + ": " + err.Error())
		}
		ids = append(ids, *out.MessageId)
	}
	return ids
}
