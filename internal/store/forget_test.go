package store

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/jivo-amocrm/bridge/internal/event"
)

// canary is what must not be found anywhere once its person is forgotten.
const canary = "CANARY"

func personal(state event.State) event.Incoming {
	in := deduped("", "", "")
	in.Body = []byte(`{"text":"` + canary + `"}`)
	ev := &in.Event
	ev.State, ev.Chat = state, "c1"
	ev.Warnings = []string{canary}
	ev.Rules = []event.RuleTrace{{Rule: "r", Matched: true, Why: canary}}
	ev.Contact = &event.Match{ID: 5, By: "phone", Why: canary}
	ev.Lead = &event.Match{ID: 6, By: "chat", Why: canary}
	ev.Changes = []event.Change{{Key: "1 create lead", Target: event.OnLead, State: event.Settled, AmoID: 6, Item: json.RawMessage(`{"name":"` + canary + `"}`), Marker: canary, Error: canary}}
	ev.Requests = []event.Request{{Path: "/api/v4/leads", Status: 400, Answer: canary}}
	return in
}

func TestForget_LeavesNothingOfThePerson(t *testing.T) {
	s := open(t, Options{})
	in := personal(event.Done)
	in.Dedup = event.Dedup{Key: "offline|" + canary, Value: canary}
	done := mustAppend(t, s, in)
	var waiting []uint64
	for _, state := range []event.State{event.Pending, event.Parked, event.Dead, event.Skipped} {
		waiting = append(waiting, mustAppend(t, s, personal(state)).Seq)
	}
	update(t, s, func(tx *Tx) error {
		for _, rec := range []struct {
			b   Bucket
			key string
		}{
			{Cards, Key("shop", "lead", "6")}, {Cards, Key("shop", "contact", "5")}, {Last, Key("shop", "client", "7")},
			{Last, Key("shop", "client", "7", "updated_client")}, {Chats, Key("shop", "c1")}, {Chats, Key("shop", "c0")},
		} {
			if err := Set(tx, rec.b, rec.key, canary); err != nil {
				return err
			}
		}
		if err := Set(tx, Deals, Key("shop", "d1"), event.Deal{ID: "d1", Client: "7", LeadID: 6, Last: event.Object{"title": canary}}); err != nil {
			return err
		}
		return tx.PutClient("shop", &event.Client{
			ID: "7", Name: canary, Phones: []string{canary}, Emails: []string{canary}, ContactID: 5,
			Leads: []event.Link{{LeadID: 6, Chats: []string{"c1"}, Deal: "d1"}}, Held: []event.Held{{Chat: "c0", Text: canary}},
		})
	})
	if !strings.Contains(dump(t, s), canary) {
		t.Fatal("the test proves nothing")
	}
	update(t, s, func(tx *Tx) error { return tx.Forget("shop", "7") })
	for _, line := range strings.Split(dump(t, s), "\n") {
		if strings.Contains(line, canary) {
			t.Errorf("still there: %.200s", line)
		}
	}
	for i, want := range []event.Reason{event.Forgotten, event.Forgotten, "", ""} {
		ev := read(t, s, waiting[i])
		if ev.Reason != want || !ev.State.Settled() || ev.SettledAt.IsZero() {
			t.Errorf("event %d is %s, %q", ev.Seq, ev.State, ev.Reason)
		}
	}
	if ev := read(t, s, done.Seq); ev.State != event.Done || ev.Client != "7" || ev.Changes[0].AmoID != 6 || ev.Changes[0].Key == "" {
		t.Errorf("what was done is gone: %+v", ev)
	}
	view(t, s, func(tx *Tx) {
		if d, _, err := Get[event.Deal](tx, Deals, Key("shop", "d1")); err != nil || d.LeadID != 6 {
			t.Errorf("the deal no longer knows its lead: %+v, %v", d, err)
		}
	})
	verifyIndexes(t, s)
	if a := mustAppend(t, s, in); !a.Repeat || a.Of != done.Seq {
		t.Errorf("a redelivery is taken for new: %+v", a)
	}
}

