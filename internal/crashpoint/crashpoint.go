//go:build !crash

// Package crashpoint names the moments at which the crash tests kill the bridge.
// In ordinary builds it is empty. A binary built with -tags crash kills itself
// with SIGKILL at the n-th passing of a point, as BRIDGE_CRASH=point:n says.
package crashpoint

// At marks a moment. It does nothing in this build.
func At(string) {}

// Pin marks the goroutine that syncs the file. It does nothing in this build.
func Pin() {}
