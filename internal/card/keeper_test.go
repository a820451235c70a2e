package card

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm/dict"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// form writes a hook of the tests' account: pairs of decoded key and value.
func form(pairs ...string) []byte {
	v := url.Values{"account[id]": {strconv.Itoa(accountID)}, "account[subdomain]": {"demo"}}
	for i := 0; i < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return []byte(v.Encode())
}

// leadHook is a full account hook about the lead.
func leadHook(action string, updated int, more ...string) []byte {
	p := "leads[" + action + "][0]"
	pairs := []string{
		p + "[id]", "501", p + "[name]", "Чат: Иван", p + "[status_id]", strconv.Itoa(stageTalks), p + "[pipeline_id]", strconv.Itoa(pipeSales),
		p + "[price]", "0", p + "[responsible_user_id]", strconv.Itoa(userAnna), p + "[updated_at]", strconv.Itoa(updated),
	}
	for i := 0; i < len(more); i += 2 {
		pairs = append(pairs, p+more[i], more[i+1])
	}
	return form(pairs...)
}

func contactHook(action string, id, updated int, phones ...string) []byte {
	p := "contacts[" + action + "][0]"
	pairs := []string{p + "[id]", strconv.Itoa(id), p + "[name]", "Иван", p + "[type]", "contact", p + "[updated_at]", strconv.Itoa(updated)}
	for i, ph := range phones {
		pairs = append(pairs, fmt.Sprintf("%s[custom_fields][0][values][%d][value]", p, i), ph)
	}
	if len(phones) > 0 {
		pairs = append(pairs, p+"[custom_fields][0][id]", "101", p+"[custom_fields][0][code]", "PHONE")
	}
	return form(pairs...)
}

func taskHook(action string, id, lead, elementType int, status string) []byte {
	p := "task[" + action + "][0]"
	return form(p+"[id]", strconv.Itoa(id), p+"[element_id]", strconv.Itoa(lead), p+"[element_type]", strconv.Itoa(elementType),
		p+"[text]", "Позвонить", p+"[status]", status, p+"[complete_till]", "2026-11-22 12:00:00")
}

func (d *desk) keeper() *Keeper {
	return NewKeeper(d.st, d.connOf, func(_ string, id int64) { d.dirty = append(d.dirty, id) },
		func(_ *store.Tx, connection, account, entity string, id int64) error {
			d.drops = append(d.drops, fmt.Sprintf("%s %s %s %d", connection, account, entity, id))
			return nil
		})
}

// apply journals a hook and applies it.
func (d *desk) apply(body []byte) (event.Ending, uint64) {
	d.t.Helper()
	got, err := d.st.Append(context.Background(), event.Incoming{Event: event.Event{Connection: shop, Source: event.AmoCRM, Kind: "leads.status", ReceivedAt: time.Now()}, Body: body})
	if err != nil {
		d.t.Fatal(err)
	}
	var ev *event.Event
	d.view(func(tx *store.Tx) { ev, err = tx.Event(got.Seq) })
	if err != nil {
		d.t.Fatal(err)
	}
	return d.keeper().Apply(context.Background(), shop, ev, body), got.Seq
}

func (d *desk) finished(body []byte) {
	d.t.Helper()
	if end, _ := d.apply(body); end != (event.Finished{}) {
		d.t.Fatalf("ended %#v, want finished", end)
	}
}

// skipped expects a hook that is nothing of ours; its body must be gone.
func (d *desk) skipped(body []byte, why event.Reason) {
	d.t.Helper()
	end, seq := d.apply(body)
	if s, ok := end.(event.Skip); !ok || s.Reason != why {
		d.t.Fatalf("ended %#v, want skipped %s", end, why)
	}
	d.view(func(tx *store.Tx) {
		if tx.Body(seq) != nil {
			d.t.Error("the body is kept, though nothing in it was ours")
		}
	})
}

func (d *desk) directory(phone string) (ids []int64) {
	d.view(func(tx *store.Tx) { ids = tx.ContactsBy(host, "p:"+phone) })
	return ids
}

func TestHook_OfALeadIsOnItsCard(t *testing.T) {
	for _, action := range []string{"add", "update", "status", "responsible", "restore"} {
		t.Run(action, func(t *testing.T) {
			d := newDesk(t)
			d.link(nil, aLead())
			d.finished(leadHook(action, 200))
			card, _ := d.lead(lead1)
			equal(t, "stage", card.Lead.StatusID, stageTalks)
			equal(t, "dirty", card.Dirty, false)
			equal(t, "to be read", len(d.dirty), 0)
		})
	}
}

