package store

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/jivo-amocrm/bridge/internal/event"
)

// Every filter against going through all events by hand, page by page.
func TestFilter_Model(t *testing.T) {
	s := open(t, Options{})
	states := []event.State{event.Pending, event.Parked, event.Done, event.Skipped, event.Dead}
	var all []*event.Event
	for i := range 120 {
		in := incoming(fmt.Sprint(i % 5))
		in.Event.Connection = []string{"shop", "shop2", "a"}[i%3]
		in.Event.Kind = []string{"chat_updated", "chat_finished"}[i%2]
		in.Event.Source = []event.Source{event.Jivo, event.AmoCRM}[i/7%2]
		in.Event.State = states[i/3%5]
		in.Event.Reason = []event.Reason{"", event.NoRule, event.Refused}[i/11%3]
		in.Event.Chat = []string{"", "1", "2"}[i/4%3]
		a := mustAppend(t, s, in)
		change(t, s, a.Seq, func(ev *event.Event) {
			switch i % 4 {
			case 1:
				ev.Lead = &event.Match{ID: int64(i % 3)}
			case 2:
				ev.Contact = &event.Match{ID: 2}
				ev.Changes = []event.Change{{Target: event.OnLead, AmoID: int64(i % 3)}, {Target: event.OnNote, AmoID: 1}}
			}
		})
		all = append(all, read(t, s, a.Seq))
	}
	slices.Reverse(all)
	rapid.Check(t, func(rt *rapid.T) {
		f := Filter{
			Connection: rapid.SampledFrom([]string{"", "", "shop", "shop2", "nobody"}).Draw(rt, "connection"),
			Source:     rapid.SampledFrom([]event.Source{"", "", event.Jivo}).Draw(rt, "source"),
			Kind:       rapid.SampledFrom([]string{"", "", "chat_updated"}).Draw(rt, "kind"),
			State:      rapid.SampledFrom(append(states, "", "")).Draw(rt, "state"),
			Reason:     rapid.SampledFrom([]event.Reason{"", "", event.NoRule}).Draw(rt, "reason"),
			Client:     rapid.SampledFrom([]string{"", "", "1"}).Draw(rt, "client"),
			Chat:       rapid.SampledFrom([]string{"", "", "1"}).Draw(rt, "chat"),
			AmoID:      rapid.SampledFrom([]int64{0, 0, 1, 2}).Draw(rt, "amo"),
			Limit:      rapid.IntRange(0, 20).Draw(rt, "limit"),
			Before:     rapid.SampledFrom([]uint64{0, 1, 60, 500}).Draw(rt, "before"),
		}
		var want []uint64
		for _, ev := range all {
			if f.match(ev) && (f.AmoID == 0 || concerns(ev, f.AmoID)) && (f.Before == 0 || ev.Seq < f.Before) {
				want = append(want, ev.Seq)
			}
		}
		var got []uint64
		err := s.View(func(tx *Tx) error {
			for page := f; ; {
				evs, next, err := tx.Events(page)
				if err != nil {
					return err
				}
				if f.Limit > 0 && len(evs) > f.Limit {
					rt.Fatalf("%d events on a page of %d", len(evs), f.Limit)
				}
				for _, ev := range evs {
					got = append(got, ev.Seq)
				}
				if next == 0 {
					return nil
				}
				page.Before = next
			}
		})
		if err != nil {
			rt.Fatal(err)
		}
		if !slices.Equal(got, want) {
			rt.Fatalf("%+v: got %v, want %v", f, got, want)
		}
	})
}

// concerns reports whether an event is about a lead or contact.
func concerns(ev *event.Event, id int64) bool {
	return (ev.Lead != nil && ev.Lead.ID == id) || (ev.Contact != nil && ev.Contact.ID == id) ||
		slices.ContainsFunc(ev.Changes, func(c event.Change) bool { return c.AmoID == id && c.Target != event.OnNote })
}

func TestFilter_TheLastPageSaysSo(t *testing.T) {
	s := open(t, Options{})
	for range 4 {
		mustAppend(t, s, incoming("7"))
	}
	view(t, s, func(tx *Tx) {
		for _, f := range []Filter{{Limit: 4}, {Limit: 4, Client: "7"}, {Limit: 2, Before: 3}, {Limit: 9}} {
			if evs, next, err := tx.Events(f); err != nil || next != 0 {
				t.Errorf("%+v: %d events, next %d, %v", f, len(evs), next, err)
			}
		}
	})
}

func TestFilter_LooksAtABoundedNumber(t *testing.T) {
	s := open(t, Options{})
	update(t, s, func(tx *Tx) error {
		for i := range scanLimit + 10 {
			in := incoming("7")
			if i == 0 {
				in.Event.Kind = "rare"
			}
			if _, err := tx.append(in); err != nil {
				return err
			}
		}
		return nil
	})
	view(t, s, func(tx *Tx) {
		evs, next, err := tx.Events(Filter{Kind: "rare"})
		if err != nil || len(evs) != 0 || next != 11 {
			t.Fatalf("first page: %d events, next %d, %v", len(evs), next, err)
		}
		evs, next, err = tx.Events(Filter{Kind: "rare", Before: next})
		if err != nil || len(evs) != 1 || next != 0 {
			t.Fatalf("second page: %d events, next %d, %v", len(evs), next, err)
		}
	})
}
