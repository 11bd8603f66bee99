package s3sluice_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/contrib/s3sluice"
)

func TestPayloadsOfAllClientsAreRead(t *testing.T) {
	client := fakeS3(t)
	large := strings.Repeat("é", 1<<20)
	put(t, client, "0f7ff03f-4fb8-4b3a-9a2d-1ad5e0a4e4f4", large)
	for _, body := range []string{
		`["` + newClass + `",{"s3BucketName":"orders-payloads","s3Key":"0f7ff03f-4fb8-4b3a-9a2d-1ad5e0a4e4f4"}]`,
		`["` + oldClass + `",{"s3BucketName":"orders-payloads","s3Key":"0f7ff03f-4fb8-4b3a-9a2d-1ad5e0a4e4f4"}]`,
		`["` + newClass + `", {"s3BucketName": "orders-payloads", "s3Key": "0f7ff03f-4fb8-4b3a-9a2d-1ad5e0a4e4f4"}]`, // Python's spaces
	} {
		for _, name := range []string{"ExtendedPayloadSize", "SQSLargePayloadSize"} {
			m := &sluice.Message{ID: "a", ReceiptHandle: "h", Body: body, Attributes: map[string]types.MessageAttributeValue{name: number("2097152"), "kind": number("7")}}
			called := false
			err := fetch(t, client, s3sluice.Options{})(func(_ context.Context, batch []*sluice.Message) error {
				called = true
				require.Equal(t, large, batch[0].Body)
				require.Equal(t, map[string]types.MessageAttributeValue{"kind": number("7")}, batch[0].Attributes)
				require.Equal(t, "h", batch[0].ReceiptHandle)
				return nil
			})(t.Context(), []*sluice.Message{m})
			require.NoError(t, err)
			require.True(t, called)
			require.Equal(t, body, m.Body, "the original stays as it is")
			require.Len(t, m.Attributes, 2)
		}
	}
}

func TestMessagesThatAreNoPointersArePassedOn(t *testing.T) {
	batch := []*sluice.Message{{ID: "a", Body: pointerTo("", "k", 1).Body}, {ID: "b", Body: "plain", Attributes: map[string]types.MessageAttributeValue{"kind": number("1")}}}
	err := fetch(t, never{}, s3sluice.Options{})(func(_ context.Context, got []*sluice.Message) error {
		require.Same(t, batch[0], got[0])
		require.Same(t, batch[1], got[1])
		return sluice.Failed(got[1], errBad)
	})(t.Context(), batch)
	require.Equal(t, map[string]string{"b": "bad"}, failures(batch, err))
}

// never is a client that must not be called.
type never struct{}

func (never) GetObject(context.Context, *s3.GetObjectInput, ...func(*s3.Options)) (*s3.GetObjectOutput, error) {
	panic("there is a request")
}

func TestAPointerToAnythingElseCausesNoRequest(t *testing.T) {
	for body, want := range map[string]string{
		`["` + newClass + `",{"s3BucketName":"secret-bucket","s3Key":"orders/secret"}]`:                       "not in Options.Buckets",
		`["` + newClass + `",{"s3BucketName":"orders-payloads","s3Key":"secret"}]`:                            "does not begin with Options.Prefix",
		`["` + newClass + `",{"s3BucketName":"orders-payloads","s3Key":"orders/../secret"}]`:                  "a key that is none",
		`["` + newClass + `",{"s3BucketName":"orders-payloads","s3Key":"orders/./secret"}]`:                   "a key that is none",
		`["` + newClass + `",{"s3BucketName":"orders-payloads","s3Key":""}]`:                                  "a key that is none",
		`["` + newClass + `",{"s3BucketName":"orders-payloads","s3Key":"orders/secret\u0000"}]`:               "a key that is none",
		`["` + newClass + `",{"s3BucketName":"orders-payloads","s3Key":"` + strings.Repeat("x", 1025) + `"}]`: "a key that is none",
		`["java.lang.Runtime",{"s3BucketName":"orders-payloads","s3Key":"orders/secret"}]`:                    "its body is none",
		`["` + newClass + `",{"s3BucketName":"orders-payloads","s3Key":"orders/secret","region":"x"}]`:        "its body is none",
		`["` + newClass + `",{"S3BUCKETNAME":"orders-payloads","s3key":"orders/secret"}]`:                     "its body is none",
		`["` + newClass + `",{"s3BucketName":null,"s3Key":"orders/secret"}]`:                                  "its body is none",
		`["` + newClass + `",{"s3BucketName":"orders-payloads"}]`:                                             "its body is none",
		`["` + newClass + `",{"s3BucketName":"orders-payloads","s3Key":"orders/secret"},1]`:                   "its body is none",
		`["` + newClass + `"]`: "its body is none",
		`{"s3BucketName":"orders-payloads","s3Key":"orders/secret"}`: "its body is none",
		"secret": "its body is none",
		"":       "its body is none",
	} {
		m := &sluice.Message{ID: "a", Body: body, Attributes: map[string]types.MessageAttributeValue{"ExtendedPayloadSize": number("10")}}
		err := fetch(t, never{}, s3sluice.Options{Prefix: "orders/"})(func(context.Context, []*sluice.Message) error { panic("called") })(t.Context(), []*sluice.Message{m})
		require.ErrorContains(t, err, want, body)
		require.NotContains(t, err.Error(), "secret", "an error repeats nothing of the body")
		require.Equal(t, sluice.OutcomeRetry, sluice.OutcomeOf(err).Kind)
	}
}

func TestAFailureFailsOnlyItsMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &objects{bodies: map[string]string{}, fail: map[string]error{"kb": errBad}}
		batch := o.pointers(nil, "a", "b", "c", "d")
		delete(o.bodies, "kc")
		batch = append(batch, &sluice.Message{ID: "e", Body: "plain"})
		err := fetch(t, o, s3sluice.Options{})(func(_ context.Context, got []*sluice.Message) error {
			require.Equal(t, "a d e", idsOf(got))
			require.Equal(t, "plain", got[2].Body)
			return sluice.Failed(got[1], sluice.RetryAfter(time.Hour, errBad))
		})(t.Context(), batch)
		require.Equal(t, map[string]string{
			"b": "s3sluice: getting a payload from bucket orders-payloads: bad", "d": "bad",
			"c": "s3sluice: getting a payload from bucket orders-payloads: the payload is not there",
		}, failures(batch, err))
		require.ErrorIs(t, err, s3sluice.ErrMissing)
		for m, err := range sluice.Outcomes(batch, err) {
			require.Equal(t, map[string]sluice.OutcomeKind{"b": sluice.OutcomeRetry, "c": sluice.OutcomeDeadLetter, "d": sluice.OutcomeRetryAfter}[m.ID], sluice.OutcomeOf(err).Kind)
		}
	})
}

func TestAMissingPayloadOfS3IsADeadLetter(t *testing.T) {
	batch := []*sluice.Message{pointerTo("a", "gone", 10)}
	err := fetch(t, fakeS3(t), s3sluice.Options{})(func(context.Context, []*sluice.Message) error { panic("called") })(t.Context(), batch)
	require.ErrorIs(t, err, s3sluice.ErrMissing)
	for _, err := range sluice.Outcomes(batch, err) {
		require.Equal(t, sluice.OutcomeDeadLetter, sluice.OutcomeOf(err).Kind)
	}
	client := fakeS3(t)
	err = fetch(t, client, s3sluice.Options{Buckets: []string{"another-bucket"}})(func(context.Context, []*sluice.Message) error { panic("called") })(t.Context(),
		[]*sluice.Message{{ID: "a", Body: strings.ReplaceAll(batch[0].Body, bucket, "another-bucket"), Attributes: batch[0].Attributes}})
	require.ErrorContains(t, err, "s3sluice: getting a payload from bucket another-bucket: NoSuchBucket (status 404, request ")
	require.NotErrorIs(t, err, s3sluice.ErrMissing, "a bucket that is not there may come back")
}

func TestAGroupWaitsForAPayloadThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &objects{bodies: map[string]string{}, fail: map[string]error{"ka2": errBad}}
		batch := ordered(o.pointers(nil, "a1", "a2", "b1", "a3"))
		err := fetch(t, o, s3sluice.Options{})(func(_ context.Context, got []*sluice.Message) error {
			require.Equal(t, "a1 b1", idsOf(got))
			return nil
		})(t.Context(), batch)
		require.Len(t, failures(batch, err), 2)
		for m, err := range sluice.Outcomes(batch, err) {
			require.Equal(t, m.ID == "a3", sluice.OutcomeOf(err).Kind == sluice.OutcomeUnhandled)
		}
	})
}

