// Package ops shows people and machines how the consumers of a process do: health
// endpoints for Kubernetes, and a live page for a browser. Both are plain handlers of
// net/http, and need nothing beyond the standard library.
//
//	mux := http.NewServeMux()
//	health := ops.Health(orders, refunds)
//	mux.Handle("/livez", health)
//	mux.Handle("/readyz", health)
//	mux.Handle("/statusz", health)
//	page := ops.Page(orders, refunds)
//	go page.Record(ctx) // so that the first look shows the last ten minutes
//	mux.Handle("/sluice/", http.StripPrefix("/sluice", page))
//	server := &http.Server{Addr: "127.0.0.1:8080", Handler: mux}
//	server.RegisterOnShutdown(page.Close)
//
// Neither shows a body, an attribute or a receipt handle. The page and /statusz show names
// of queues and texts of errors as they are: the texts of SQS name accounts and roles, and
// those of your handlers say what you wrote. So serve them where only your team comes: on a
// loopback address or a port that is not published, or behind your own authentication.
//
// In the repository, docs/observing.md says what to look at.
package ops

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/sluice-go/sluice"
)

// check panics if there is no consumer, or one is nil: that is a mistake of the program, and
// nothing could be shown.
func check(consumers []*sluice.Consumer) {
	if len(consumers) == 0 {
		panic("ops: there are no consumers, want at least one")
	}
	for i, c := range consumers {
		if c == nil {
			panic(fmt.Sprintf("ops: consumer %d is nil, want one made by sluice.New", i))
		}
	}
}

// namesOf returns what the queues of consumers are called: the name of each queue, with a
// number where several have the same.
func namesOf(consumers []*sluice.Consumer) []string {
	names := make([]string, len(consumers))
	seen := map[string]int{}
	for i, c := range consumers {
		name := nameOf(c.QueueURL())
		seen[name]++
		if n := seen[name]; n > 1 {
			name = fmt.Sprintf("%s #%d", name, n)
		}
		names[i] = name
	}
	return names
}

// nameOf returns the name in the URL of a queue, without host and account. "" stays "".
func nameOf(queueURL string) string {
	path := queueURL
	if u, err := url.Parse(queueURL); err == nil {
		path = u.Path
	}
	path = strings.TrimRight(path, "/")
	return path[strings.LastIndexByte(path, '/')+1:]
}
