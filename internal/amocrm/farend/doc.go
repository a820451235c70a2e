// Package farend is the far end of a connection for tests: a real HTTP server
// over net.Pipe inside a synctest bubble, which remembers what arrived when and
// answers what a test tells it. It is no amoCRM, and knows none of its rules;
// that is the emulator. The product never imports it.
package farend
