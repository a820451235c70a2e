//go:build !race

package app_test

// underRace: the race detector makes a bubble ten times as slow.
const underRace = false
