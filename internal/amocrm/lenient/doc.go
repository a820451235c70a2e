// Package lenient decodes JSON as amoCRM gives it rather than as it is
// documented: numbers in strings, booleans for numbers, null for lists, objects
// for lists of one (amocrm-api.md §7.10). Nothing here ever fails: what has a
// wrong shape is empty, and costs its neighbours nothing.
//
// It knows no entity of amoCRM; those are in rest.
package lenient