func TestPayloadsAreFetchedInParallel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for parallel, want := range map[int]time.Duration{0: time.Second, 3: 3 * time.Second, 1: 8 * time.Second} {
			o := &objects{bodies: map[string]string{}}
			h := fetch(t, o, s3sluice.Options{Parallel: parallel})(func(context.Context, []*sluice.Message) error { return nil })
			began := time.Now()
			var calls sync.WaitGroup
			for _, batch := range [][]*sluice.Message{o.pointers(nil, "a", "b", "c", "d"), o.pointers(nil, "e", "f", "g", "h")} {
				calls.Go(func() {
					if err := h(t.Context(), batch); err != nil {
						panic(err)
					}
				})
			}
			calls.Wait()
			require.Equal(t, want, time.Since(began), "%d at once, in both calls together", parallel)
		}
	})
}

func TestPayloadsThatAreTooLargeFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &objects{bodies: map[string]string{}}
		batch := o.pointers(map[string]int{"a": 100, "b": 101}, "a", "b")
		batch[1].Attributes["ExtendedPayloadSize"] = number("1")
		err := fetch(t, o, s3sluice.Options{MaxBytes: 100})(func(_ context.Context, got []*sluice.Message) error {
			require.Equal(t, "a", idsOf(got))
			return nil
		})(t.Context(), batch)
		require.Equal(t, map[string]string{"b": "s3sluice: a payload in bucket orders-payloads has 101 bytes, want at most Options.MaxBytes, 100"}, failures(batch, err))
	})
}

func TestTheSizeInAMessageIsNotBelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, says := range []string{"1", "0", "-5", "10", "11", "99999999999999999999", "1e3", ""} {
			o := &objects{bodies: map[string]string{}}
			batch := o.pointers(map[string]int{"a": 10, "b": 10}, "a", "b")
			batch[0].Attributes["ExtendedPayloadSize"] = number(says)
			var got string
			err := fetch(t, o, s3sluice.Options{MaxBytes: 15, BytesInFlight: 30})(func(_ context.Context, batch []*sluice.Message) error {
				for _, m := range batch {
					got += m.Body
				}
				return nil
			})(t.Context(), batch)
			require.NoError(t, err)
			require.Equal(t, "a.........b.........", got, "the message says %q", says)
		}
	})
}

func TestAnAnswerOfAnotherLengthThanItSaysFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for says, want := range map[int64]string{
			9: "another length than S3 says, want 9 bytes", 11: "another length than S3 says, want 11 bytes", -1: "does not say how large",
		} {
			o := &objects{bodies: map[string]string{}, length: func(string) *int64 {
				if says < 0 {
					return nil
				}
				return &says
			}}
			batch := o.pointers(map[string]int{"a": 10}, "a")
			batch[0].Attributes["ExtendedPayloadSize"] = number("20")
			err := fetch(t, o, s3sluice.Options{})(func(context.Context, []*sluice.Message) error { panic("called") })(t.Context(), batch)
			require.ErrorContains(t, err, want)
		}
		grows := int64(10)
		o := &objects{bodies: map[string]string{}, length: func(string) *int64 {
			grows += 10
			return new(grows)
		}}
		err := fetch(t, o, s3sluice.Options{})(func(context.Context, []*sluice.Message) error { panic("called") })(t.Context(), o.pointers(map[string]int{"a": 10}, "a"))
		require.ErrorContains(t, err, "became larger while it was read, now 30 bytes")
	})
}

