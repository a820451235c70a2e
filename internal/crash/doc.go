// Package crash kills the real bridge, again and again, and counts what is lost
// or doubled. It holds tests only.
package crash
