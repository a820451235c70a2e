package app_test

import (
	"strings"
	"testing"
)

// callNotes are a lead's call notes of both directions, oldest first.
func (w *world) callNotes(leadID int64) (out []noteOf) {
	for _, n := range w.amo.Notes(leadID) {
		if n.Type == "call_in" || n.Type == "call_out" {
			out = append(out, n)
		}
	}
	return out
}

func text(n noteOf, param string) string {
	s, _ := n.Params[param].(string)
	return s
}

// On `end` a call is a contact, a lead and one call note with record link;
// intermediate states change nothing; the record's webhook told again adds none.
func TestE2E_AnsweredCallIsOneNote(t *testing.T) {
	w := newWorld(t, setup{})
	p := ivan()
	p.Email = ""
	w.tell(p.call("incoming", "start"), p.call("incoming", "agent_connected"), p.call("incoming", "client_connected"), p.call("incoming", "agent_disconnected"))
	if n := len(w.amo.Contacts()) + len(w.amo.Leads()); n != 0 {
		t.Fatalf("%d cards after intermediate states", n)
	}
	end := p.call("incoming", "end", m{"record_url": "https://records.example/1.mp3"})
	w.tell(end, end)
	l := w.oneLead()
	n := one(t, "call notes", w.callNotes(l.ID))
	equal(t, "type", n.Type, "call_in")
	equal(t, "link", text(n, "link"), "https://records.example/1.mp3")
	equal(t, "phone", text(n, "phone"), "+79160000001")
	equal(t, "uniq", n.Uniq(), "jv-7636-1")
	equal(t, "author", n.CreatedBy, userAnna)
	equal(t, "lead's responsible", l.ResponsibleID, userAnna)
	same(t, "phones", w.oneContact().Values("PHONE"), []string{"+79160000001"})
	equal(t, "tasks", len(w.amo.Tasks()), 0)
}

// An outgoing call is a call_out and makes no task, also if it failed.
func TestE2E_OutgoingCall(t *testing.T) {
	w := newWorld(t, setup{})
	p := ivan()
	w.tell(p.call("outgoing", "start"), p.call("outgoing", "error", m{"reason": "is_busy"}))
	equal(t, "type", one(t, "call notes", w.callNotes(w.oneLead().ID)).Type, "call_out")
	equal(t, "tasks", len(w.amo.Tasks()), 0)
}

// A record that comes later patches the same note.
func TestE2E_LateRecordPatchesTheNote(t *testing.T) {
	w := newWorld(t, setup{})
	p := ivan()
	w.tell(p.call("callback", "start"), p.call("callback", "agent_connected"), p.call("callback", "end"))
	l := w.oneLead()
	equal(t, "link", text(one(t, "call notes", w.callNotes(l.ID)), "link"), "")
	w.tell(p.call("callback", "end", m{"record_url": "https://records.example/late.mp3"}))
	n := one(t, "call notes", w.callNotes(l.ID))
	equal(t, "link", text(n, "link"), "https://records.example/late.mp3")
	equal(t, "type", n.Type, "call_in")
}

// An error of an incoming call or callback nobody answered is a call note and a
// task to call back.
func TestE2E_MissedCallIsATask(t *testing.T) {
	for _, kind := range []string{"incoming", "callback"} {
		t.Run(kind, func(t *testing.T) {
			w := newWorld(t, setup{})
			p := ivan()
			w.tell(p.call(kind, "start"), p.call(kind, "error", m{"reason": "all_busy"}))
			l := w.oneLead()
			one(t, "call notes", w.callNotes(l.ID))
			task := one(t, "tasks", w.amo.Tasks())
			holds(t, "task", task.Text, "Перезвонить")
			equal(t, "task's lead", task.EntityID, l.ID)
			equal(t, "task's responsible", task.ResponsibleID, userAnna)
		})
	}
}

// An error after somebody talked makes no task.
func TestE2E_BrokenOffCallIsNoTask(t *testing.T) {
	w := newWorld(t, setup{})
	p := ivan()
	w.tell(p.call("incoming", "start"), p.call("incoming", "agent_connected"))
	ticks(t, 1100)
	w.tell(p.call("incoming", "error", m{"reason": "is_busy"}))
	n := one(t, "call notes", w.callNotes(w.oneLead().ID))
	if d, _ := n.Params["duration"].(interface{ Int64() (int64, error) }); d != nil {
		if v, _ := d.Int64(); v < 1 {
			t.Errorf("duration is %d", v)
		}
	}
	equal(t, "tasks", len(w.amo.Tasks()), 0)
}

// Several calls of one chat are several notes, each with its own record.
func TestE2E_SeveralCallsOfOneChat(t *testing.T) {
	w := newWorld(t, setup{})
	p := ivan()
	w.tell(
		p.call("callback", "start"), p.call("callback", "error", m{"reason": "all_busy"}),
		p.call("callback", "start"), p.call("callback", "agent_connected"), p.call("callback", "end", m{"record_url": "https://records.example/2.mp3"}),
		p.call("callback", "start"), p.call("callback", "agent_connected"), p.call("callback", "end"),
	)
	w.tell(p.call("callback", "end", m{"record_url": "https://records.example/3.mp3"}))
	notes := w.callNotes(w.oneLead().ID)
	if len(notes) != 3 {
		t.Fatalf("%d call notes, want 3: %v", len(notes), notes)
	}
	for i, link := range []string{"", "https://records.example/2.mp3", "https://records.example/3.mp3"} {
		equal(t, "link", text(notes[i], "link"), link)
	}
	equal(t, "tasks", len(w.amo.Tasks()), 1)
}

// A call whose visitor left nothing is found by call.phone, and by an existing
// contact's phone written in another way.
func TestE2E_CallOfABareNumberFindsTheContact(t *testing.T) {
	w := newWorld(t, setup{})
	id, err := w.amo.CreateContact(cardOf{Edit: editOf{Name: "Старый клиент"}, Phone: "8 (916) 000-00-01"})
	w.manager(err)
	p := nobody()
	p.Phone = "+79160000001"
	w.tell(p.event("call_event", m{
		"visitor": m{"number": "2200", "name": nil, "email": nil, "phone": nil}, "agent": agentOne,
		"call": m{"type": "incoming", "phone": "+7 916 000-00-01", "status": "end", "record_url": "https://records.example/9.mp3"},
	}))
	c, l := w.oneContact(), w.oneLead()
	equal(t, "contact", c.ID, id)
	equal(t, "name", c.Name, "Старый клиент")
	equal(t, "lead's contact", l.Contacts[0].ID, id)
	same(t, "phones", c.Values("PHONE"), []string{"8 (916) 000-00-01"})
	r := w.last("call_event")
	if r.Contact == nil || r.Contact.By != "phone" {
		t.Errorf("the contact was matched %+v", r.Contact)
	}
	if strings.Contains(l.Name, "Посетитель") {
		t.Errorf("lead's name is %q", l.Name)
	}
}
