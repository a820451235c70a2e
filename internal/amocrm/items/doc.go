// Package items makes the wire items a Client writes: leads, contacts,
// companies, links, notes, calls and tasks, shaped against what is known of the
// entity and of the account, and the markers by which they are found again.
//
// It is pure: it sends nothing, keeps nothing, and asks nobody. What is wanted
// is mapping's to say; when an item goes, and with which others, the client's.
package items
