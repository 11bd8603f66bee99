package s3sluice_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/contrib/s3sluice"
)

const bucket = "orders-payloads"

var errBad = errors.New("bad")

// inProcess is an HTTP client that calls a handler.
type inProcess struct{ http.Handler }

func (c inProcess) Do(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	if r.Body == nil {
		r.Body = http.NoBody
	}
	r.RequestURI = r.URL.RequestURI()
	r.Header.Set("Content-Length", strconv.FormatInt(r.ContentLength, 10)) // as a server sees it
	c.ServeHTTP(w, r)
	return w.Result(), nil
}

// fakeS3 returns the SDK's client of an S3 in this process that others wrote, with the bucket.
func fakeS3(t *testing.T) *s3.Client {
	t.Helper()
	backend := s3mem.New()
	require.NoError(t, backend.CreateBucket(bucket))
	return clientOf("http://s3.test", inProcess{gofakes3.New(backend).Server()})
}

func clientOf(url string, over s3.HTTPClient) *s3.Client {
	return s3.New(s3.Options{
		Region: "us-east-1", BaseEndpoint: &url, UsePathStyle: true, HTTPClient: over,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
		}),
	})
}

// put puts an object into the bucket.
func put(t *testing.T, client s3sluice.PutObjectClient, key, body string) {
	t.Helper()
	_, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: new(bucket), Key: &key, Body: strings.NewReader(body)})
	require.NoError(t, err)
}

// objects is an S3 whose calls take a second, and that counts what is out. Its keys are those of one
// bucket.
type objects struct {
	mu     sync.Mutex // guards the fields below
	bodies map[string]string
	gets   []string // keys, as they were asked for
	out    int      // requests
	most   int      // of out
	fail   map[string]error
	length func(key string) *int64 // of the answer; nil: as it is
}

func (o *objects) begin(key string) (body string, err error) {
	o.mu.Lock()
	o.gets = append(o.gets, key)
	o.out++
	o.most = max(o.most, o.out)
	o.mu.Unlock()
	time.Sleep(time.Second)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.out--
	body, ok := o.bodies[key]
	if err := o.fail[key]; err != nil {
		return "", err
	}
	if !ok {
		return "", &smithy.GenericAPIError{Code: "NoSuchKey", Message: "The specified key does not exist."}
	}
	return body, nil
}

func (o *objects) GetObject(_ context.Context, in *s3.GetObjectInput, _ ...func(*s3.Options)) (*s3.GetObjectOutput, error) {
	body, err := o.begin(*in.Key)
	if err != nil {
		return nil, err
	}
	out := &s3.GetObjectOutput{Body: io.NopCloser(strings.NewReader(body)), ContentLength: new(int64(len(body)))}
	if o.length != nil {
		out.ContentLength = o.length(*in.Key)
	}
	return out, nil
}

func (o *objects) DeleteObject(_ context.Context, in *s3.DeleteObjectInput, _ ...func(*s3.Options)) (*s3.DeleteObjectOutput, error) {
	if _, err := o.begin(*in.Key); err != nil {
		return nil, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.bodies, *in.Key)
	return &s3.DeleteObjectOutput{}, nil
}

const (
	newClass = "software.amazon.payloadoffloading.PayloadS3Pointer"
	oldClass = "com.amazon.sqs.javamessaging.MessageS3Pointer"
)

func number(value string) types.MessageAttributeValue {
	return types.MessageAttributeValue{DataType: new("Number"), StringValue: &value}
}

// pointerTo returns a message with the given id that points to a key in the bucket.
func pointerTo(id, key string, size int) *sluice.Message {
	return &sluice.Message{
		ID: id, Body: fmt.Sprintf(`[%q,{"s3BucketName":%q,"s3Key":%q}]`, newClass, bucket, key), Attributes: map[string]types.MessageAttributeValue{"ExtendedPayloadSize": number(strconv.Itoa(size))},
	}
}

// pointers returns messages that point to new objects of o. Each object is as large as its size says, and
// begins with its id.
func (o *objects) pointers(sizes map[string]int, ids ...string) (batch []*sluice.Message) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, id := range ids {
		body := id + strings.Repeat(".", max(0, sizes[id]-len(id)))
		o.bodies["k"+id] = body
		batch = append(batch, pointerTo(id, "k"+id, len(body)))
	}
	return batch
}

// ordered makes messages those of a FIFO queue. The first letter of an id is the message group.
func ordered(batch []*sluice.Message) []*sluice.Message {
	for i, m := range batch {
		m.GroupID, m.SequenceNumber = m.ID[:1], strconv.Itoa(i+1)
	}
	return batch
}

// fetch returns the middleware, or ends the test.
func fetch(t *testing.T, client s3sluice.GetObjectClient, o s3sluice.Options) func(sluice.Handler) sluice.Handler {
	t.Helper()
	if o.Buckets == nil {
		o.Buckets = []string{bucket}
	}
	wrap, err := s3sluice.Fetch(client, o)
	require.NoError(t, err)
	return wrap
}

// failures returns the errors of a batch, by the ids of its messages.
func failures(batch []*sluice.Message, err error) map[string]string {
	failed := map[string]string{}
	for m, err := range sluice.Outcomes(batch, err) {
		failed[m.ID] = err.Error()
	}
	return failed
}

func idsOf(batch []*sluice.Message) string {
	ids := make([]string, len(batch))
	for i, m := range batch {
		ids[i] = m.ID
	}
	return strings.Join(ids, " ")
}