func TestABatchThatIsLargerThanTheMemoryIsHandledInParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &objects{bodies: map[string]string{}}
		batch := o.pointers(map[string]int{"a1": 40, "a2": 40, "b1": 40, "b2": 90, "a3": 10}, "a1", "a2", "b1", "b2", "a3")
		batch = append(batch, &sluice.Message{ID: "b3", Body: "plain"})
		ordered(batch)
		var calls []string
		h := func(fails string) sluice.Handler {
			return fetch(t, o, s3sluice.Options{MaxBytes: 100, BytesInFlight: 100})(func(_ context.Context, got []*sluice.Message) error {
				calls = append(calls, idsOf(got))
				for _, m := range got {
					if m.ID == fails {
						return sluice.Failed(m, errBad)
					}
				}
				return nil
			})
		}
		require.NoError(t, h("")(t.Context(), batch))
		require.Equal(t, []string{"a1 a2", "b1", "b2 a3 b3"}, calls)

		calls = nil
		err := h("a2")(t.Context(), batch)
		require.Equal(t, []string{"a1 a2", "b1", "b2 b3"}, calls, "a3 waits for a2")
		require.Equal(t, map[string]string{"a2": "bad", "a3": "the message stands behind one of its message group that failed"}, failures(batch, err))

		calls = nil
		for _, m := range batch {
			m.SequenceNumber = "" // now of a standard queue
		}
		require.Len(t, failures(batch, h("a2")(t.Context(), batch)), 1)
		require.Equal(t, []string{"a1 a2", "b1", "b2 a3 b3"}, calls)
	})
}

// Many calls at once, with sizes that messages tell right and wrong: no more bytes are held than
// BytesInFlight, and no call waits for ever.
func TestTheMemoryOfAllCallsIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = 1000
		o := &objects{bodies: map[string]string{}}
		var mu sync.Mutex // guards held and handled
		held, handled := 0, 0
		h := fetch(t, o, s3sluice.Options{MaxBytes: 400, BytesInFlight: most, Parallel: 4})(func(_ context.Context, got []*sluice.Message) error {
			size := 0
			for _, m := range got {
				size += len(m.Body)
			}
			mu.Lock()
			held += size
			handled += len(got)
			now := held
			mu.Unlock()
			time.Sleep(3 * time.Second)
			mu.Lock()
			held -= size
			mu.Unlock()
			if now > most {
				panic(fmt.Sprint(now, " bytes are held"))
			}
			return nil
		})
		var calls sync.WaitGroup
		for i := range 20 {
			var ids []string
			sizes := map[string]int{}
			for j := range 10 {
				id := fmt.Sprint(i, "-", j)
				ids, sizes[id] = append(ids, id), 10+(i*37+j*53)%390
			}
			batch := o.pointers(sizes, ids...)
			for j, m := range batch {
				if (i+j)%3 == 0 {
					m.Attributes["ExtendedPayloadSize"] = number(fmt.Sprint((i*91 + j*17) % 800))
				}
			}
			calls.Go(func() {
				if err := h(t.Context(), batch); err != nil {
					panic(err)
				}
			})
		}
		calls.Wait()
		require.Equal(t, 200, handled)
		require.LessOrEqual(t, o.most, 4)
	})
}

func TestMemoryIsFreeAgainAfterPanicsAndFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &objects{bodies: map[string]string{}, fail: map[string]error{"kb": errBad}}
		batch := o.pointers(map[string]int{"a": 100, "b": 100}, "a", "b")
		h := fetch(t, o, s3sluice.Options{MaxBytes: 100, BytesInFlight: 100})(func(context.Context, []*sluice.Message) error { panic("oh") })
		for range 3 {
			require.Len(t, failures(batch, h(t.Context(), batch)), 2)
		}
	})
}

func TestAWaitForMemoryEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &objects{bodies: map[string]string{}}
		free := make(chan struct{})
		h := fetch(t, o, s3sluice.Options{MaxBytes: 100, BytesInFlight: 100})(func(context.Context, []*sluice.Message) error {
			<-free
			return nil
		})
		first, second := o.pointers(map[string]int{"a": 100}, "a"), o.pointers(map[string]int{"b": 100}, "b")
		var calls sync.WaitGroup
		calls.Go(func() { _ = h(t.Context(), first) })
		time.Sleep(2 * time.Second)
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Minute, func() { cancel(sluice.ErrLeaseLost) })
		began := time.Now()
		err := h(ctx, second)
		require.ErrorIs(t, err, sluice.ErrLeaseLost)
		require.Equal(t, time.Minute, time.Since(began))
		close(free)
		calls.Wait()
	})
}

// hanging is a client whose calls, or whose bodies, take until the context ends.
type hanging struct{ body bool }

