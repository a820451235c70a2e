// Package rest turns the entities of amoCRM's REST answers into those of event.
//
// It makes no request; the reads are the Client's. Hooks carry the same entities
// in another shape; those are decoded in hook.
package rest
