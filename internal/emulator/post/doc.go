// Package post delivers the emulated account's hooks as amoCRM does: in order for
// each destination, destinations side by side, with its timeout and its second
// and later attempts (amocrm-api.md §6.1, §6.7).
//
// It does not know what is in a hook, who subscribed to it, or when a
// destination is given up; that is the account's to say, which is told of every attempt.
package post
