// Package budget is the transport under go-retryablehttp: every request to an
// account, retries and token requests included, has its place in the account's
// request budget before it leaves, and goes to no host but the account's
// (docs/adr/0004). It counts requests by when they can have reached the far end.
//
// It is not the queue above it, which decides what goes next and what shares a
// request, and it does not know what an answer means beyond "not now".
package budget
