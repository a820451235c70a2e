//go:build !unix || solaris || aix

package main

// isLocked cannot tell here; opening the store will.
func isLocked(string) bool { return false }
