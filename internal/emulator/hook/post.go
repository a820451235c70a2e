package hook

import (
	"slices"
	"strings"
	"time"

	"github.com/jivo-amocrm/bridge/internal/emulator/book"
	"github.com/jivo-amocrm/bridge/internal/emulator/post"
)

// shuffleWithin is how far hooks may come out of order (amocrm-api.md §6.7).
const shuffleWithin = 2 * time.Second

// Post hands what was gathered to the courier, for every destination that
// wants it.
func (o *Outbox) Post() {
	items := o.items
	o.items = nil
	for _, s := range o.book.Hooks {
		if s.Disabled {
			continue
		}
		for _, group := range o.group(wanted(items, s.Settings)) {
			o.post(s.Destination, o.form(group), s)
		}
	}
}

func wanted(items []item, settings []string) []item {
	var out []item
	for _, it := range items {
		if slices.ContainsFunc(strings.Split(it.settings, ","), func(s string) bool { return slices.Contains(settings, s) }) {
			out = append(out, it)
		}
	}
	return out
}

// group puts equal neighbours into one POST if the account does so (amocrm-api.md §6.1).
func (o *Outbox) group(items []item) [][]item {
	var out [][]item
	for _, it := range items {
		if n := len(out); o.opt.Group && n > 0 && out[n-1][0].entity == it.entity && out[n-1][0].action == it.action {
			out[n-1] = append(out[n-1], it)
			continue
		}
		out = append(out, []item{it})
	}
	return out
}

// post queues one hook, with the account's share of bad luck.
func (o *Outbox) post(destination, body string, s *book.Subscription) {
	if o.luck.Chance(o.opt.Loss) {
		return
	}
	h := &post.Hook{URL: destination, Body: body, ID: o.luck.UUID(), Account: s != nil, Retries: s != nil || o.opt.DPRetries}
	if o.luck.Chance(o.opt.Shuffle) {
		h.Due = time.Now().Add(o.luck.Within(shuffleWithin))
	}
	twin := *h // before the courier has it
	o.courier.Put(h)
	if o.luck.Chance(o.opt.Duplicate) {
		o.courier.Put(&twin)
	}
}

// The auto-disable rule of amocrm-api.md §6.7.
const (
	invalidMost   = 100
	invalidWithin = 2 * time.Hour
)

// Attempted is the courier's word on one attempt; it says whether an invalid
// one may be tried again.
func (o *Outbox) Attempted(h *post.Hook, valid bool) (retry bool) {
	if !h.Account {
		return true
	}
	now := o.now()
	for _, s := range o.book.Hooks {
		if s.Destination != h.URL || valid {
			continue
		}
		s.Invalid = append(slices.DeleteFunc(s.Invalid, func(t int64) bool { return t < now.Add(-invalidWithin).Unix() }), now.Unix())
		if len(s.Invalid) > invalidMost {
			s.Disabled = true
			o.courier.Drop(h.URL)
		}
		return !s.Disabled
	}
	return true
}
