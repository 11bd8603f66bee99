package sqstest

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

const (
	defaultRegion  = "us-east-1"
	defaultAccount = "000000000000"
)

// place is a region of an account. What lies in one knows nothing of the others.
type place struct{ region, account string }

// queueKey is where a queue is found.
type queueKey struct {
	place

	name string
}

// Region sets the region of method calls, of [Server.Client] and of requests without a signature; "" means us-east-1.
// A signed request is for the region in the credential scope of its signature, as with the service.
// It panics when the name is not one of lower-case letters, digits and hyphens.
func Region(name string) Option {
	if name != "" && !isRegion(name) {
		panic(fmt.Sprintf("sqstest: Region is %q, want lower-case letters, digits and hyphens, such as eu-west-1", name))
	}
	return func(s *Server) { s.home.region = cmp.Or(name, defaultRegion) }
}

// Account sets the account of method calls and of requests; "" means 000000000000.
// A signed request whose access key id is a number of 12 digits is for the account of that number instead.
// It panics when the id has not 12 digits.
func Account(id string) Option {
	if id != "" && !isAccount(id) {
		panic(fmt.Sprintf("sqstest: Account is %q, want 12 digits", id))
	}
	return func(s *Server) { s.home.account = cmp.Or(id, defaultAccount) }
}

func isRegion(name string) bool {
	const longest = 63 // it is a label of a host's name
	return name != "" && len(name) <= longest && !strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-'
	})
}

func isAccount(id string) bool {
	return len(id) == len(defaultAccount) && !strings.ContainsFunc(id, func(r rune) bool { return r < '0' || r > '9' })
}

// arn returns the queue's ARN.
func (k queueKey) arn() string {
	return "arn:" + partition(k.region) + ":sqs:" + k.region + ":" + k.account + ":" + k.name
}

// partition returns the group of regions a region belongs to, which stands in its ARNs.
func partition(region string) string {
	for _, p := range []struct{ prefix, partition string }{
		{"cn-", "aws-cn"},
		{"us-gov-", "aws-us-gov"},
		{"us-iso-", "aws-iso"},
		{"us-isob-", "aws-iso-b"},
		{"eu-isoe-", "aws-iso-e"},
		{"us-isof-", "aws-iso-f"},
		{"eusc-", "aws-eusc"},
	} {
		if strings.HasPrefix(region, p.prefix) {
			return p.partition
		}
	}
	return "aws"
}

// parseARN takes a queue's ARN apart.
func parseARN(arn string) (k queueKey, ok bool) {
	const fields = 6
	if !strings.HasPrefix(arn, "arn:") {
		return k, false
	}
	f := strings.SplitN(arn, ":", fields)
	if len(f) != fields {
		return k, false
	}
	return queueKey{place{f[3], f[4]}, f[5]}, true
}

// nameOf takes a queue's URL, ARN or name.
func nameOf(queue string) string {
	queue = queue[strings.LastIndexByte(queue, '/')+1:]
	return queue[strings.LastIndexByte(queue, ':')+1:]
}

// accountOf returns what stands before the name in a queue's URL: the account, if it is one.
func accountOf(url string) string {
	end := strings.LastIndexByte(url, '/')
	if end < 0 {
		return ""
	}
	return url[strings.LastIndexByte(url[:end], '/')+1 : end]
}

// keyOf returns which queue a URL, an ARN or a name means in a call that comes from there. The caller holds s.mu.
//
// The host of a URL does not count, nor does an account that this server does not know: so a URL of production finds
// the queue of its name.
func (s *Server) keyOf(queue string, from place) queueKey {
	if k, ok := parseARN(queue); ok {
		return k
	}
	if account := accountOf(queue); s.accounts[account] {
		from.account = account
	}
	return queueKey{from, nameOf(queue)}
}

type placeKey struct{}

// withPlace returns a context whose calls come from p.
func withPlace(ctx context.Context, p place) context.Context {
	return context.WithValue(ctx, placeKey{}, p)
}

// placeOf returns where a call comes from.
func (s *Server) placeOf(ctx context.Context) place {
	if p, ok := ctx.Value(placeKey{}).(place); ok {
		return p
	}
	return s.home
}

// near returns a context whose calls come from where a queue is, if that is its ARN.
func near(queue string) context.Context {
	if k, ok := parseARN(queue); ok {
		return withPlace(context.Background(), k.place)
	}
	return context.Background()
}

// sender returns the request's context, whose calls come from where its signature says. Signatures are not checked.
func (s *Server) sender(r *http.Request) context.Context {
	from := s.home
	accessKey, region := credentialScope(r.Header.Get("Authorization"))
	if isRegion(region) {
		from.region = region
	}
	if isAccount(accessKey) {
		from.account = accessKey
	}
	if from == s.home {
		return r.Context()
	}
	return withPlace(r.Context(), from)
}

// credentialScope reads the header Authorization: "AWS4-HMAC-SHA256 Credential=KEY/DATE/REGION/sqs/aws4_request, …".
// It returns "" for both when there is no such scope.
func credentialScope(authorization string) (accessKey, region string) {
	_, scope, found := strings.Cut(authorization, "Credential=")
	if !found {
		return "", ""
	}
	scope, _, _ = strings.Cut(scope, ",")
	scope, found = strings.CutSuffix(strings.TrimSpace(scope), "/aws4_request")
	if !found {
		return "", ""
	}
	scope, _ = cutLast(scope) // the service
	scope, region = cutLast(scope)
	accessKey, _ = cutLast(scope) // without the date
	if accessKey == "" {
		return "", "" // a signature for several regions tells none here
	}
	return accessKey, region
}

func cutLast(path string) (before, last string) {
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return "", path
	}
	return path[:i], path[i+1:]
}

// labelOf returns how Stats and Events tell a queue: by its name, or by its ARN if it is not where method calls are.
func (s *Server) labelOf(k queueKey) string {
	if k.place == s.home {
		return k.name
	}
	return k.arn()
}

// labelOfCall returns the label of the queue that a call is on; "" if it is on none.
func (s *Server) labelOfCall(ctx context.Context, queue *string) string {
	if text(queue) == "" {
		return ""
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.labelOf(s.keyOf(*queue, s.placeOf(ctx)))
}

// noSuchQueue is NoSuchQueue, and points to a queue of that name elsewhere, which the caller may have meant.
func (s *Server) noSuchQueue(name string, from place) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var other *queue
	for k, q := range s.queues {
		if k.name == name && (other == nil || q.arn < other.arn) {
			other = q
		}
	}
	if other == nil {
		return NoSuchQueue()
	}
	return &types.QueueDoesNotExist{
		Message: new(fmt.Sprintf("The specified queue does not exist. This call is for %s, account %s; there is a queue of this name in %s, account %s.",
			from.region, from.account, other.region, other.account)),
		ErrorCodeOverride: new(legacyPrefix + "NonExistentQueue"),
	}
}
