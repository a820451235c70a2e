package delivery

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/jivo"
	"github.com/jivo-amocrm/bridge/internal/mapping"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// withCompany are rules that write the visitor's company.
func withCompany(t *testing.T) func(*Connection) {
	yes := true
	p, problems := mapping.Compile([]mapping.Rule{{
		Name: txt("lead"), On: txts("chat_accepted", "chat_updated", "chat_finished"),
		Contact: &mapping.ContactBlock{
			Find: txts("client", "phone"), Create: &yes, Name: txt("{{ visitor.name }}"), Phone: txt("{{ visitor.phone }}"), Company: txt("{{ organization.name }}"),
		},
		Lead: &mapping.LeadBlock{Find: txts("chat", "open"), Create: &yes, Name: txt("Chat {{ visitor.number }}")},
	}}, mapping.Env{Kinds: jivo.Kinds(), Schema: jivo.Schema, Language: "ru", Region: "RU"})
	if len(problems) > 0 {
		t.Fatalf("rules: %v", problems)
	}
	return func(c *Connection) { c.Program = p }
}

// companyIn is the company of a leads/complex item: its id, or its name.
func companyIn(w amocrm.Write) (companyID int64, name string) {
	var item struct {
		Embedded struct {
			Companies []struct {
				ID   int64
				Name string
			}
		} `json:"_embedded"`
	}
	if json.Unmarshal(w.Item, &item) != nil || len(item.Embedded.Companies) == 0 {
		return 0, ""
	}
	return item.Embedded.Companies[0].ID, item.Embedded.Companies[0].Name
}

// refuseIf has the account refuse writes as amoCRM does: after they were entered
// in the ledger, without any effect.
func (y *yard) refuseIf(refused func(amocrm.Write) *amocrm.Refused) {
	y.crm.set(func() {
		y.crm.before = func(w amocrm.Write) error {
			r := refused(w)
			if r == nil {
				return nil
			}
			if err := y.d.Sent(context.Background(), w.Keys); err != nil {
				y.t.Errorf("entered in the ledger: %v", err)
			}
			return r
		}
	})
}

const named = `,"organization":{"id":"1","name":"Plant"}`

// A company amoCRM refuses along with a new lead is left out, and lead and contact
// go through (product.md §2).
func TestCompany_RefusedWithANewLeadIsLeftOut(t *testing.T) {
	for name, paths := range map[string][]string{
		"its name":              {"_embedded.companies.0.name"},
		"as a whole":            {"_embedded.companies"},
		"its fields":            {"_embedded.companies.0.custom_fields_values.0.values.0.value"},
		"and a field beside it": {"name", "_embedded.companies.0.name"},
		"behind another":        {"_embedded.contacts.0.name", "_embedded.companies.0.name"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, withCompany(t), func(t *testing.T, y *yard) {
				y.refuseIf(func(w amocrm.Write) *amocrm.Refused {
					if _, company := companyIn(w); company != "" {
						return refusal(paths...)
					}
					return nil
				})
				y.run()
				seq := y.post(chat("chat_accepted", 1, named))
				pass(time.Minute)
				ev := y.is(seq, event.Done, "")
				if y.crm.made() != 1 || y.crm.people() != 1 {
					t.Errorf("%d leads, %d contacts", y.crm.made(), y.crm.people())
				}
				equal(t, "tries", y.crm.tries(), 2)
				warned(t, ev, "refused the company")
			})
		})
	}
}

func warned(t *testing.T, ev *event.Event, text string) {
	t.Helper()
	all := strings.Join(ev.Warnings, "; ")
	if !strings.Contains(all, text) {
		t.Errorf("no warning %q in %q", text, all)
	}
	if strings.Contains(all, "Plant") {
		t.Errorf("a warning tells the name: %q", all)
	}
}