func TestHook_BodyIsKeptWhenSomethingWasOurs(t *testing.T) {
	d := newDesk(t)
	d.link(nil, aLead())
	_, seq := d.apply(leadHook("status", 200))
	d.view(func(tx *store.Tx) {
		if tx.Body(seq) == nil {
			t.Error("the body is gone")
		}
	})
}

func TestHook_LinkedLeadWithoutACardGetsOne(t *testing.T) {
	d := newDesk(t)
	d.link(func(c *event.Client) { c.Leads = []event.Link{{LeadID: lead1}} })
	d.finished(leadHook("status", 200))
	card, ok := d.lead(lead1)
	if !ok || card.Lead.StatusID != stageTalks {
		t.Errorf("card %v: %+v", ok, card)
	}
}

func TestHook_OfTheSameSecondIsReadAgain(t *testing.T) {
	d := newDesk(t)
	d.link(nil, aLead())
	d.finished(leadHook("status", 100))
	card, _ := d.lead(lead1)
	equal(t, "stage shown until then", card.Lead.StatusID, stageTalks)
	same(t, "to be read", d.dirty, []int64{lead1})
}

func TestHook_DigitalPipeline(t *testing.T) {
	for action, last := range map[string]string{"status": "", "call_in": "call_in", "mail_in": "mail_in", "chat": "chat", "site_visit": ""} {
		t.Run(action, func(t *testing.T) {
			d := newDesk(t)
			d.link(nil, aLead())
			p := "leads[" + action + "][0]"
			d.finished(form(p+"[id]", "501", p+"[status_id]", strconv.Itoa(stageTalks), p+"[pipeline_id]", strconv.Itoa(pipeSales)))
			card, _ := d.lead(lead1)
			equal(t, "stage", card.Lead.StatusID, stageTalks)
			equal(t, "last incoming", card.LastIn, last)
			equal(t, "name kept", card.Lead.Name, "Чат: Иван")
			same(t, "to be read", d.dirty, []int64{lead1})
		})
	}
}

func TestHook_DeletedLeadLosesItsLinks(t *testing.T) {
	d := newDesk(t)
	d.link(nil, aLead())
	d.finished(form("leads[delete][0][id]", "501"))
	same(t, "dropped", d.drops, []string{"shop demo.amocrm.ru lead 501"})
}

func TestHook_DeletedStrangerIsLeftAlone(t *testing.T) {
	d := newDesk(t)
	d.link(nil, aLead())
	d.skipped(form("leads[delete][0][id]", "502"), event.NotOurs)
	equal(t, "drops", len(d.drops), 0)
}

func TestHook_NoteOfAnIncomingCallIsTheLastIncoming(t *testing.T) {
	for kind, last := range map[string]string{"10": "call_in", "11": "", "4": ""} {
		t.Run("type "+kind, func(t *testing.T) {
			d := newDesk(t)
			d.link(nil, aLead())
			p := "leads[note][0][note]"
			d.finished(form(p+"[id]", "9", p+"[note_type]", kind, p+"[element_type]", "2", p+"[element_id]", "501", p+"[text]", "{}"))
			card, _ := d.lead(lead1)
			equal(t, "last incoming", card.LastIn, last)
			equal(t, "to be read", len(d.dirty), 0)
		})
	}
}

func TestHook_NotOurs(t *testing.T) {
	for name, body := range map[string][]byte{
		"lead":    form("leads[status][0][id]", "502", "leads[status][0][status_id]", "1"),
		"contact": contactHook("update", 802, 200, "+79990000001"),
		"task":    taskHook("add", 77, 502, 2, "0"),
		"company": form("contacts[update][0][id]", "850", "contacts[update][0][type]", "company", "contacts[update][0][name]", "X"),
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			d.link(nil, aLead())
			d.skipped(body, event.NotOurs)
			before, _ := d.lead(lead1)
			equal(t, "our card's stage", before.Lead.StatusID, stageFirst)
			if _, ok := d.lead(502); ok {
				t.Error("a stranger has a card now")
			}
		})
	}
}

func TestHook_OtherFamiliesAreCountedOnly(t *testing.T) {
	d := newDesk(t)
	d.skipped(form("talk[add][0][talk_id]", "1", "talk[add][0][id]", "5"), event.Ignored)
}

func TestHook_OfAForeignAccountChangesNothing(t *testing.T) {
	d := newDesk(t)
	d.link(nil, aLead())
	body := []byte(strings.Replace(string(leadHook("status", 200)), strconv.Itoa(accountID), "99", 1))
	d.skipped(body, event.ForeignAccount)
	card, _ := d.lead(lead1)
	equal(t, "stage", card.Lead.StatusID, stageFirst)
}

