package sqsapi_test

import (
	"crypto/md5" // the digest that SQS sends
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/sqsapi"
)

// An answer is one that every call is given.
type answer struct {
	status int
	header map[string]string
	text   string
	ends   error // nil: as a text does
}

func (a answer) Do(r *http.Request) (*http.Response, error) {
	header := http.Header{"Content-Type": {"application/x-amz-json-1.0"}, "X-Amzn-Requestid": {"request-1"}}
	for name, value := range a.header {
		header.Set(name, value)
	}
	body := io.Reader(strings.NewReader(a.text))
	if a.ends != nil {
		body = io.MultiReader(body, iotest.ErrReader(a.ends))
	}
	return &http.Response{
		StatusCode: a.status, ProtoMajor: 1, ProtoMinor: 1, Request: r, ContentLength: -1, Body: io.NopCloser(body), Header: header,
	}, nil
}

// queues are one whose calls the SDK makes, and one whose calls a Lean makes.
func queues(t *testing.T, client sqs.HTTPClient, optFns ...func(*sqs.Options)) (theirs, ours *sqsapi.Queue) {
	t.Helper()
	open := func() *sqsapi.Queue {
		return &sqsapi.Queue{
			URL: queueURL, Visibility: 30 * time.Second, Shown: []types.MessageSystemAttributeName{"All"},
			Client: sqs.New(sqs.Options{Region: "eu-central-1", Credentials: keys(""), HTTPClient: client}, optFns...),
		}
	}
	theirs, ours = open(), open()
	var err error
	ours.Lean, err = sqsapi.NewLean(ours.Client)
	require.NoError(t, err)
	return theirs, ours
}

// same requires that all calls end in the same way with the SDK and without.
func same(t *testing.T, client sqs.HTTPClient, optFns ...func(*sqs.Options)) {
	t.Helper()
	theirs, ours := queues(t, client, optFns...)
	want, wantErr := theirs.Receive(t.Context(), 10, time.Second, "")
	got, err := ours.Receive(t.Context(), 10, time.Second, "")
	sameError(t, wantErr, err)
	require.Equal(t, want, got)
	handles := []string{"a", "b", "c", "d"}
	sameErrors(t, theirs.Delete(t.Context(), handles), ours.Delete(t.Context(), handles))
	timeouts := []time.Duration{0, time.Second, time.Minute, time.Hour}
	sameErrors(t, theirs.Change(t.Context(), handles, timeouts...), ours.Change(t.Context(), handles, timeouts...))
}

func sameErrors(t *testing.T, want, got []error) {
	t.Helper()
	require.Len(t, got, len(want))
	for i := range want {
		sameError(t, want[i], got[i])
	}
}

// sameError requires that two errors say the same to people and to programs.
func sameError(t *testing.T, want, got error) {
	t.Helper()
	require.Equal(t, facts(want), facts(got))
}

// facts are what can be found out about an error.
func facts(err error) map[string]any {
	if err == nil {
		return nil
	}
	is := map[string]any{"text": err.Error(), "cut": sqsapi.Cut(err), "unreadable": sqsapi.Unreadable(err)}
	is["kinds"] = fmt.Sprint(sqsapi.Classify(err), sqsapi.ClassifyEntry(err), sqsapi.ClassifyRequest(err), sqsapi.Unsure(err), sqsapi.Expired(err))
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		is["api"] = fmt.Sprintf("%T %s %s %v", api, api.ErrorCode(), api.ErrorMessage(), api.ErrorFault())
	}
	if op, ok := errors.AsType[*smithy.OperationError](err); ok {
		is["operation"] = op.ServiceID + op.OperationName
	}
	if r, ok := errors.AsType[*smithyhttp.ResponseError](err); ok {
		is["response"] = fmt.Sprint(r.HTTPStatusCode(), r.HTTPResponse().Header)
	}
	if r, ok := errors.AsType[interface {
		error
		ServiceRequestID() string
	}](err); ok {
		is["request"] = r.ServiceRequestID()
	}
	_, is["undecoded"] = errors.AsType[*smithy.DeserializationError](err)
	_, is["unsent"] = errors.AsType[*smithyhttp.RequestSendError](err)
	_, is["canceled"] = errors.AsType[*smithy.CanceledError](err)
	return is
}

func digest(body string) string {
	sum := md5.Sum([]byte(body))
	return hex.EncodeToString(sum[:])
}