func (h hanging) GetObject(ctx context.Context, _ *s3.GetObjectInput, _ ...func(*s3.Options)) (*s3.GetObjectOutput, error) {
	if !h.body {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return &s3.GetObjectOutput{ContentLength: new(int64(1)), Body: io.NopCloser(readerFunc(func([]byte) (int, error) {
		<-ctx.Done()
		return 0, ctx.Err()
	}))}, nil
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

func TestARequestThatHangsEndsAtItsTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, client := range []hanging{{}, {body: true}} {
			h := fetch(t, client, s3sluice.Options{})(func(context.Context, []*sluice.Message) error { panic("called") })
			began := time.Now()
			err := h(t.Context(), []*sluice.Message{pointerTo("a", "k", 10)})
			require.EqualError(t, err, "message a: s3sluice: getting a payload from bucket orders-payloads: it took longer than Options.Timeout, 1m0s")
			require.Equal(t, time.Minute, time.Since(began))

			ctx, cancel := context.WithCancelCause(t.Context())
			time.AfterFunc(time.Second, func() { cancel(sluice.ErrShutdown) })
			err = h(ctx, []*sluice.Message{pointerTo("a", "k", 10)})
			require.ErrorIs(t, err, sluice.ErrShutdown)
		}
	})
}

// broken is a client that fails as it says.
type broken struct {
	err    error
	panics any
}

func (b broken) GetObject(context.Context, *s3.GetObjectInput, ...func(*s3.Options)) (*s3.GetObjectOutput, error) {
	if b.panics != nil {
		panic(b.panics)
	}
	return nil, b.err
}

func TestErrorsDoNotHaveTheKey(t *testing.T) {
	text := "User: x is not authorized to perform: s3:GetObject on resource: arn:aws:s3:::orders-payloads/secret"
	for _, tt := range []struct {
		client broken
		want   string
	}{
		{broken{err: &smithy.GenericAPIError{Code: "AccessDenied", Message: text}}, "AccessDenied"},
		{broken{err: fmt.Errorf("operation error: %w", &url.Error{Op: "Get", URL: "https://orders-payloads.s3.amazonaws.com/secret", Err: errors.New("connection reset")})}, "Get: connection reset"},
		{broken{err: errors.New("checksum did not match")}, "checksum did not match"},
		{broken{panics: "oh"}, "s3sluice: the S3 client panicked: oh"},
	} {
		err := fetch(t, tt.client, s3sluice.Options{})(func(context.Context, []*sluice.Message) error { panic("called") })(t.Context(), []*sluice.Message{pointerTo("a", "secret", 10)})
		require.ErrorContains(t, err, tt.want)
		require.NotContains(t, err.Error(), "secret")
	}
	denied := clientOf("http://s3.test", inProcess{http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Amz-Request-Id", "R1")
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, "<Error><Code>AccessDenied</Code><Message>"+text+"</Message></Error>")
	})})
	err := fetch(t, denied, s3sluice.Options{})(func(context.Context, []*sluice.Message) error { panic("called") })(t.Context(), []*sluice.Message{pointerTo("a", "secret", 10)})
	require.EqualError(t, err, "message a: s3sluice: getting a payload from bucket orders-payloads: AccessDenied (status 403, request R1)")
}

func TestOptionsThatCannotWorkAreErrors(t *testing.T) {
	_, err := s3sluice.Fetch(nil, s3sluice.Options{})
	require.EqualError(t, err, "s3sluice: client is nil, want one such as *s3.Client\ns3sluice: Buckets is empty, want the buckets that payloads may lie in")
	_, err = s3sluice.NewDeleter(nil, s3sluice.Options{Buckets: []string{"", "a*"}, MaxBytes: -1, Parallel: -1, Timeout: -1, BytesInFlight: -2})
	require.EqualError(t, err, `s3sluice: client is nil, want one such as *s3.Client
s3sluice: Buckets[0] is "", want the name of a bucket, without patterns
s3sluice: Buckets[1] is "a*", want the name of a bucket, without patterns
s3sluice: MaxBytes is -1, want at least 1
s3sluice: BytesInFlight is -2, want at least MaxBytes, -1
s3sluice: Parallel is -1, want at least 1
s3sluice: Timeout is -1ns, want at least 0`)
	require.Nil(t, fetch(t, never{}, s3sluice.Options{})(nil))
}
