package s3sluice

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"

	"github.com/sluice-go/sluice"
)

// getError returns the error of a message whose payload could not be read because of err.
func getError(ctx context.Context, bucket string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("s3sluice: getting a payload from bucket %s: %w", bucket, context.Cause(ctx))
	}
	if api, ok := errors.AsType[smithy.APIError](err); ok && api.ErrorCode() == "NoSuchKey" {
		return sluice.DeadLetter(fmt.Errorf("s3sluice: getting a payload from bucket %s: %w", bucket, ErrMissing))
	}
	return fmt.Errorf("s3sluice: getting a payload from bucket %s: %w", bucket, &requestError{err})
}

// A requestError is an error of a request to S3 without the key in its text: the key is in the body
// of a message. The SDK's text may have it, in an address or in what S3 says.
type requestError struct{ err error }

func (e *requestError) Unwrap() error { return e.err }

func (e *requestError) Error() string {
	api, isAPI := errors.AsType[smithy.APIError](e.err)
	response, isResponse := errors.AsType[*awshttp.ResponseError](e.err)
	address, isAddress := errors.AsType[*url.Error](e.err)
	switch {
	case isAPI && isResponse:
		return fmt.Sprintf("%s (status %d, request %s)", api.ErrorCode(), response.HTTPStatusCode(), response.ServiceRequestID())
	case isAPI:
		return api.ErrorCode()
	case isResponse:
		return fmt.Sprintf("status %d, request %s", response.HTTPStatusCode(), response.ServiceRequestID())
	case isAddress:
		return fmt.Sprintf("%s: %v", address.Op, address.Err)
	default:
		return e.err.Error()
	}
}
