package wire

import (
	"os"
	"reflect"
	"slices"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// stock is what a client is like that nobody has set up.
var stock = sync.OnceValue(func() sqs.Options { return sqs.New(sqs.Options{}).Options() })

// usual reports whether a client is the SDK's own in all its parts.
func usual(o *sqs.Options) bool {
	own := stock()
	_, once := o.Retryer.(aws.NopRetryer)
	_, fitted := o.Protocol.(protocol)
	return once && fitted && o.ClientLogMode == 0 && o.Credentials != nil &&
		o.EndpointResolver == nil && //nolint:staticcheck // deprecated, and still obeyed
		same(o.EndpointResolverV2, own.EndpointResolverV2) && same(o.AuthSchemeResolver, own.AuthSchemeResolver) &&
		same(o.HTTPSignerV4, own.HTTPSignerV4) && same(o.TracerProvider, own.TracerProvider) && same(o.MeterProvider, own.MeterProvider) &&
		len(o.AuthSchemePreference) == 0 && signs(o) && uninterrupted(&o.Interceptors)
}

func same(part, theirs any) bool { return reflect.TypeOf(part) == reflect.TypeOf(theirs) }

// signs reports whether it is the client's signer that signs requests, in the SDK's only
// scheme, and silently.
func signs(o *sqs.Options) bool {
	own := stock().AuthSchemes
	if len(own) != 1 || len(o.AuthSchemes) != 1 || !same(o.AuthSchemes[0], own[0]) || o.AuthSchemes[0].SchemeID() != own[0].SchemeID() {
		return false
	}
	with := o.AuthSchemes[0].Signer()
	adapter := reflect.Indirect(reflect.ValueOf(with)) // of a type that is internal to the SDK, and may be another one day
	if !same(with, own[0].Signer()) || adapter.Kind() != reflect.Struct {
		return false
	}
	signer, logs := adapter.FieldByName("Signer"), adapter.FieldByName("LogSigning")
	return signer.IsValid() && signer.CanInterface() && signer.Interface() == any(o.HTTPSignerV4) && logs.Kind() == reflect.Bool && !logs.Bool()
}

// uninterrupted reports whether there are no interceptors, of any kind.
func uninterrupted(i *smithyhttp.InterceptorRegistry) bool {
	kinds := reflect.ValueOf(i).Elem()
	for _, kind := range kinds.Fields() {
		if kind.Kind() != reflect.Slice || kind.Len() > 0 { // a later version's may be something else
			return false
		}
	}
	return true
}

// steps are the SDK's middleware, by its names. Where there is anything else, be it the
// user's or a later version's, the shortcut is not taken.
var steps = [][]string{
	{"OperationInputValidation", "SQSValidateMessageChecksum", "SetLongPollingContext"}, // the latter two for receives, and the checksum where it is not switched off
	{"setOperationInput", "ResolveEndpoint", "OperationSerializer"},
	{"ClientRequestID", "UserAgent", "RecursionDetection"},
	{
		"InterceptBeforeRetryLoop", "Retry", "InterceptAttempt", "ResolveAuthScheme", "GetIdentity", "ResolveEndpointV2", "disableHTTPS",
		"ComputePayloadHash", "setLegacyContextSigningOptions", "Signing",
	},
	{
		"AddRawResponseToMetadata", "ResponseErrorWrapper", "RequestIDRetriever", "OperationDeserializer", "RecordResponseTiming",
		"RequestResponseLogger",
	},
}

// unchanged reports whether stack is the SDK's, with the shortcut.
func unchanged(stack *middleware.Stack) bool {
	for _, id := range stack.Initialize.List() {
		if id != shortcutID && !slices.Contains(steps[0], id) {
			return false
		}
	}
	return slices.Equal(stack.Serialize.List(), steps[1]) && slices.Equal(stack.Build.List(), steps[2]) &&
		slices.Equal(stack.Finalize.List(), steps[3]) && slices.Equal(stack.Deserialize.List(), steps[4])
}

// invoked reports whether this is a Lambda function that has been invoked. The SDK passes
// on each invocation's trace.
func invoked() bool {
	if _, function := os.LookupEnv("AWS_LAMBDA_FUNCTION_NAME"); !function {
		return false
	}
	_, trace := os.LookupEnv("_X_AMZN_TRACE_ID")
	return trace
}