func TestHook_WithoutSenseIsDead(t *testing.T) {
	d := newDesk(t)
	end, _ := d.apply([]byte("hello"))
	if k, ok := end.(event.Kill); !ok || k.Reason != event.Unparsable {
		t.Errorf("ended %#v", end)
	}
}

func TestHook_WaitsForTheDictionary(t *testing.T) {
	d := newDesk(t)
	d.conn.Dict = func() *dict.Snapshot { return nil }
	end, _ := d.apply(leadHook("status", 200))
	if _, ok := end.(event.Snooze); !ok {
		t.Errorf("ended %#v", end)
	}
}

func TestHook_AppliedTwiceChangesNothing(t *testing.T) {
	d := newDesk(t)
	d.link(nil, aLead())
	d.finished(leadHook("status", 200))
	once, _ := d.lead(lead1)
	d.finished(leadHook("status", 200))
	twice, _ := d.lead(lead1)
	equal(t, "changes", len(twice.Changes), len(once.Changes))
	equal(t, "dirty", twice.Dirty, false)
	equal(t, "read at", twice.ReadAt.Equal(once.ReadAt), true)
}

func TestHook_AnyContactFeedsTheDirectory(t *testing.T) {
	d := newDesk(t)
	d.skipped(contactHook("add", 802, 200, "8 (999) 000-00-01"), event.NotOurs)
	same(t, "by phone", d.directory("+79990000001"), []int64{802})
	d.skipped(contactHook("update", 802, 201, "+7 999 000-00-02"), event.NotOurs)
	same(t, "the old phone", d.directory("+79990000001"), nil)
	same(t, "the new phone", d.directory("+79990000002"), []int64{802})
}

func TestHook_RegionOfTheAccountReadsItsPhones(t *testing.T) {
	d := newDesk(t)
	d.conn.Region = ""
	d.skipped(contactHook("add", 802, 200, "8 (999) 000-00-01"), event.NotOurs)
	same(t, "by phone", d.directory("+79990000001"), []int64{802})
}

func TestHook_ContactWithoutPhonesTellsNothingOfThem(t *testing.T) {
	d := newDesk(t)
	d.skipped(contactHook("add", 802, 200, "+79990000001"), event.NotOurs)
	d.skipped(contactHook("responsible", 802, 201), event.NotOurs)
	same(t, "by phone", d.directory("+79990000001"), []int64{802})
}

func TestHook_CompanyIsNoContact(t *testing.T) {
	d := newDesk(t)
	d.link(nil, aLead())
	p := "contacts[update][0]"
	body := form(p+"[id]", "801", p+"[type]", "company", p+"[name]", "Рога", p+"[updated_at]", "900",
		p+"[custom_fields][0][id]", "101", p+"[custom_fields][0][code]", "PHONE", p+"[custom_fields][0][values][0][value]", "+79990000009")
	d.skipped(body, event.NotOurs)
	same(t, "directory", d.directory("+79990000009"), nil)
	if card, ok := d.contact(contact1); ok && card.Contact.Name == "Рога" {
		t.Error("a company became a contact's card")
	}
}

func TestHook_DeletedContactIsDropped(t *testing.T) {
	d := newDesk(t)
	d.link(nil)
	d.finished(form("contacts[delete][0][id]", "801", "contacts[delete][0][type]", "contact"))
	same(t, "dropped", d.drops, []string{"shop demo.amocrm.ru contact 801"})
	d.skipped(form("contacts[delete][0][id]", "802", "contacts[delete][0][type]", "contact"), event.NotOurs) // of the directory only
	equal(t, "drops", len(d.drops), 2)
}

func TestHook_OfOurContactIsOnItsCard(t *testing.T) {
	d := newDesk(t)
	d.link(nil)
	d.update(func(tx *store.Tx) error {
		return store.Set(tx, store.Cards, contactKey(contact1), event.ContactCard{Contact: event.Contact{ID: contact1, UpdatedAt: 100, LeadIDs: []int64{lead1}, CompanyID: 850}, Wrote: map[string]string{"name": "I"}})
	})
	d.finished(contactHook("update", contact1, 200, "+79990000001"))
	card, _ := d.contact(contact1)
	equal(t, "name", card.Contact.Name, "Иван")
	same(t, "phones", event.Texts(card.Contact.Phones), []string{"+79990000001"})
	same(t, "leads kept", card.Contact.LeadIDs, []int64{lead1})
	equal(t, "company kept", card.Contact.CompanyID, 850)
	equal(t, "what was written is remembered", card.Wrote["name"], "I")
}

