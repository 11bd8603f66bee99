package queue_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/queue"
)

// A sort is how an error is classified where nothing is known of its call, where it
// concerns one receipt, and where it concerns a whole request.
type sort struct{ any, entry, request queue.Fault }

func always(f queue.Fault) sort { return sort{f, f, f} }

// Each of the service's errors, by the type that the SDK gives it.
func TestTypedErrorsAreClassified(t *testing.T) {
	legacy := func(code string) *string { return new("AWS.SimpleQueueService." + code) }
	for _, c := range []struct {
		err  error
		want sort
	}{
		{nil, always(queue.Passing)},
		{&types.QueueDoesNotExist{}, always(queue.Refused)},
		{&types.QueueDoesNotExist{ErrorCodeOverride: legacy("NonExistentQueue")}, always(queue.Refused)},
		{&types.InvalidAddress{}, always(queue.Lasting)},
		{&types.InvalidSecurity{}, always(queue.Lasting)},
		{&types.UnsupportedOperation{ErrorCodeOverride: legacy("UnsupportedOperation")}, always(queue.Lasting)},
		{&types.KmsAccessDenied{}, always(queue.Refused)},
		{&types.KmsAccessDenied{ErrorCodeOverride: new("KMS.AccessDeniedException")}, always(queue.Refused)},
		{&types.KmsDisabled{}, always(queue.Refused)},
		{&types.KmsInvalidKeyUsage{}, always(queue.Refused)},
		{&types.KmsInvalidState{}, always(queue.Refused)},
		{&types.KmsNotFound{}, always(queue.Refused)},
		{&types.KmsOptInRequired{}, always(queue.Refused)},
		{&types.KmsThrottled{}, always(queue.Throttled)},
		{&types.RequestThrottled{}, always(queue.Throttled)},
		{&types.OverLimit{}, always(queue.Throttled)},
		{&types.ReceiptHandleIsInvalid{}, always(queue.Lost)},
		{&types.MessageNotInflight{ErrorCodeOverride: legacy("MessageNotInflight")}, always(queue.Lost)},
		{&types.InvalidMessageContents{}, always(queue.Passing)},
	} {
		checkSort(t, c.err, c.want)
	}
}

// The others, and those of entries, which come as codes only.
func TestErrorsWithoutATypeAreClassifiedByTheirCodes(t *testing.T) {
	for want, codes := range map[sort][]string{
		always(queue.Refused): {
			"AWS.SimpleQueueService.NonExistentQueue", "NonExistentQueue", "QueueDoesNotExist",
			"AccessDenied", "AccessDeniedException", "InvalidClientTokenId", "OptInRequired",
			"KMS.AccessDeniedException", "KMS.DisabledException", "KmsNotFound",
		},
		always(queue.Lasting): {
			"InvalidAddress", "InvalidSecurity", "AWS.SimpleQueueService.UnsupportedOperation",
			"MissingParameter", "InvalidAction",
		},
		always(queue.Throttled): {
			"Throttling", "ThrottlingException", "RequestThrottled", "RequestThrottledException",
			"TooManyRequestsException", "SlowDown", "RequestLimitExceeded", "OverLimit",
		},
		always(queue.Lost): {"ReceiptHandleIsInvalid", "AWS.SimpleQueueService.MessageNotInflight", "MessageNotInflight"},
		always(queue.Passing): {
			"InternalError", "InternalFailure", "ServiceUnavailable", "ServiceUnavailableException",
			"ExpiredToken", "ExpiredTokenException", "RequestExpired", "SignatureDoesNotMatch", "SomethingThatNobodyKnows", "",
		},
		{any: queue.Passing, entry: queue.Lost, request: queue.Lasting}: {"InvalidParameterValue", "InvalidParameterValueException"},
	} {
		for _, code := range codes {
			checkSort(t, coded(code), want)
		}
	}
}

func TestErrorsOfTheNetworkPass(t *testing.T) {
	for _, err := range []error{io.EOF, io.ErrUnexpectedEOF, context.DeadlineExceeded, context.Canceled, errors.New("no route to host")} {
		checkSort(t, err, always(queue.Passing))
	}
}

// checkSort checks err as it is, and inside the errors that the SDK puts around it.
func checkSort(t *testing.T, err error, want sort) {
	t.Helper()
	variants := []error{err}
	if err != nil {
		variants = append(variants,
			&smithy.OperationError{ServiceID: "SQS", OperationName: "ReceiveMessage", Err: err},
			fmt.Errorf("twice: %w", fmt.Errorf("wrapped: %w", err)),
			errors.Join(errors.New("beside it"), err),
		)
	}
	for _, err := range variants {
		got := sort{queue.Classify(err), queue.ClassifyEntry(err), queue.ClassifyRequest(err)}
		require.Equal(t, want, got, "%v", err)
	}
}

func TestExpiredCredentialsAreRecognised(t *testing.T) {
	for _, code := range []string{"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"} {
		require.True(t, queue.Expired(fmt.Errorf("wrapped: %w", coded(code))), code)
	}
	for _, err := range []error{nil, io.EOF, coded("AccessDenied")} {
		require.False(t, queue.Expired(err), "%v", err)
	}
}

func TestACallWithoutAnAnswerMayHaveHadItsEffect(t *testing.T) {
	for _, err := range []error{io.EOF, context.DeadlineExceeded, errors.Join(coded("ServiceUnavailable"), context.DeadlineExceeded), coded("InternalError"), coded("InternalFailure")} {
		require.True(t, queue.Unsure(err), "%v", err)
	}
	refused := &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	for _, err := range []error{nil, coded("AccessDenied"), &types.RequestThrottled{}, refused, fmt.Errorf("wrapped: %w", refused)} {
		require.False(t, queue.Unsure(err), "%v", err)
	}
}
