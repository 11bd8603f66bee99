package simtest

import (
	"bytes"
	"cmp"
	"crypto/md5" // the digest that SQS sends
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go"
)

// A tap is a recorder below the SDK, where it can be when the library is given the SDK's
// client itself, and makes its calls past it: it reads requests and answers, each as a
// whole, and with the SDK's eyes.
type tap struct {
	*recorder
	next sqs.HTTPClient
}

// said is what the requests and answers of a consumer say.
type said struct {
	MaxNumberOfMessages int   `json:"MaxNumberOfMessages"`
	VisibilityTimeout   int32 `json:"VisibilityTimeout"`
	Entries             []struct {
		ReceiptHandle     string `json:"ReceiptHandle"`
		VisibilityTimeout int32  `json:"VisibilityTimeout"`
	} `json:"Entries"`

	Messages []struct {
		MessageID     string            `json:"MessageId"`
		ReceiptHandle string            `json:"ReceiptHandle"`
		Body          string            `json:"Body"`
		MD5OfBody     string            `json:"MD5OfBody"`
		Attributes    map[string]string `json:"Attributes"`
	} `json:"Messages"`
	Successful []struct {
		ID string `json:"Id"`
	} `json:"Successful"`
	Failed []struct {
		Code string `json:"Code"`
	} `json:"Failed"`

	Type string `json:"__type"`
}

func (t *tap) Do(r *http.Request) (*http.Response, error) {
	asked, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(bytes.NewReader(asked))
	e := event{op: strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "AmazonSQS."), past: v4.GetPayloadHash(r.Context()) == ""}
	if err := e.request(asked); err != nil {
		return nil, err
	}
	call := t.ask(e)
	e.ok = make([]bool, len(e.handles))
	answer, err := t.next.Do(r)
	if err != nil {
		e.err = err
		t.tell(call, e)
		return nil, err
	}
	text, cut := io.ReadAll(answer.Body)
	cut = cmp.Or(cut, answer.Body.Close())
	answer.Body = io.NopCloser(io.MultiReader(bytes.NewReader(text), failing{cut}))
	if e.err = cut; cut == nil {
		e.err = e.answer(answer, text)
	}
	t.tell(call, e)
	return answer, nil
}

// A failing reader has nothing, and a reason; nil: the end.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, cmp.Or(f.err, io.EOF) }

// request notes what is asked for.
func (e *event) request(text []byte) error {
	var s said
	if err := json.Unmarshal(text, &s); err != nil {
		return err
	}
	e.n, e.asked = s.MaxNumberOfMessages, seconds(s.VisibilityTimeout)
	for _, entry := range s.Entries {
		e.handles = append(e.handles, entry.ReceiptHandle)
		if e.op == opChange {
			e.timeouts = append(e.timeouts, seconds(entry.VisibilityTimeout))
		}
	}
	return nil
}

// answer notes what SQS says; an error is what the SDK makes of an answer.
func (e *event) answer(r *http.Response, text []byte) error {
	var s said
	if err := json.Unmarshal(text, &s); err != nil {
		return err
	}
	if r.StatusCode != http.StatusOK {
		code, _, _ := strings.Cut(r.Header.Get("X-Amzn-Query-Error"), ";")
		_, kind, _ := strings.Cut(s.Type, "#")
		return &smithy.GenericAPIError{Code: cmp.Or(code, kind)}
	}
	var got []receipt
	for _, m := range s.Messages {
		if sum := md5.Sum([]byte(m.Body)); m.MD5OfBody != hex.EncodeToString(sum[:]) {
			return errors.New("message checksum validation failed") // and the whole answer is none
		}
		count, _ := strconv.Atoi(m.Attributes["ApproximateReceiveCount"])
		got = append(got, receipt{m.MessageID, m.ReceiptHandle, count})
	}
	e.got = got
	for i := range s.Successful {
		e.confirm(&s.Successful[i].ID)
	}
	for _, f := range s.Failed {
		e.refused = append(e.refused, f.Code)
	}
	return nil
}

func seconds(n int32) time.Duration { return time.Duration(n) * time.Second }
