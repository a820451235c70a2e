// Package hook decodes the hooks amoCRM sends: of the account, of a digital
// pipeline, of a widget, form-encoded or JSON (amocrm-api.md §6).
//
// It is not their receiver: it has no server, no client and no dictionary, and
// what a hook changes is for card and delivery to say.
package hook
