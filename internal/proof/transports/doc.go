// Package transports lets consumers reach SQS over the networks that users have.
//
// Each row of a matrix is one kind of network: TLS with and without HTTP/2, proxies,
// gateways that answer with pages of their own, servers that close connections, links
// that are slow. Over each, three clients consume a thousand messages: that of
// sluice.NewClient, the SDK's, and one with an HTTP client of the user's own. No message
// may be lost. None may be received twice, unless the row says why.
//
// Everything is in test files: nothing of it is shipped.
package transports
