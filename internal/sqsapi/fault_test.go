package sqsapi_test

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

	"github.com/sluice-go/sluice/internal/fault"
	"github.com/sluice-go/sluice/internal/sqsapi"
)

// A sort is how an error is classified where nothing is known of its call, where it
// concerns one receipt, and where it concerns a whole request.
type sort struct{ any, entry, request fault.Kind }

func always(f fault.Kind) sort { return sort{f, f, f} }

// Each of the service's errors, by the type that the SDK gives it.
func TestTypedErrorsAreClassified(t *testing.T) {
	legacy := func(code string) *string { return new("AWS.SimpleQueueService." + code) }
	for _, c := range []struct {
		err  error
		want sort
	}{
		{nil, always(fault.Passing)},
		{&types.QueueDoesNotExist{}, always(fault.Refused)},
		{&types.QueueDoesNotExist{ErrorCodeOverride: legacy("NonExistentQueue")}, always(fault.Refused)},
		{&types.InvalidAddress{}, always(fault.Lasting)},
		{&types.InvalidSecurity{}, always(fault.Lasting)},
		{&types.UnsupportedOperation{ErrorCodeOverride: legacy("UnsupportedOperation")}, always(fault.Lasting)},
		{&types.KmsAccessDenied{}, always(fault.Refused)},
		{&types.KmsAccessDenied{ErrorCodeOverride: new("KMS.AccessDeniedException")}, always(fault.Refused)},
		{&types.KmsDisabled{}, always(fault.Refused)},
		{&types.KmsInvalidKeyUsage{}, always(fault.Refused)},
		{&types.KmsInvalidState{}, always(fault.Refused)},
		{&types.KmsNotFound{}, always(fault.Refused)},
		{&types.KmsOptInRequired{}, always(fault.Refused)},
		{&types.KmsThrottled{}, always(fault.Throttled)},
		{&types.RequestThrottled{}, always(fault.Throttled)},
		{&types.OverLimit{}, always(fault.Throttled)},
		{&types.ReceiptHandleIsInvalid{}, always(fault.Lost)},
		{&types.MessageNotInflight{ErrorCodeOverride: legacy("MessageNotInflight")}, always(fault.Lost)},
		{&types.InvalidMessageContents{}, always(fault.Passing)},
	} {
		checkSort(t, c.err, c.want)
	}
}

// The others, and those of entries, which come as codes only.
func TestErrorsWithoutATypeAreClassifiedByTheirCodes(t *testing.T) {
	for want, codes := range map[sort][]string{
		always(fault.Refused): {
			"AWS.SimpleQueueService.NonExistentQueue", "NonExistentQueue", "QueueDoesNotExist",
			"AccessDenied", "AccessDeniedException", "InvalidClientTokenId", "OptInRequired",
			"KMS.AccessDeniedException", "KMS.DisabledException", "KmsNotFound",
		},
		always(fault.Lasting): {
			"InvalidAddress", "InvalidSecurity", "AWS.SimpleQueueService.UnsupportedOperation",
			"MissingParameter", "InvalidAction",
		},
		always(fault.Throttled): {
			"Throttling", "ThrottlingException", "RequestThrottled", "RequestThrottledException",
			"TooManyRequestsException", "SlowDown", "RequestLimitExceeded", "OverLimit",
		},
		always(fault.Lost): {"ReceiptHandleIsInvalid", "AWS.SimpleQueueService.MessageNotInflight", "MessageNotInflight"},
		always(fault.Passing): {
			"InternalError", "InternalFailure", "ServiceUnavailable", "ServiceUnavailableException",
			"ExpiredToken", "ExpiredTokenException", "RequestExpired", "SignatureDoesNotMatch", "SomethingThatNobodyKnows", "",
		},
		{any: fault.Passing, entry: fault.Lost, request: fault.Lasting}: {"InvalidParameterValue", "InvalidParameterValueException"},
	} {
		for _, code := range codes {
			checkSort(t, coded(code), want)
		}
	}
}

func TestErrorsOfTheNetworkPass(t *testing.T) {
	for _, err := range []error{io.EOF, io.ErrUnexpectedEOF, context.DeadlineExceeded, context.Canceled, errors.New("no route to host")} {
		checkSort(t, err, always(fault.Passing))
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
		got := sort{sqsapi.Classify(err), sqsapi.ClassifyEntry(err), sqsapi.ClassifyRequest(err)}
		require.Equal(t, want, got, "%v", err)
	}
}

func TestExpiredCredentialsAreRecognised(t *testing.T) {
	for _, code := range []string{"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"} {
		require.True(t, sqsapi.Expired(fmt.Errorf("wrapped: %w", coded(code))), code)
	}
	for _, err := range []error{nil, io.EOF, coded("AccessDenied")} {
		require.False(t, sqsapi.Expired(err), "%v", err)
	}
}

func TestACallWithoutAnAnswerMayHaveHadItsEffect(t *testing.T) {
	for _, err := range []error{io.EOF, context.DeadlineExceeded, errors.Join(coded("ServiceUnavailable"), context.DeadlineExceeded), coded("InternalError"), coded("InternalFailure")} {
		require.True(t, sqsapi.Unsure(err), "%v", err)
	}
	refused := &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	for _, err := range []error{nil, coded("AccessDenied"), &types.RequestThrottled{}, refused, fmt.Errorf("wrapped: %w", refused)} {
		require.False(t, sqsapi.Unsure(err), "%v", err)
	}
}