// A hook that tells of no field leaves the phones and e-mails that are known.
func TestHook_WithoutFieldsLeavesThePhones(t *testing.T) {
	d := newDesk(t)
	d.link(nil)
	d.update(func(tx *store.Tx) error {
		return store.Set(tx, store.Cards, contactKey(contact1), event.ContactCard{Contact: event.Contact{ID: contact1, UpdatedAt: 100, Phones: []event.Value{{Text: "+79990000001"}}}})
	})
	d.finished(contactHook("update", contact1, 200))
	card, _ := d.contact(contact1)
	equal(t, "name", card.Contact.Name, "Иван")
	same(t, "phones", event.Texts(card.Contact.Phones), []string{"+79990000001"})
}

// A lead that a manager opened for our contact is among its leads from the hook
// on: the next chat finds it, and opens no second one.
func TestHook_OfOurContactTellsOfItsLeads(t *testing.T) {
	for name, updated := range map[string]int{"later": 200, "the same second": 100} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			d.link(nil, aLead())
			d.update(func(tx *store.Tx) error {
				return store.Set(tx, store.Cards, contactKey(contact1), event.ContactCard{Contact: event.Contact{ID: contact1, Name: "Иван", UpdatedAt: 100, LeadIDs: []int64{lead1}}})
			})
			hook := string(contactHook("update", contact1, updated)) + "&" + url.Values{
				"contacts[update][0][linked_leads_id][501][ID]": {"501"}, "contacts[update][0][linked_leads_id][777][ID]": {"777"},
			}.Encode()
			d.finished([]byte(hook))
			d.finished([]byte(hook))
			card, _ := d.contact(contact1)
			same(t, "leads", card.Contact.LeadIDs, []int64{lead1, 777})
			same(t, "leads to be read", d.dirty, []int64{777})
			if card.Dirty {
				t.Error("it is read again for what the hook said")
			}
		})
	}
}

func TestHook_OlderOneOfAContactTakesNothingAway(t *testing.T) {
	for name, c := range map[string]struct {
		was   bool
		phone string
		dirty bool
	}{
		"the echo of an earlier own write": {false, "+79990000002", false},
		"dirty card stays dirty":           {true, "+79990000002", true},
		"a phone the card lacks":           {false, "+79990000001", true}, // added by hand just before the bridge's own write
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			d.link(nil)
			d.update(func(tx *store.Tx) error {
				if err := tx.SetContactKeys(host, contact1, []string{"p:+79990000002", "p:+79990000003"}); err != nil {
					return err
				}
				return store.Set(tx, store.Cards, contactKey(contact1), event.ContactCard{Contact: event.Contact{
					ID: contact1, Name: "Новый", UpdatedAt: 300, Phones: []event.Value{{Text: "+79990000002"}, {Text: "+79990000003"}},
				}, Dirty: c.was})
			})
			d.finished(contactHook("update", contact1, 200, c.phone))
			card, _ := d.contact(contact1)
			equal(t, "name", card.Contact.Name, "Новый")
			equal(t, "phones", len(card.Contact.Phones), 2)
			equal(t, "dirty", card.Dirty, c.dirty)
			for _, p := range []string{"+79990000002", "+79990000003", c.phone} {
				same(t, "found by", d.directory(p), []int64{contact1})
			}
		})
	}
}

func TestHook_OfTheSameSecondMakesAContactDirtyOnlyIfItTellsMore(t *testing.T) {
	for name, c := range map[string]struct {
		body  []byte
		dirty bool
	}{
		"the same":       {contactHook("update", contact1, 100, "+79990000001"), false},
		"another phone":  {contactHook("update", contact1, 100, "+79990000002"), true},
		"one phone more": {contactHook("update", contact1, 100, "+79990000001", "+79990000002"), true},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			d.link(nil)
			values := []event.Value{{Text: "+79990000001"}}
			d.update(func(tx *store.Tx) error {
				return store.Set(tx, store.Cards, contactKey(contact1), event.ContactCard{Contact: event.Contact{
					ID: contact1, Name: "Иван", UpdatedAt: 100, Phones: values, Fields: map[int64]event.Values{101: values},
				}})
			})
			d.finished(c.body)
			card, _ := d.contact(contact1)
			equal(t, "dirty", card.Dirty, c.dirty)
		})
	}
}

