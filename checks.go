package sluice

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sluice-go/sluice/internal/queue"
)

// checkClient tells what is wrong with a client.
func checkClient(client Client) error {
	switch {
	case client == nil:
		return errors.New("client is nil, want one such as *sqs.Client")
	case isNil(client):
		return fmt.Errorf("client is a %T that is nil, want one such as *sqs.Client", client)
	default:
		return nil
	}
}

// isNil reports whether the value in an interface is nil.
func isNil(v any) bool {
	switch value := reflect.ValueOf(v); value.Kind() {
	case reflect.Pointer, reflect.Map, reflect.Func, reflect.Slice, reflect.Chan:
		return value.IsNil()
	default:
		return false
	}
}

// checkAttributes tells which names are no system attributes. SQS would refuse each receive.
func (f *faults) checkAttributes(names []types.MessageSystemAttributeName) {
	known := types.MessageSystemAttributeName("").Values()
	for _, name := range names {
		if !slices.Contains(known, name) {
			f.add(fmt.Errorf("SystemAttributes has %q, want names of %v", name, known))
		}
	}
}

// checkDeadLetterQueue tells what is wrong with the dead-letter queue of a queue.
func (f *faults) checkDeadLetterQueue(client Client, queueURL, deadURL string) {
	if deadURL == "" {
		return
	}
	if err := checkURL("DeadLetterQueueURL", deadURL); err != nil {
		f.add(err)
	} else if sameQueue(queueURL, deadURL) {
		f.add(fmt.Errorf("DeadLetterQueueURL is %q, which is the queue itself, want another one", deadURL))
	} else if isFIFO(deadURL) && !isFIFO(queueURL) { // as SQS asks of its own: the messages have no group
		f.add(fmt.Errorf("DeadLetterQueueURL is %q, a FIFO queue, want a standard queue as the queue is one", deadURL))
	}
	if _, ok := client.(queue.Sender); !ok {
		f.add(fmt.Errorf("DeadLetterQueueURL is set but %T has no SendMessage, want a client that has", client))
	}
}

// sameQueue reports whether two URLs name one queue. A client of the SDK sends each request to its own
// endpoint, whatever the host in a queue's URL, so the account and the name tell; unless
// the hosts are AWS's, of different regions.
func sameQueue(a, b string) bool {
	regionA, _ := regionIn(a)
	regionB, _ := regionIn(b)
	if regionA != "" && regionB != "" && regionA != regionB {
		return false
	}
	return pathOf(a) == pathOf(b)
}

// pathOf returns the account and the name in the URL of a queue.
func pathOf(queueURL string) string {
	u, err := url.Parse(queueURL)
	if err != nil {
		return queueURL
	}
	parts := strings.FieldsFunc(u.Path, func(c rune) bool { return c == '/' })
	return strings.Join(parts[max(0, len(parts)-2):], "/")
}

// checkRegions is checkRegion for a queue and its dead-letter queue. It returns the doubts.
func (f *faults) checkRegions(client Client, queueURL, deadURL string) (doubts []error) {
	for _, q := range []struct{ field, url string }{{"queueURL", queueURL}, {"DeadLetterQueueURL", deadURL}} {
		mistake, doubt := checkRegion(client, q.field, q.url)
		f.add(mistake)
		if doubt != nil {
			doubts = append(doubts, doubt)
		}
	}
	return doubts
}

// checkRegion compares the region in the URL of a queue with the one that the client calls.
// Another one is a mistake if nothing else says where the client's requests go; else it is
// a doubt.
func checkRegion(client Client, field, queueURL string) (mistake, doubt error) {
	o, ok := optionsOf(client)
	region, public := regionIn(queueURL)
	if !ok || region == "" || o.Region == "" || region == o.Region {
		return nil, nil
	}
	err := fmt.Errorf("%s is %q, of region %s, but the client is of %s, want the same", field, queueURL, region, o.Region)
	if public && goesWhereItsRegionIs(&o) {
		return err, nil
	}
	return nil, err
}

// goesWhereItsRegionIs reports whether nothing but its region says where the requests of a client go.
func goesWhereItsRegionIs(o *sqs.Options) bool {
	switch c := queue.Inner(o.HTTPClient).(type) {
	case *awshttp.BuildableClient:
	case *http.Client:
		if c.Transport != nil {
			return false
		}
	default:
		return false
	}
	byRegion := reflect.TypeOf(sqs.NewDefaultEndpointResolverV2())
	old := o.EndpointResolver //nolint:staticcheck // and still heeded
	return o.BaseEndpoint == nil && old == nil && reflect.TypeOf(o.EndpointResolverV2) == byRegion
}

// regionOf returns the region that a client of the SDK calls; else the one that the URL of the queue
// names. "": neither tells.
func regionOf(client Client, queueURL string) string {
	if o, ok := optionsOf(client); ok && o.Region != "" {
		return o.Region
	}
	region, _ := regionIn(queueURL)
	return region
}

// optionsOf returns the options of a client of the SDK, also where another type embeds it.
func optionsOf(client Client) (o sqs.Options, ok bool) {
	c, ok := client.(interface{ Options() sqs.Options })
	if !ok || isNil(client) {
		return o, false
	}
	err := guard(func() error { // what is embedded may be nil
		o = c.Options()
		return nil
	})
	return o, err == nil
}

// regionIn returns the region that the URL of a queue names, and whether the host is one of AWS's public
// ones, which serve that region only.
func regionIn(queueURL string) (region string, public bool) {
	u, err := url.Parse(queueURL)
	if err != nil {
		return "", false
	}
	host := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	for _, domain := range []string{".amazonaws.com", ".amazonaws.com.cn", ".api.aws", ".api.amazonwebservices.com.cn"} {
		if name, found := strings.CutSuffix(host, domain); found {
			return regionOfHost(strings.Split(name, "."))
		}
	}
	return "", false
}

// regionOfHost is regionIn for the parts of a host's name in front of AWS's domain.
func regionOfHost(parts []string) (region string, public bool) {
	n := len(parts)
	switch {
	case n == 1 && parts[0] == "queue": // as URLs were written first
		return "us-east-1", true
	case n == 2 && parts[1] == "queue": // and then
		return parts[0], true
	case n == 2 && (parts[0] == "sqs" || parts[0] == "sqs-fips"):
		return parts[1], true
	case n >= 4 && parts[n-1] == "vpce" && parts[n-3] == "sqs": // an interface endpoint, which a resolver may lead anywhere
		return parts[n-2], false
	default:
		return "", false
	}
}