func TestForget_SparesWhatOthersNeed(t *testing.T) {
	s := open(t, Options{})
	mine, theirs := mustAppend(t, s, incoming("7")), mustAppend(t, s, incoming("77"))
	elsewhere := incoming("7")
	elsewhere.Event.Connection = "other"
	third := mustAppend(t, s, elsewhere)
	update(t, s, func(tx *Tx) error {
		for _, key := range []string{Key("shop", "lead", "6"), Key("shop", "contact", "5"), Key("shop", "client", "77"), Key("other", "client", "7")} {
			if err := Set(tx, Cards, key, "kept"); err != nil {
				return err
			}
		}
		for _, id := range []string{"7", "77"} {
			c := &event.Client{ID: id, Phones: []string{"+7"}, ContactID: 5, Leads: []event.Link{{LeadID: 6}}}
			if err := tx.PutClient("shop", c); err != nil {
				return err
			}
		}
		return tx.PutClient("other", &event.Client{ID: "7"})
	})
	update(t, s, func(tx *Tx) error { return tx.Forget("shop", "7") })
	view(t, s, func(tx *Tx) {
		if tx.HasClient("shop", "7") || !tx.HasClient("shop", "77") || !tx.HasClient("other", "7") {
			t.Error("the wrong pictures are left")
		}
		if got := tx.ClientsByPhone("shop", "+7"); len(got) != 1 || got[0] != "77" {
			t.Errorf("by phone: %v", got)
		}
		n := 0
		if err := Each(tx, Cards, "", func(string, string) bool { n++; return true }); err != nil || n != 4 {
			t.Errorf("%d records left of 4, %v", n, err)
		}
		if tx.Body(mine.Seq) != nil || tx.Body(theirs.Seq) == nil || tx.Body(third.Seq) == nil {
			t.Error("the wrong bodies are left")
		}
	})
	if read(t, s, theirs.Seq).State != event.Pending || read(t, s, third.Seq).State != event.Pending {
		t.Error("another's event was ended")
	}
	if err := s.Update(context.Background(), func(tx *Tx) error { return tx.Forget("shop", "") }); err == nil {
		t.Error("nobody was forgotten")
	}
	update(t, s, func(tx *Tx) error { return tx.Forget("shop", "never seen") })
}

// What is delivered once more after its person was forgotten does nothing, and
// brings nothing back.
func TestForget_HoldsForWhatIsDeliveredAgain(t *testing.T) {
	s := open(t, Options{})
	told := func(client, key string) event.Incoming {
		in := incoming(client)
		in.Body, in.Dedup = []byte(`{"text":"`+canary+`"}`), event.Dedup{Key: key, Value: key}
		return in
	}
	mine, theirs := told("7", "deleted_client|7"), told("77", "deleted_client|77")
	first := mustAppend(t, s, mine)
	other := mustAppend(t, s, theirs)
	update(t, s, func(tx *Tx) error { return tx.Forget("shop", "7") })
	for range 2 { // also the repeat of a repeat
		a := mustAppend(t, s, mine)
		if !a.Repeat || a.Of != first.Seq {
			t.Fatalf("taken for new: %+v", a)
		}
		view(t, s, func(tx *Tx) {
			if body := tx.Body(a.Seq); body != nil {
				t.Errorf("the repeat keeps its body: %s", body)
			}
		})
		if ev := read(t, s, a.Seq); ev.State != event.Skipped || ev.Reason != event.Duplicate || ev.BodySize != len(mine.Body) {
			t.Errorf("%+v", ev)
		}
	}
	a := mustAppend(t, s, theirs)
	view(t, s, func(tx *Tx) {
		if !a.Repeat || tx.Body(a.Seq) == nil || tx.Body(other.Seq) == nil {
			t.Error("a repeat of somebody else's lost its body")
		}
	})
}