func TestHook_TasksOfTheLead(t *testing.T) {
	d := newDesk(t)
	d.link(nil, aLead())
	tasks := func() (out []int64) {
		card, _ := d.lead(lead1)
		for _, k := range card.Tasks {
			out = append(out, k.ID)
		}
		return out
	}
	d.finished(taskHook("add", 77, lead1, 2, "0"))
	d.finished(taskHook("add", 78, lead1, 2, "0"))
	same(t, "added", tasks(), []int64{77, 78})
	d.finished(taskHook("update", 77, lead1, 2, "1"))
	same(t, "completed", tasks(), []int64{78})
	d.finished(form("task[delete][0][id]", "78"))
	same(t, "deleted", tasks(), nil)
	d.skipped(form("task[delete][0][id]", "78"), event.NotOurs)
}

func TestHook_TaskThatWasMovedLeavesItsLead(t *testing.T) {
	for name, body := range map[string][]byte{
		"to another lead": taskHook("update", 77, 502, 2, "0"),
		"to a contact":    taskHook("update", 77, 801, 1, "0"),
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			d.link(nil, aLead())
			d.finished(taskHook("add", 77, lead1, 2, "0"))
			d.finished(body)
			card, _ := d.lead(lead1)
			equal(t, "tasks", len(card.Tasks), 0)
		})
	}
}

func TestHook_TaskOfAContactIsNoTaskOfALead(t *testing.T) {
	d := newDesk(t)
	d.link(nil, aLead())
	d.skipped(taskHook("add", 77, lead1, 1, "0"), event.NotOurs) // a contact of the same number
	card, _ := d.lead(lead1)
	equal(t, "tasks", len(card.Tasks), 0)
}

func TestHook_TasksOfStrangersLeaveNothingBehind(t *testing.T) {
	d := newDesk(t)
	d.skipped(taskHook("add", 77, 502, 2, "0"), event.NotOurs)
	d.view(func(tx *store.Tx) {
		_ = store.Each(tx, store.Positions, "", func(key string, _ any) bool {
			t.Errorf("%q is kept", key)
			return true
		})
	})
}

func TestHook_AcceptedUnsortedIsReadAgain(t *testing.T) {
	d := newDesk(t)
	d.link(nil, aLead())
	p := "unsorted[delete][0]"
	d.finished(form(p+"[uid]", "u", p+"[action]", "accept", p+"[accept_result][leads][0]", "501"))
	same(t, "to be read", d.dirty, []int64{lead1})
	equal(t, "drops", len(d.drops), 0)
}

func TestHook_DeclinedUnsortedLosesItsLink(t *testing.T) {
	d := newDesk(t)
	d.link(nil, aLead())
	p := "unsorted[delete][0]"
	d.finished(form(p+"[uid]", "u", p+"[action]", "decline", p+"[decline_result][leads][0]", "501"))
	same(t, "dropped", d.drops, []string{"shop demo.amocrm.ru lead 501"})
	d.skipped(form(p+"[uid]", "u", p+"[action]", "decline", p+"[decline_result][leads][0]", "502"), event.NotOurs)
	equal(t, "drops", len(d.drops), 1)
}

func TestHook_SeveralEntitiesOfOnePostAreAllApplied(t *testing.T) {
	d := newDesk(t)
	d.link(nil, aLead())
	d.finished(form(
		"leads[update][0][id]", "502", "leads[update][0][name]", "X", "leads[update][0][updated_at]", "5",
		"leads[update][1][id]", "501", "leads[update][1][name]", "Новое", "leads[update][1][updated_at]", "200",
		"contacts[update][0][id]", "802", "contacts[update][0][type]", "contact", "contacts[update][0][name]", "П",
		"contacts[update][0][custom_fields][0][id]", "101", "contacts[update][0][custom_fields][0][code]", "PHONE", "contacts[update][0][custom_fields][0][values][0][value]", "+79990000003",
	))
	card, _ := d.lead(lead1)
	equal(t, "name", card.Lead.Name, "Новое")
	same(t, "directory", d.directory("+79990000003"), []int64{802})
}

func TestHook_HalfAppliedIsNotApplied(t *testing.T) {
	d := newDesk(t)
	d.link(nil, aLead())
	k := d.keeper()
	k.drop = func(*store.Tx, string, string, string, int64) error { return errors.New("no") }
	body := form("leads[update][0][id]", "501", "leads[update][0][name]", "Новое", "leads[update][0][updated_at]", "200",
		"contacts[delete][0][id]", "801", "contacts[delete][0][type]", "contact")
	end := k.Apply(context.Background(), shop, &event.Event{Seq: 1, Connection: shop}, body)
	if _, ok := end.(event.Retry); !ok {
		t.Errorf("ended %#v", end)
	}
	if card, _ := d.lead(lead1); slices.Contains([]string{card.Lead.Name}, "Новое") {
		t.Error("one half was applied")
	}
}
