package delivery

import (
	"strings"
	"testing"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// noteTexts are the notes that stand in amoCRM, wherever.
func (y *yard) noteTexts() (texts []string) {
	y.crm.set(func() {
		for _, list := range y.crm.notes {
			for _, n := range list {
				texts = append(texts, n.Text)
			}
		}
	})
	return texts
}

// revived puts a dead event to work again, as people do.
func (y *yard) revived(seq uint64) {
	y.update(func(tx *store.Tx) error {
		ev, err := tx.Event(seq)
		if err != nil {
			return err
		}
		Replay(ev, false, time.Now())
		return tx.Put(ev)
	})
}

// One of an event's notes is refused for good and another has passing trouble,
// whichever comes first: the other is brought to its end, then the event is dead and
// says why, and a replay brings the refused one.
func TestRefused_ANoteIsNotForgottenBesideOneThatWaits(t *testing.T) {
	for name, trouble := range map[string]struct {
		err   error
		lands bool // all the same
	}{
		"the account is away":              {&amocrm.NotSent{Trouble: amocrm.Unreachable, Reason: amocrm.Unreachable}, false},
		"no answer":                        {&amocrm.InDoubt{Trouble: amocrm.Unreachable, SentAt: time.Now()}, true},
		"no answer, and that is its fault": {&amocrm.InDoubt{Trouble: amocrm.Unreachable, SentAt: time.Now(), Own: true}, true},
		"it failed":                        {&amocrm.Failed{Status: 500, Trouble: amocrm.Unavailable}, false},
	} {
		for order, first := range map[string]bool{"refused first": true, "refused last": false} {
			t.Run(name+", "+order, func(t *testing.T) {
				inBubble(t, func(c *Connection) { c.NoteLimit = 60 }, func(t *testing.T, y *yard) {
					refused, other := "", ""
					y.crm.before = func(w amocrm.Write) error {
						if text := string(w.Item); w.Endpoint != amocrm.PostNotes {
							return nil
						} else if refused == "" && first || refused == "" && other != "" {
							refused = text
						} else if other == "" {
							other = text
							if !trouble.lands {
								return trouble.err
							}
						}
						if string(w.Item) == refused {
							return &amocrm.Refused{Status: 400, Code: "NotSupportedChoice", Path: "params.text"}
						}
						return nil
					}
					y.crm.after = func(w amocrm.Write) error {
						if string(w.Item) != other || !trouble.lands {
							return nil
						}
						y.crm.set(func() { y.crm.after = nil })
						return trouble.err
					}
					y.run()
					seq := y.post(chat("chat_finished", 1, said(strings.Repeat("long words ", 8), 100)))
					pass(shortest / 2)
					y.is(seq, event.Pending, "")
					pass(time.Hour)
					ev := y.is(seq, event.Dead, event.Refused)
					if !strings.Contains(ev.Detail, "NotSupportedChoice") {
						t.Errorf("why: %q", ev.Detail)
					}
					notes, states := 0, map[event.ChangeState]int{}
					for _, ch := range ev.Changes {
						if ch.Target == event.OnNote {
							notes++
							states[ch.State]++
						}
					}
					equal(t, "notes that stand", len(y.noteTexts()), notes-1)
					equal(t, "notes that are settled", states[event.Settled], notes-1)
					y.crm.set(func() { y.crm.before = nil })
					y.revived(seq)
					pass(time.Hour)
					y.is(seq, event.Done, "")
					equal(t, "notes after a replay", len(y.noteTexts()), notes)
				})
			})
		}
	}
}

// A note is refused and the other's lead turns out to be gone, so that the event is
// mapped anew: it does not ask again for what it has told, and the refused note is
// not forgotten over it.
func TestRefused_ANoteIsNotForgottenWhereTheEventIsMappedAnew(t *testing.T) {
	inBubble(t, func(c *Connection) { c.NoteLimit = 60 }, func(t *testing.T, y *yard) {
		y.run()
		y.post(chat("chat_accepted", 1, ""))
		pass(time.Second)
		var gone int64
		refused := ""
		y.refuseIf(func(w amocrm.Write) *amocrm.Refused {
			if w.Endpoint != amocrm.PostNotes {
				return nil
			}
			y.crm.mu.Lock()
			defer y.crm.mu.Unlock()
			switch text := string(w.Item); {
			case refused == "", text == refused:
				refused = text
				return refusal("params.text")
			case gone == 0:
				gone = w.EntityID
				delete(y.crm.leads, gone)
			}
			if w.EntityID == gone {
				return refusal("entity_id")
			}
			return nil
		})
		seq := y.post(chat("chat_finished", 1, said(strings.Repeat("long words ", 8), 100)))
		pass(time.Hour)
		y.is(seq, event.Dead, event.Refused)
		stood := len(y.noteTexts())
		y.crm.set(func() { y.crm.before = nil })
		y.revived(seq)
		pass(time.Hour)
		y.is(seq, event.Done, "")
		equal(t, "leads", y.crm.made(), 1)
		equal(t, "notes after a replay", len(y.noteTexts()), stood+1)
	})
}

// What was refused once and stands, or is asked for anew, kills nothing.
func TestMergeReplay_WhatWasRefusedIsTriedAgainOrToldOf(t *testing.T) {
	refused := event.Change{Key: "1/create/note/a", Op: event.OpCreate, Target: event.OnNote, Rule: "a", State: event.Dropped, Error: "400"}
	fresh := refused
	fresh.State, fresh.Error = event.Open, ""
	for name, c := range map[string]struct {
		again bool
		fresh []event.Change
		want  []event.ChangeState
	}{
		"asked for anew":        {false, []event.Change{fresh}, []event.ChangeState{event.Open}},
		"not asked for":         {false, nil, []event.ChangeState{event.Dropped}},
		"once more, asked for":  {true, []event.Change{fresh}, []event.ChangeState{event.Open}},
		"once more, not wanted": {true, nil, []event.ChangeState{event.Dropped}},
	} {
		var got []event.ChangeState
		for _, ch := range mergeReplay(&event.Event{Again: c.again, Changes: []event.Change{refused}}, append([]event.Change(nil), c.fresh...)) {
			got = append(got, ch.State)
		}
		same(t, name, got, c.want)
	}
	j := &job{ev: &event.Event{Changes: []event.Change{refused}}}
	var kill event.Kill
	if end, ok := j.finished().(event.Kill); !ok || end == kill || end.Detail != "400" {
		t.Errorf("ends %+v", end)
	}
	for _, ch := range []event.Change{
		{Op: event.OpCreate, Target: event.OnNote, State: event.Dropped, Error: displaced},
		{Op: event.OpLink, Target: event.OnCompany, State: event.Dropped, Error: "400"},
	} {
		j.ev.Changes = []event.Change{ch}
		if end := j.finished(); !isFinished(end) {
			t.Errorf("%s %s: ends %+v", ch.Op, ch.Target, end)
		}
	}
}

// What was given up while its lead was in doubt held nobody up, and its client has
// come to another lead since: it finds that one once it is clear that its own is not
// there.
func TestReplay_OfWhatWasGivenUpInDoubtFindsTheLeadOfToday(t *testing.T) {
	for _, lands := range []bool{false, true} {
		inBubble(t, func(c *Connection) { c.GiveUp = time.Minute }, func(t *testing.T, y *yard) {
			lost := func(w amocrm.Write) error {
				if w.Endpoint != amocrm.ComplexLeads {
					return nil
				}
				return &amocrm.InDoubt{Trouble: amocrm.Unreachable, SentAt: time.Now(), Own: true}
			}
			y.crm.before = lost
			y.run()
			seq := y.post(chat("chat_accepted", 1, ""))
			for y.event(seq).State == event.Pending {
				pass(time.Second)
				if ev := y.event(seq); lands && ev.Waited > 45*time.Second {
					y.crm.set(func() { y.crm.before, y.crm.after = nil, lost })
				}
			}
			if ev := y.is(seq, event.Dead, event.GaveUp); ev.Changes[0].State != event.Sent {
				t.Fatalf("not in doubt: %+v", ev.Changes)
			}
			made := y.crm.made()
			y.crm.set(func() { y.crm.before, y.crm.after = nil, nil })
			if !lands {
				pass(time.Second)
				y.post(strings.Replace(chat("chat_accepted", 1, ""), `"k1"`, `"k9"`, 1)) // the client again
				pass(time.Minute)
				made++
			}
			equal(t, "leads before", y.crm.made(), made)
			y.revived(seq)
			pass(time.Hour)
			y.is(seq, event.Done, "")
			equal(t, "leads", y.crm.made(), 1)
		})
	}
}

// `--again` is for the replay that asked for it: a deal that is taken up later, to link
// the client who has been described, repeats nothing.
func TestReplay_AgainEndsWithIt(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		y.run()
		deal := y.post(`{"event_name":"created_deal","deal_id":5,"client":{"client_id":9},"title":"D","text":"the text","amount":5,"pipeline":{"pipeline_id":1,"pipeline_status":{"pipeline_status_id":1}}}`)
		pass(11 * time.Minute)
		y.is(deal, event.Done, "")
		notes := func() (n int) {
			y.crm.set(func() {
				for _, l := range y.crm.notes {
					n += len(l)
				}
			})
			return n
		}
		equal(t, "notes", notes(), 1)
		y.update(func(tx *store.Tx) error {
			ev, err := tx.Event(deal)
			if err != nil {
				return err
			}
			Replay(ev, true, time.Now())
			return tx.Put(ev)
		})
		pass(11 * time.Minute)
		asked := notes()
		pass(7 * 24 * time.Hour)
		y.post(`{"event_name":"created_client","client_id":9,"name":"Ivan","contacts":[{"contact_type":"phone","contact":"+79160000009"}]}`)
		pass(time.Hour)
		y.is(deal, event.Done, "")
		equal(t, "notes", notes(), asked)
	})
}
