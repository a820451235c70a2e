package app_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/jivo-amocrm/bridge/internal/emulator"
)

var agentSeven = m{"id": 7, "email": "seven@example.com", "name": "Седьмой"} // "*" → owner

// What a chat told of its client is what client_updated is compared with, if it is the
// first of the client's own events: what changed since is written, what did not leaves
// the manager's value.
func TestE2E_ClientUpdatedIsComparedWithWhatAChatTold(t *testing.T) {
	agent1 := m{"id": 1, "email": "agent1@gmail.com", "name": "Агент"}
	vip := []m{{"id": "7", "title": "VIP"}}

	w := newWorld(t, setup{})
	p := ivan()
	w.tell(p.accepted(m{"agent": agentSeven, "assigned_agent": agentSeven, "tags": []m{}}))
	equal(t, "responsible at creation", w.oneContact().ResponsibleID, userOwner)
	p.Company = "Ромашка"
	w.tell(p.clientUpdated(m{"assigned_agent": agent1, "tags": vip}))
	c := w.oneContact()
	equal(t, "responsible changed in Jivo", c.ResponsibleID, userAnna)
	same(t, "tags", c.TagNames(), []string{"jivo", "VIP"})
	equal(t, "company", one(t, "companies", w.amo.Companies()).ID, c.CompanyID)

	// A replay says again what it said, whatever it left behind.
	w.manager(w.amo.SetContactResponsible(c.ID, userOwner))
	w.settle()
	w.api("POST", fmt.Sprintf("/api/v1/events/%d/replay", w.last("client_updated").Seq), "{}", nil)
	w.settle()
	equal(t, "responsible after a replay", w.oneContact().ResponsibleID, userAnna)

	q := maria()
	w.tell(q.accepted(m{"assigned_agent": agent1, "tags": []m{}}))
	c = w.contact(w.amo.Contacts()[slices.IndexFunc(w.amo.Contacts(), func(r emulator.Record) bool { return r.ID != c.ID })].ID)
	w.manager(w.amo.SetContactResponsible(c.ID, userOwner))
	w.settle()
	q.Email = "new@example.com"
	w.tell(q.clientUpdated(m{"assigned_agent": agent1}))
	c = w.contact(c.ID)
	equal(t, "the manager's responsible", c.ResponsibleID, userOwner)
	same(t, "e-mails", c.Values("EMAIL"), []string{"maria@example.com", "new@example.com"})
}

// What created_client told of a client without a contact is written when one is made.
func TestE2E_TagsToldBeforeTheContactAreWrittenWithIt(t *testing.T) {
	tags := m{"tags": []m{{"tag_id": 7, "title": "VIP"}}}
	for name, c := range map[string]struct {
		makes func(p *person) []byte
		want  []string
	}{
		"by a deal": {func(p *person) []byte { return p.deal("created_deal", deal{id: 5, title: "D"}) }, []string{"VIP"}},
		"by a chat": {func(p *person) []byte { return p.accepted() }, []string{"jivo", "VIP"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, setup{})
			p := ivan()
			w.tell(p.crm("created_client", tags), c.makes(p))
			got := w.oneContact()
			same(t, "tags", got.TagNames(), c.want)
			w.manager(w.amo.EditContact(got.ID, editOf{Name: "Иван Главный"}))
			w.settle()
			w.tell(p.crm("updated_client", tags))
			same(t, "tags", w.oneContact().TagNames(), c.want)
		})
	}
}

// A person deleted in Jivo is forgotten with the tag switched off too, and without a
// contact to put it on.
func TestE2E_DeletedClientIsForgottenWithoutTheTag(t *testing.T) {
	for name, first := range map[string]func(p *person) []byte{
		"linked":   func(p *person) []byte { return p.accepted() },
		"unlinked": func(p *person) []byte { return p.crm("created_client") },
	} {
		for _, off := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, off %v", name, off), func(t *testing.T) {
				set := setup{}
				if off {
					set.conn = "builtin: {deleted_tag: off}\n"
				}
				w := newWorld(t, set)
				p := ivan()
				w.tell(first(p), p.crm("deleted_client"))
				w.ended("deleted_client", "done", "")
				for _, c := range w.amo.Contacts() {
					equal(t, "tag", slices.Contains(c.TagNames(), "удалён в Jivo"), !off)
				}
				if answer := w.raw("GET", w.admin+"/api/v1/clients/shop/2198", ""); answer[:3] != "404" {
					var got struct {
						Name  string
						Links struct {
							ContactID int64 `json:"contact_id"`
						}
					}
					w.api("GET", "/api/v1/clients/shop/2198", "", &got)
					if got.Name != "" || got.Links.ContactID != 0 {
						t.Errorf("still known: %+v", got)
					}
				}
				for _, q := range []string{p.Phone, p.Name} {
					var found struct{ Events []row }
					w.api("POST", "/api/v1/search", string(jsonOf(m{"q": q})), &found)
					equal(t, "events found by what was forgotten", len(found.Events), 0)
				}
			})
		}
	}
}