// message is a message as SQS sends it.
func message(body string) string {
	quoted, err := json.Marshal(body)
	if err != nil {
		panic(err) // a string has its JSON
	}
	return fmt.Sprintf(`{"MessageId":"5fea7756-0ea4-451a-a703-a558b933e274","ReceiptHandle":"AQEB+/=","MD5OfBody":%q,"Body":%s,`+
		`"Attributes":{"ApproximateReceiveCount":"1","SentTimestamp":"1700000000000","MessageGroupId":"tenant"}}`, digest(body), quoted)
}

// texts200 are texts of good answers of all kinds.
func texts200() []string {
	m := message("hello")
	return []string{
		``, ` `, `{}`, `null`, `[]`, `x`, `{"Messages":[]}`, `{"Messages":null}`, `{"Messages":{}}`, `{"Messages":[null]}`, `{"Messages":[{}]}`,
		`{"Messages":[` + m + `]}`,
		` { "Messages" : [ ` + strings.ReplaceAll(m, ",", " ,\n\t") + " ] } \r\n",
		`{"Messages":[` + m + `,]}`, `{"Messages":[` + m + `],}`, `{"Messages":[` + m + `]`, `{"Messages":[` + m + `]}x`, `{"Messages":[,` + m + `]}`,
		`{"Messages":[` + strings.Repeat(m+",", 9) + m + `]}`,
		`{"Messages":[` + strings.Repeat(m+",", 10) + m + `]}`,
		`{"Messages":[` + m + `],"Messages":[]}`, `{"Messages":[],"Messages":[` + m + `]}`, `{"Messages":[` + m + `],"Messages":null}`,
		`{"Messages":[{"Body":"x","MD5OfBody":"y"}],"Messages":[` + m + `]}`,
		`{"Messages":[` + m + `],"NextToken":{"a":[1,2,true,null]}}`,
		`{"Messages":[` + message("a \"quoted\" \\ body / with\nlines\tand ünïcödé and 🦥, <html> & so on") + `]}`,
		`{"Messages":[` + message(strings.Repeat("x", 100_000)+`"`) + `]}`,
		`{"Messages":[` + message(strings.Repeat(`"\`, 3000)) + `]}`, `{"Messages":[` + message(strings.Repeat("\n", 3000)) + `]}`,
		`{"Messages":[` + message(strings.Repeat("x", 1024)) + `,` + message(strings.Repeat("x", 1025)) + `,` + message(strings.Repeat("\n", 1025)) + `]}`,
		`{"Messages":[{"Body":"\u0041\ud83e\udda5\/\b\f\n\r\t"}]}`,
		`{"Messages":[{"Body":"\ud83e"}]}`, `{"Messages":[{"Body":"\ud83e\u0041"}]}`, `{"Messages":[{"Body":"\udda5"}]}`, `{"Messages":[{"Body":"\ufffd"}]}`,
		`{"Messages":[{"Body":"\u00zz"}]}`, `{"Messages":[{"Body":"\u00"}]}`, `{"Messages":[{"Body":"\x"}]}`, `{"Messages":[{"Body":"\`, `{"Messages":[{"Body":"\"`,
		"{\"Messages\":[{\"Body\":\"\x01\"}]}", "{\"Messages\":[{\"Body\":\"12345678\x1f\"}]}", "{\"Messages\":[{\"Body\":\"\xff\"}]}", "{\"Messages\":[{\"Body\":\"\\n\xff\"}]}",
		"{\"Messages\":[{\"Body\":\"" + strings.Repeat("x", 40) + "\x1f" + strings.Repeat("x", 40) + "\"}]}",
		"{\"Messages\":[{\"Body\":\"\x7f\u0080\u07ff\uffff\"}]}",
		`{"Messages":[{"Body":7}]}`, `{"Messages":[{"Body":null}]}`, `{"Messages":[{"Body":"a","Body":"b\n"}]}`, `{"Messages":[{"Body":"a\n","Body":"b\n"}]}`,
		`{"Messages":[{"Body":"hello","MD5OfBody":"` + digest("hello") + `"}]}`, `{"Messages":[{"Body":"hello","MD5OfBody":"` + digest("bye") + `"}]}`,
		`{"Messages":[{"MD5OfBody":"` + digest("") + `"}]}`, `{"Messages":[{"Body":"","MD5OfBody":"` + digest("") + `"}]}`, `{"Messages":[{"Body":"","MD5OfBody":""}]}`,
		`{"Messages":[{"MessageId":"a\nb"}]}`, `{"Messages":[{"M\u0065ssageId":"a"}]}`, `{"Messages":[{"messageid":"a"}]}`, `{"Messages":[{"New":"a"}]}`,
		`{"Messages":[{"New":-1.5e+7,"Newer":[0,0.1,1E3],"Newest":{"a":{"b":[[],{},true,false,null,"\n"]}},"MessageId":"a"}]}`,
		`{"Messages":[{"New":01}]}`, `{"Messages":[{"New":-}]}`, `{"Messages":[{"New":1.}]}`, `{"Messages":[{"New":1e}]}`, `{"Messages":[{"New":tru}]}`, `{"Messages":[{"New":+1}]}`,
		`{"Messages":[{"New":"\x"}]}`, `{"Messages":[{"New":"\ud83e"}]}`, `{"Messages":[{"New":{"a" 1}}]}`, `{"Messages":[{"New":[1 2]}]}`, `{"Messages":[{"N\new":1}]}`,
		`{"Messages":[{"New":` + strings.Repeat("[", 99) + strings.Repeat("]", 99) + `}]}`, `{"Messages":[{"New":` + strings.Repeat("[", 2000) + strings.Repeat("]", 2000) + `}]}`,
		`{"Messages":[{"Attributes":{}}]}`, `{"Messages":[{"Attributes":null}]}`, `{"Messages":[{"Attributes":{"SenderId":null}}]}`,
		`{"Messages":[{"Attributes":{"Later":"x"}}]}`, `{"Messages":[{"Attributes":{"SenderId":"a","SenderId":"b"},"Attributes":{"AWSTraceHeader":"Root=1"}}]}`,
		`{"Messages":[{"Attributes":{` + strings.Repeat(`"SenderId":"a",`, 12) + `"SenderId":"b"}}]}`, `{"Messages":[{"Attributes":{"L\u0061ter":"x\n"}}]}`,
		`{"Messages":[{"Attributes":{"SequenceNumber":"18849496460467696128","MessageDeduplicationId":"d","AWSTraceHeader":"t","DeadLetterQueueSourceArn":"arn"}}]}`,
		`{"Messages":[{"MD5OfMessageAttributes":"0123","MessageAttributes":{}}]}`, `{"Messages":[{"MD5OfMessageAttributes":7}]}`,
		`{"Messages":[{"MessageAttributes":{"a":{"DataType":"String","StringValue":"x\ny"},"b":{"DataType":"Binary","BinaryValue":"AAEC"},"c":{}}}]}`,
		`{"Messages":[{"MessageAttributes":{"\u0061b":{"StringValue":"` + strings.Repeat("x", 5000) + `"},"c":{"StringValue":"` + strings.Repeat(`\n`, 5000) + `","New":1}}}]}`,
		`{"Messages":[{"MessageAttributes":{"a":{"BinaryValue":"A"}}}]}`, `{"Messages":[{"MessageAttributes":{"a":{"BinaryValue":"AA\n=="}}}]}`, `{"Messages":[{"MessageAttributes":{"a":{"BinaryValue":null}}}]}`,
		`{"Messages":[{"MessageAttributes":{"a":{"BinaryValue":"\/+8="}}}]}`, `{"Messages":[{"MessageAttributes":{"a":{"BinaryValue":""}}}]}`,
		`{"Messages":[{"MessageAttributes":{"a":{"StringListValues":["x"],"BinaryListValues":["AA=="]}}}]}`, `{"Messages":[{"MessageAttributes":{"a":null}}]}`,
		`{"Messages":[{"Body":"x\n","MessageAttributes":{"a":{"StringValue":"y\n"}}}]}`,
		`{"Messages":[{"MessageAttributes":{"a":{"StringValue":"1"}},"MessageAttributes":{"b":{"StringValue":"2"}}}]}`,
		`{"Successful":[{"Id":"0"},{"Id":"9"}],"Failed":[]}`, `{"Successful":[{"Id":"0"}]}`, `{"Failed":[]}`, `{"Successful":[]}`, `{"Successful":null,"Failed":null}`,
		`{"Successful":[{"Id":"10"}]}`, `{"Successful":[{"Id":""}]}`, `{"Successful":[{"Id":"a"}]}`, `{"Successful":[{}]}`, `{"Successful":[{"Id":"1","Id":"2"}]}`, `{"Successful":[{"Id":"1"},]}`, `{"Successful":[{"Id":1}]}`, `{"Successful":[{"Other":"1"}]}`,
		`{"Successful":[` + strings.Repeat(`{"Id":"1"},`, 11) + `{"Id":"1"}]}`, `{"Successful":[{"Id":"0"}],"Successful":[{"Id":"1"}]}`, `{"Successful":[null]}`,
		`{"Successful":[],"Failed":[{"Id":"3","Code":"InternalError","SenderFault":false,"Message":"again"}]}`,
		`{"Successful":[{"Id":"3"}],"Failed":[{"Id":"3","Code":"ReceiptHandleIsInvalid","SenderFault":true,"Message":"\"no\" b"},{"Id":"1","New":[]}]}`,
		`{"Failed":[{"Id":"3","Code":"A\nB","SenderFault":null,"Message":null}],"Successful":[{"Id":"3"}]}`, `{"Failed":[{"Id":"3","SenderFault":"true"}]}`,
		"\xef\xbb\xbf{}",
	}
}

func TestAnswersAreWhatTheSDKMakesOfThem(t *testing.T) {
	for _, text := range texts200() {
		same(t, answer{status: http.StatusOK, text: text})
		same(t, answer{status: http.StatusOK, text: text}, func(o *sqs.Options) { o.DisableMessageChecksumValidation = true })
	}
}

func FuzzAnswersAreWhatTheSDKMakesOfThem(f *testing.F) {
	for _, text := range texts200() {
		if len(text) < 10_000 {
			f.Add(text)
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		same(t, answer{status: http.StatusOK, text: text})
		same(t, answer{status: http.StatusBadRequest, text: text})
	})
}

// Errors come with their code in the body or in a header, in several forms, and some come from
// what stands before SQS.
func TestErrorsAreWhatTheSDKMakesOfThem(t *testing.T) {
	texts := []string{
		``, ` `, `{}`, `null`, `[]`, `x`, `<html><body>403</body></html>`, `{"__type":`, `"text"`, `7`,
		`{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"no such queue"}`, `{"__type":"QueueDoesNotExist","Message":"no such queue"}`,
		`{"__type":"com.amazon.coral.service#AccessDeniedException","message":"no"}`, `{"code":"RequestThrottled","message":"slow"}`, `{"__type":"OverLimit"}`,
		`{"__type":"com.amazonaws.sqs#QueueDoesNotExist:http://internal.amazon.com/coral/","message":null}`, `{"__type":7,"message":"x"}`, `{"message":"only"}`,
		`{"__type":"SomethingNew","message":"AQEBhandleAQEBhandleAQEBhandleAQEBhandleAQEBhandleAQEBhandle"}`, `{"__type":"InvalidAddress","message":{"a":1}}`,
		`{"__type":"com.amazonaws.sqs#ReceiptHandleIsInvalid","message":"a"}`, `{"__type":"SignatureDoesNotMatch","message":"x-amz-security-token:secret"}`,
	}
	headers := []map[string]string{
		nil,
		{"X-Amzn-Query-Error": "AWS.SimpleQueueService.NonExistentQueue;Sender"},
		{"X-Amzn-Query-Error": "odd"},
		{"X-Amzn-ErrorType": "KmsDisabled:http://x/"},
		{"X-Amzn-ErrorType": "aws#InvalidSecurity", "X-Amzn-Query-Error": "InternalError;Receiver"},
		{"Content-Type": "text/html", "X-Amzn-Requestid": "", "X-Amz-Requestid": "other"},
		{"X-Amzn-Requestid": ""},
		{"Retry-After": "5", "X-Amz-Retry-After": "100"},
	}
	for _, text := range texts {
		for _, header := range headers {
			same(t, answer{status: 400, header: header, text: text})
		}
		for _, status := range []int{0, 199, 204, 299, 300, 307, 403, 404, 413, 429, 500, 503, 999} {
			same(t, answer{status: status, text: text})
		}
	}
}

func TestBrokenAnswersAreTheSDKsErrors(t *testing.T) {
	for _, status := range []int{200, 400, 503} {
		for _, ends := range []error{io.ErrUnexpectedEOF, errors.New("connection lost"), &smithy.GenericAPIError{Code: "AccessDenied"}} {
			same(t, answer{status: status, text: `{"Messages":[`, ends: ends})
			same(t, answer{status: status, text: `{"Messages":[]}`, ends: ends})
			same(t, answer{status: status, ends: ends})
		}
	}
	for _, err := range []error{errors.New("no route"), io.EOF, &smithy.GenericAPIError{Code: "AccessDenied"}} {
		same(t, do(func(*http.Request) (*http.Response, error) { return nil, err }))
		same(t, do(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusForbidden, Body: http.NoBody}, err
		}))
	}
	same(t, do(func(*http.Request) (*http.Response, error) { return nil, nil }))
	same(t, do(func(*http.Request) (*http.Response, error) { panic("at the HTTP disco") }))
}