// A person deleted by an event begins anew with what came after it.
func TestForget_UntilTheEventThatDeletedThem(t *testing.T) {
	s := open(t, Options{})
	in := personal(event.Pending)
	in.Dedup = event.Dedup{Key: "chat_accepted|7|", Value: "x"}
	first := mustAppend(t, s, in)
	settle(t, s, first.Seq, event.Done, t0)
	deletion, repeat, after := mustAppend(t, s, incoming("7")), mustAppend(t, s, in), mustAppend(t, s, incoming("7"))
	parked := incoming("7")
	parked.Event.State = event.Parked
	later := mustAppend(t, s, parked)
	update(t, s, func(tx *Tx) error { return tx.ForgetUntil("shop", "7", deletion.Seq) })
	view(t, s, func(tx *Tx) {
		for seq, kept := range map[uint64]bool{first.Seq: false, deletion.Seq: false, repeat.Seq: false, after.Seq: true, later.Seq: true} {
			if (tx.Body(seq) != nil) != kept {
				t.Errorf("the body of event %d: kept is not %v", seq, kept)
			}
		}
	})
	for seq, want := range map[uint64]event.State{first.Seq: event.Done, deletion.Seq: event.Dead, repeat.Seq: event.Skipped, after.Seq: event.Pending, later.Seq: event.Parked} {
		if ev := read(t, s, seq); ev.State != want {
			t.Errorf("event %d is %s, want %s", seq, ev.State, want)
		}
	}
	verifyIndexes(t, s)
}

// Events of a chat whose visitor has no number name no client.
func TestForget_OfOneKnownByTheirChatAlone(t *testing.T) {
	s := open(t, Options{})
	of := func(client, chat string) uint64 {
		in := incoming(client)
		in.Event.Chat = chat
		return mustAppend(t, s, in).Seq
	}
	theirs, withNumber, elsewhere := of("", "c1"), of("7", "c1"), of("", "c2")
	update(t, s, func(tx *Tx) error {
		for _, chat := range []string{"c1", "c2"} {
			if err := Set(tx, Chats, Key("shop", chat), event.Chat{ID: chat}); err != nil {
				return err
			}
		}
		return tx.PutClient("shop", &event.Client{ID: event.ChatPerson("c1"), Name: canary})
	})
	update(t, s, func(tx *Tx) error { return tx.Forget("shop", event.ChatPerson("c1")) })
	view(t, s, func(tx *Tx) {
		for seq, kept := range map[uint64]bool{theirs: false, withNumber: true, elsewhere: true} {
			if (tx.Body(seq) != nil) != kept {
				t.Errorf("the body of event %d: kept is not %v", seq, kept)
			}
		}
		for chat, kept := range map[string]bool{"c1": false, "c2": true} {
			if _, ok, _ := Get[event.Chat](tx, Chats, Key("shop", chat)); ok != kept {
				t.Errorf("the record of %s: kept is not %v", chat, kept)
			}
		}
		if tx.HasClient("shop", event.ChatPerson("c1")) {
			t.Error("the picture is left")
		}
	})
	if read(t, s, withNumber).State != event.Pending || read(t, s, theirs).Reason != event.Forgotten {
		t.Error("the wrong events were ended")
	}
	verifyIndexes(t, s)
}

// TestForget_TakesTheLeadsOfTheContact: a lead that a manager opened by hand is followed
// without a link to any client, and tells of the person like the others.
func TestForget_TakesTheLeadsOfTheContact(t *testing.T) {
	s := open(t, Options{})
	update(t, s, func(tx *Tx) error {
		for id, name := range map[string]string{"6": canary, "8": "another client's"} {
			if err := Set(tx, Cards, Key("shop", "lead", id), event.LeadCard{Lead: event.Lead{Name: name}}); err != nil {
				return err
			}
		}
		if err := Set(tx, Cards, Key("shop", "contact", "5"), event.ContactCard{Contact: event.Contact{ID: 5, LeadIDs: []int64{6, 8}}}); err != nil {
			return err
		}
		if err := tx.PutClient("shop", &event.Client{ID: "9", Leads: []event.Link{{LeadID: 8}}}); err != nil {
			return err
		}
		return tx.PutClient("shop", &event.Client{ID: "7", ContactID: 5})
	})
	update(t, s, func(tx *Tx) error { return tx.Forget("shop", "7") })
	if strings.Contains(dump(t, s), canary) {
		t.Error("the lead's card is still there")
	}
	view(t, s, func(tx *Tx) {
		if _, ok, err := Get[event.LeadCard](tx, Cards, Key("shop", "lead", "8")); err != nil || !ok {
			t.Errorf("another client's card: kept %t, %v", ok, err)
		}
	})
}
