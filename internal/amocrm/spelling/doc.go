// Package spelling is how texts, names, ids and numbers are written in amoCRM
// and by the people who use it: what a text may carry, when two names are the
// same, what counts as an id, a number, an amount.
//
// It knows no dictionary and no field types; those are in dict and items.
package spelling
