package delivery

import (
	"context"
	"slices"
	"strings"

	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/jivo"
	"github.com/jivo-amocrm/bridge/internal/mapping"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// coalesced are the kinds that say again all they said before: of several that
// wait, the last one's write stands for those before it.
var coalesced = []string{"chat_updated", "client_updated", "updated_client", "updated_client_contacts"}

// superseded reports which waiting event of the same line will write everything
// this one would: under a backlog several updates of one contact or lead become
// one request. It is 0 if there is none, or if anything would be lost.
func (j *job) superseded(ctx context.Context, in *mapping.Input, f *found, want event.Desired) uint64 {
	if !slices.Contains(coalesced, j.msg.Kind) || j.ev.Replays > 0 || len(want.Notes)+len(want.Tasks)+len(want.Calls) > 0 {
		return 0
	}
	if in.Last == nil && slices.Contains(clientStates, j.msg.Kind) {
		return 0 // the next is compared with this first sight of the client
	}
	if (want.Contact != nil && f.contact == nil) || (want.Lead != nil && f.lead == nil) {
		return 0 // something is to be made: others wait for it
	}
	next, body := j.behind()
	if next == nil || next.Kind != j.ev.Kind || next.Chat != j.ev.Chat || next.Frozen {
		return 0
	}
	m, err := jivo.Decode(body)
	if err != nil || m.Client != j.msg.Client {
		return 0
	}
	picture := *j.client
	picture.Phones, picture.Emails, picture.Tags = slices.Clone(picture.Phones), slices.Clone(picture.Emails), slices.Clone(picture.Tags)
	m.Describe(&picture, j.c.Region, toldAt(next, &picture))
	then := *in
	then.Fields, then.Received, then.Client = m.Fields, next.ReceivedAt, &picture
	plan, err := j.c.Program.Plan(&then)
	if err != nil {
		return 0
	}
	later, err := j.c.Program.Desired(&then, plan, j.inWords(f))
	if err != nil || !covers(later.Contact, want.Contact) || !covers(later.Lead, want.Lead) {
		return 0
	}
	return next.Seq
}

// behind is the event that waits next in this one's line.
func (j *job) behind() (next *event.Event, body []byte) {
	if j.ev.Line == "" || j.ev.Detached {
		return nil, nil
	}
	_ = j.d.store.View(func(tx *store.Tx) error { // without it nothing is coalesced
		seq, ok := tx.Behind(j.ev.Connection, j.ev.Line, j.seq)
		if !ok {
			return nil
		}
		ev, err := tx.Event(seq)
		if err != nil {
			return err
		}
		next, body = ev, tx.Body(seq)
		return nil
	})
	return next, body
}

// covers reports whether writing b leaves nothing of a unwritten.
func covers(b, a *event.Entity) bool {
	if a == nil {
		return true
	}
	if b == nil || b.Update != a.Update {
		return false
	}
	for _, pair := range [][2]string{
		{a.Name, b.Name}, {a.Company, b.Company}, {a.Price, b.Price}, {a.Pipeline, b.Pipeline}, {a.Stage, b.Stage},
		{a.LossReason, b.LossReason}, {a.Responsible, b.Responsible},
	} {
		if strings.TrimSpace(pair[0]) != "" && strings.TrimSpace(pair[1]) == "" {
			return false
		}
	}
	for key, v := range a.Fields {
		if v != "" && b.Fields[key] == "" {
			return false
		}
	}
	return within(a.Phones, b.Phones) && within(a.Emails, b.Emails) && within(a.Tags, b.Tags) &&
		within(a.TagsRemove, b.TagsRemove) && within(a.Changed, b.Changed)
}

func within(a, b []string) bool {
	return !slices.ContainsFunc(a, func(s string) bool { return strings.TrimSpace(s) != "" && !slices.Contains(b, s) })
}
