package s3sluice

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"golang.org/x/sync/semaphore"

	"github.com/sluice-go/sluice"
)

// A DeleteObjectClient deletes objects. *s3.Client is one. Its method is called concurrently.
type DeleteObjectClient interface {
	DeleteObject(ctx context.Context, in *s3.DeleteObjectInput, optFns ...func(*s3.Options)) (*s3.DeleteObjectOutput, error)
}

// A Deleter deletes payloads after SQS has confirmed the delete of their messages. [Deleter.Settled] is
// for the hooks of a consumer:
//
//	remove, err := s3sluice.NewDeleter(s3Client, where)
//	…
//	opts.Hooks = opts.Hooks.And(sluice.Hooks{Settled: remove.Settled})
//	…
//	err = consumer.Run(ctx, h)
//	remove.Wait()
//
// A payload stays where it is if its message was given back or went to a dead-letter queue: it is needed
// again. It also stays if its message was in an envelope, or if its message was deleted and nobody heard
// of it. A process may be killed after a delete, an answer may be lost, hooks drop events under load, and
// S3 may refuse. So give the bucket a lifecycle rule too.
//
// Do not delete payloads that several queues point to, as SNS makes them. The first consumer would take
// them from the others. Whoever may send to the queue can make the consumer delete any object under
// Prefix in Buckets.
type Deleter struct {
	client   DeleteObjectClient
	o        Options
	requests *semaphore.Weighted
}

// NewDeleter returns a Deleter for the Buckets and the Prefix of o. It returns an error if o cannot work,
// with all that is wrong.
func NewDeleter(client DeleteObjectClient, o Options) (*Deleter, error) {
	o, err := o.withDefaults()
	if client == nil {
		err = errors.Join(errors.New("s3sluice: client is nil, want one such as *s3.Client"), err)
	}
	if err != nil {
		return nil, err
	}
	return &Deleter{client: client, o: o, requests: semaphore.NewWeighted(int64(o.Parallel))}, nil
}

// Settled begins to delete the payloads of messages that were deleted. It is a hook: see
// [sluice.Hooks]. It waits if [Options.Parallel] deletes are out.
func (d *Deleter) Settled(e sluice.SettledEvent) {
	if e.Result != sluice.ResultDeleted {
		return
	}
	for _, m := range e.Messages {
		if !isPointer(m) {
			continue
		}
		at, err := d.o.locate(m)
		if err != nil {
			continue // a handler has discarded what Fetch did not read
		}
		_ = d.requests.Acquire(context.Background(), 1) // each ends at its timeout
		go func() {
			defer d.requests.Release(1)
			d.delete(at, m.ID)
		}()
	}
}

// Wait waits until all deletes that were begun have ended, for [Options.Timeout] at most. Call it after
// Run has returned.
func (d *Deleter) Wait() {
	_ = d.requests.Acquire(context.Background(), int64(d.o.Parallel)) // each ends at its timeout
	d.requests.Release(int64(d.o.Parallel))
}

// delete deletes an object. S3 takes one that is not there for deleted.
func (d *Deleter) delete(at pointer, id string) {
	ctx, cancel := context.WithTimeout(context.Background(), d.o.Timeout)
	defer cancel()
	err := func() (err error) {
		defer func() {
			if v := recover(); v != nil { // it would end the process
				err = fmt.Errorf("the S3 client panicked: %v", v)
			}
		}()
		_, err = d.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &at.Bucket, Key: &at.Key})
		return err
	}()
	if err != nil {
		d.o.Logger.Warn("a payload could not be deleted", "bucket", at.Bucket, "message_id", id, "error", (&requestError{err}).Error())
	}
}
