package delivery

import (
	"slices"

	"github.com/jivo-amocrm/bridge/internal/amocrm/items"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/jivo"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// follow puts off an event that goes on with what an earlier one began, until
// that one is settled. The line of a client does not see to it: an event leaves
// it as soon as contact and lead are settled, with its notes, calls and tasks
// still to come (product.md §8.3).
//
//   - A task or a call is made once and then changed: what changes it must know
//     its id. Such an event leaves the line while it waits, for it keeps nobody
//     else from anything.
//   - A person deleted in Jivo is forgotten with everything that is still to be
//     done for them: what came before is done first, and nothing overtakes.
func (j *job) follow() event.Ending {
	m := j.msg
	var same func(*store.Tx, *event.Event) bool
	f := store.Filter{Client: m.Client}
	switch {
	case m.Kind == "call_event" && m.Chat != "":
		f = store.Filter{Chat: m.Chat, Kind: m.Kind}
		same = func(*store.Tx, *event.Event) bool { return true }
	case m.Client == "":
		return nil
	case m.Task != "" && slices.Contains(needsClient, m.Kind):
		same = func(tx *store.Tx, ev *event.Event) bool {
			o, err := jivo.Decode(tx.Body(ev.Seq))
			return err == nil && o.Task == m.Task
		}
	case m.Kind == "deleted_client":
		same = func(*store.Tx, *event.Event) bool { return true }
	default:
		return nil
	}
	first, err := j.unsettled(f, same)
	if err != nil {
		return event.Retry{Err: err}
	}
	if first == nil {
		return nil
	}
	if m.Kind != "deleted_client" {
		j.mu.Lock()
		j.ev.Detached = true
		j.mu.Unlock()
	}
	return event.Snooze{Until: first.NextAt, Why: "goes on with what event " + id(int64(first.Seq)) + " began"} // by the shortest at least
}

// unsettled returns an event that came before this one, is still pending and is
// what same looks for; nil if there is none.
func (j *job) unsettled(f store.Filter, same func(*store.Tx, *event.Event) bool) (first *event.Event, err error) {
	f.Connection, f.Source, f.State, f.Before = j.c.Name, event.Jivo, event.Pending, j.seq
	err = j.d.store.View(func(tx *store.Tx) error {
		for {
			evs, next, err := tx.Events(f)
			for _, ev := range evs {
				if same(tx, ev) {
					first = ev
					return nil
				}
			}
			if err != nil || next == 0 {
				return err
			}
			f.Before = next
		}
	})
	return first, err
}

// underWay reports whether a task of this rule is about to be made there: by an earlier
// event of the client, or by one of anybody else who leads to the same place. Whoever
// shares a phone shares the lead as well, and their lines do not wait for each other. One
// whose lead is in doubt has none yet, but its marker may stand on the one that was found.
func (b *builder) underWay(entity string, entityID int64, rule string) (soon bool, err error) {
	j := b.j
	found := func(ch event.Change) bool {
		l := b.f.lead
		return l != nil && l.Lead.ID == entityID && items.HasMarker(l.Lead.Fields[marked(ch)].Text(), ch.Marker)
	}
	makes := func(ev *event.Event) bool {
		return slices.ContainsFunc(ev.Changes, func(ch event.Change) bool {
			return ch.Op == event.OpCreate && ch.Target == event.OnTask && ch.Rule == rule && (ch.State == event.Open || ch.State == event.Sent)
		})
	}
	if j.msg.Client != "" {
		first, err := j.unsettled(store.Filter{Client: j.msg.Client}, func(_ *store.Tx, ev *event.Event) bool { return makes(ev) })
		if err != nil || first != nil {
			return first != nil, err
		}
	}
	err = j.d.store.View(func(tx *store.Tx) error {
		clients := tx.ClientsByLead(j.c.Name, entityID)
		if entity == contacts {
			clients = tx.ClientsByContact(j.c.Name, entityID)
		}
		clients = slices.Compact(slices.Sorted(slices.Values(append(clients, j.namesakes(tx, j.c.Name)...)))) // who is not linked there yet
		for _, client := range clients {
			evs, _, err := tx.Events(store.Filter{Connection: j.c.Name, Source: event.Jivo, Client: client, State: event.Pending, Limit: 100})
			if err != nil {
				return err
			}
			soon = soon || slices.ContainsFunc(evs, func(ev *event.Event) bool {
				m := ev.Lead
				if entity == contacts {
					m = ev.Contact
				}
				there := m != nil && m.ID == entityID || slices.ContainsFunc(ev.Changes, func(ch event.Change) bool {
					return ch.Op == event.OpCreate && ch.Target == event.OnLead && ch.State == event.Sent && found(ch)
				})
				return ev.Seq != j.seq && ev.Frozen && there && makes(ev)
			})
		}
		return nil
	})
	return soon, err
}