// A company that was known and is gone is looked for by its name, or made again;
// what an operator had linked falls back to the name.
func TestCompany_GoneIsMadeAnew(t *testing.T) {
	for name, c := range map[string]struct {
		linked, known int64
		searched      int64 // what the search still finds; 0: nothing
		left          bool  // nothing is left but to leave it out
	}{
		"known by name":                   {known: 70},
		"linked by an operator":           {linked: 71},
		"both":                            {linked: 71, known: 70},
		"found by a search that is late":  {known: 70, searched: 70, left: true},
		"linked, and the search finds it": {linked: 71, searched: 71, left: true},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, withCompany(t), func(t *testing.T, y *yard) {
				y.update(func(tx *store.Tx) error {
					if c.known != 0 {
						if err := store.Set(tx, store.Names, companyKey(demoHost, "Plant"), c.known); err != nil {
							return err
						}
					}
					return tx.PutClient(shop, &event.Client{ID: "1", CompanyID: c.linked})
				})
				if c.searched != 0 {
					y.crm.companies = []event.Contact{{ID: c.searched, Name: "Plant", IsCompany: true}}
				}
				y.refuseIf(func(w amocrm.Write) *amocrm.Refused {
					if cid, _ := companyIn(w); cid != 0 {
						return refusal("_embedded.companies.0.id")
					}
					return nil
				})
				y.run()
				seq := y.post(chat("chat_accepted", 1, named))
				pass(time.Minute)
				ev := y.is(seq, event.Done, "")
				warned(t, ev, "the company")
				equal(t, "leads", y.crm.made(), 1)
				_, company := companyIn(y.crm.writes[len(y.crm.writes)-1])
				equal(t, "the company was made anew", company == "Plant", !c.left)
				if n := y.crm.tries(); n > 4 {
					t.Errorf("%d requests", n)
				}
			})
		})
	}
}

// What amoCRM refuses of the company of a contact that stands keeps neither the
// contact's nor the lead's changes back.
func TestCompany_RefusedForAKnownContactIsLeftOut(t *testing.T) {
	for name, at := range map[string]amocrm.Endpoint{"made": amocrm.PostCompanies, "linked": amocrm.LinkContacts} {
		for _, r := range []*amocrm.Refused{refusal("name"), refusal("to_entity_id"), {Status: 403, Detail: "Forbidden"}, {Status: 400}} {
			t.Run(name+" "+r.Error(), func(t *testing.T) {
				inBubble(t, withCompany(t), func(t *testing.T, y *yard) {
					y.run()
					y.post(chat("chat_accepted", 1, ""))
					pass(time.Second)
					y.refuseIf(func(w amocrm.Write) *amocrm.Refused {
						if w.Endpoint == at {
							return r
						}
						return nil
					})
					seq := y.post(chat("chat_updated", 1, named))
					pass(time.Minute)
					warned(t, y.is(seq, event.Done, ""), "refused the company")
					y.crm.set(func() { y.crm.before = nil })
					equal(t, "leads", y.crm.made(), 1)
				})
			})
		}
	}
}

// A contact that another event brought into its company since this one's list froze
// is not brought there again: amoCRM may answer 500 to a pair that is linked.
func TestCompany_NotLinkedAgainMeanwhile(t *testing.T) {
	inBubble(t, withCompany(t), func(t *testing.T, y *yard) {
		y.run()
		y.post(chat("chat_accepted", 1, ""))
		pass(time.Second)
		y.crm.set(func() {
			y.crm.before = func(w amocrm.Write) error {
				if w.Endpoint != amocrm.LinkContacts {
					return nil
				}
				return &amocrm.NotSent{Trouble: amocrm.Unreachable, Reason: amocrm.Unreachable}
			}
		})
		seq := y.post(chat("chat_updated", 1, named))
		pass(time.Second)
		ev := y.event(seq)
		made := slices.IndexFunc(ev.Changes, func(ch event.Change) bool { return ch.Op == event.OpCreate && ch.Target == event.OnCompany })
		if ev.State != event.Pending || !ev.Frozen || made < 0 || ev.Changes[made].AmoID == 0 {
			t.Fatalf("before: %+v", ev)
		}
		y.update(func(tx *store.Tx) error {
			return changeRecord(tx, store.Cards, store.Key(shop, "contact", id(y.client(1).ContactID)), func(k *event.ContactCard) { k.Contact.CompanyID = ev.Changes[made].AmoID })
		})
		var links atomic.Int32
		y.crm.set(func() {
			y.crm.before = func(w amocrm.Write) error {
				if w.Endpoint == amocrm.LinkContacts {
					links.Add(1)
				}
				return nil
			}
		})
		pass(10 * time.Minute)
		y.is(seq, event.Done, "")
		equal(t, "links", links.Load(), 0)
	})
}
