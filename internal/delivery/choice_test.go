package delivery

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm/items"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/jivo"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// at hands one event to white-box tests: a job whose event came and was learned.
func (y *yard) at(body string, client *event.Client) *job {
	y.t.Helper()
	m, err := jivo.Decode([]byte(body))
	if err != nil {
		y.t.Fatal(err)
	}
	return &job{d: y.d, c: y.c, seq: 1, ev: &event.Event{Seq: 1, Connection: shop, Kind: m.Kind, ReceivedAt: time.Now()}, state: state{msg: m, client: client}}
}

func contactOf(id, updated int64, leadIDs ...int64) *event.ContactCard {
	return &event.ContactCard{Contact: event.Contact{ID: id, UpdatedAt: updated, LeadIDs: leadIDs}, ReadAt: time.Now()}
}

func (y *yard) leads(list ...event.Lead) {
	for _, l := range list {
		y.crm.leads[l.ID] = l
	}
}

const open, bulkOpen = 11, 22

func TestChoose_AmongSeveralContacts(t *testing.T) {
	marked := contactOf(3, 1)
	marked.Contact.Fields = map[int64]event.Values{7: {{Text: "jv-c9@shop " + items.ClientToken("1", shop)}}}
	like := contactOf(8, 900)
	like.Contact.Fields = map[int64]event.Values{7: {{Text: items.ClientToken("11", shop)}}}
	for name, c := range map[string]struct {
		cards []*event.ContactCard
		want  int64
	}{
		"the only one":                 {[]*event.ContactCard{contactOf(5, 1)}, 5},
		"the marked one before all":    {[]*event.ContactCard{contactOf(2, 900, 50), marked, like}, 3},
		"the one with an open lead":    {[]*event.ContactCard{contactOf(2, 900, 51), contactOf(4, 100, 50), contactOf(5, 500)}, 4},
		"the latest with an open lead": {[]*event.ContactCard{contactOf(4, 100, 50), contactOf(6, 200, 52)}, 6},
		"the latest updated":           {[]*event.ContactCard{contactOf(2, 100), contactOf(9, 300), contactOf(4, 200)}, 9},
		"the lowest id":                {[]*event.ContactCard{contactOf(9, 100), contactOf(2, 100), contactOf(4, 100)}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			y := newYard(t, nil)
			y.leads(event.Lead{ID: 50, StatusID: open}, event.Lead{ID: 51, StatusID: event.StatusWon}, event.Lead{ID: 52, StatusID: open})
			j := y.at(chat("chat_accepted", 1, ""), &event.Client{ID: "1"})
			got, _, err := j.choose(context.Background(), c.cards)
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "chosen", got.Contact.ID, c.want)
			warned := strings.Contains(strings.Join(j.ev.Warnings, " "), "ambiguous_contact")
			equal(t, "warned", warned, len(c.cards) > 1)
		})
	}
}

func TestFindContact_HitsAreCheckedAgain(t *testing.T) {
	value := func(s string) []event.Value { return []event.Value{{Text: s}} }
	for name, c := range map[string]struct {
		there event.Contact
		want  int64
	}{
		"in a note beside another number":     {event.Contact{ID: 5, Phones: value("+7 495 000-00-00 9160000001")}, 0},
		"the same number in another spelling": {event.Contact{ID: 5, Phones: value("+7 9160000001")}, 5},
		"the number inside another one":       {event.Contact{ID: 5, Phones: value("+49 1609160000001")}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			y := newYard(t, nil)
			y.crm.contacts[5] = c.there
			j := y.at(chat("chat_accepted", 1, ""), &event.Client{ID: "1"})
			card, match, err := j.findContact(context.Background(), &event.Find{By: []string{"client", "phone", "email"}})
			if err != nil {
				t.Fatal(err)
			}
			if (card != nil) != (c.want != 0) || match.ID != c.want {
				t.Errorf("found %+v: %+v", card, match)
			}
		})
	}
}

func TestFindContact_TheLinkedOneBeforeAnySearch(t *testing.T) {
	y := newYard(t, nil)
	y.crm.contacts[5] = event.Contact{ID: 5}
	j := y.at(chat("chat_accepted", 1, ""), &event.Client{ID: "1", ContactID: 5})
	_, match, err := j.findContact(context.Background(), &event.Find{By: []string{"client", "phone"}})
	if err != nil || match.ID != 5 || match.By != "client" || y.crm.searches != 0 {
		t.Errorf("%+v, %d searches, %v", match, y.crm.searches, err)
	}
}

func TestFindContact_GoneOneIsUnlinkedAndSearchedAnew(t *testing.T) {
	y := newYard(t, nil)
	y.crm.contacts[6] = event.Contact{ID: 6, Phones: []event.Value{{Text: "+79160000001"}}}
	j := y.at(chat("chat_accepted", 1, ""), &event.Client{ID: "1", ContactID: 5})
	_, match, err := j.findContact(context.Background(), &event.Find{By: []string{"client", "phone"}})
	if err != nil || match.ID != 6 || match.By != "phone" || j.client.ContactID != 0 || len(j.ev.Warnings) == 0 {
		t.Errorf("%+v, linked to %d, warnings %q, %v", match, j.client.ContactID, j.ev.Warnings, err)
	}
}

func TestFindContact_LinkedOnlySearchesNothing(t *testing.T) {
	y := newYard(t, nil)
	y.crm.contacts[6] = event.Contact{ID: 6, Phones: []event.Value{{Text: "+79160000001"}}}
	j := y.at(chat("chat_accepted", 1, ""), &event.Client{ID: "1"})
	card, _, err := j.findContact(context.Background(), &event.Find{By: []string{"client", "phone"}, Linked: true})
	if err != nil || card != nil || y.crm.searches != 0 {
		t.Errorf("%+v, %d searches, %v", card, y.crm.searches, err)
	}
}

func TestFindContact_WhatTheDirectoryKnowsIsNotSearched(t *testing.T) {
	y := newYard(t, nil)
	y.crm.contacts[6] = event.Contact{ID: 6, Phones: []event.Value{{Text: "+79160000001"}}}
	y.update(func(tx *store.Tx) error { return tx.SetContactKeys(demoHost, 6, []string{"p:+79160000001"}) })
	j := y.at(chat("chat_accepted", 1, ""), &event.Client{ID: "1"})
	_, match, err := j.findContact(context.Background(), &event.Find{By: []string{"phone"}})
	if err != nil || match.ID != 6 || y.crm.searches != 0 {
		t.Errorf("%+v, %d searches, %v", match, y.crm.searches, err)
	}
}

func TestFindContact_SearchIsSparedOnlyWhereTheDirectoryKnowsAll(t *testing.T) {
	for name, c := range map[string]struct {
		complete, idle bool
		searches       int
	}{
		"complete, busy":               {true, false, 0},
		"complete, with room to spare": {true, true, 1},
		"not complete":                 {false, false, 1},
	} {
		t.Run(name, func(t *testing.T) {
			y := newYard(t, nil)
			a := y.c.Account
			a.Complete, a.Idle = func() bool { return c.complete }, func() bool { return c.idle }
			j := y.at(chat("chat_accepted", 1, ""), &event.Client{ID: "1"})
			if _, _, err := j.findContact(context.Background(), &event.Find{By: []string{"phone"}}); err != nil {
				t.Fatal(err)
			}
			equal(t, "searches", y.crm.searches, c.searches)
		})
	}
}

func TestFindContact_SearchInVainIsNotMadeAgainForAMinute(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		look := func() {
			j := y.at(chat("chat_accepted", 1, ""), &event.Client{ID: "1"})
			if _, _, err := j.findContact(context.Background(), &event.Find{By: []string{"phone"}}); err != nil {
				t.Fatal(err)
			}
		}
		look()
		pass(missFor - time.Second)
		look()
		equal(t, "searches within it", y.crm.searches, 1)
		pass(2 * time.Second)
		look()
		equal(t, "searches after it", y.crm.searches, 2)
	})
}

func TestEmailsElsewhere_ThePhonesContactWins(t *testing.T) {
	y := newYard(t, nil)
	y.crm.contacts[5] = event.Contact{ID: 5, Phones: []event.Value{{Text: "+79160000001"}}}
	y.crm.contacts[6] = event.Contact{ID: 6, Emails: []event.Value{{Text: "v@example.com"}}}
	body := `{"event_name":"chat_accepted","chat_id":"k1","visitor":{"number":"1","phone":"+79160000001","email":"v@example.com"}}`
	j := y.at(body, &event.Client{ID: "1"})
	card, match, err := j.findContact(context.Background(), &event.Find{By: []string{"phone", "email"}})
	if err != nil || match.ID != 5 {
		t.Fatalf("%+v, %v", match, err)
	}
	foreign, err := j.emailsElsewhere(context.Background(), card)
	if err != nil || !foreign["v@example.com"] || len(j.ev.Warnings) == 0 {
		t.Errorf("%v, warnings %q, %v", foreign, j.ev.Warnings, err)
	}
}

func TestFindLead_OfTheContact(t *testing.T) {
	now := time.Now().Unix()
	all := []event.Lead{
		{ID: 50, StatusID: open, PipelineID: 1, CreatedAt: 100}, {ID: 51, StatusID: bulkOpen, PipelineID: 2, CreatedAt: 200},
		{ID: 52, StatusID: event.StatusWon, PipelineID: 1, CreatedAt: 300, ClosedAt: now - 3600}, {ID: 53, StatusID: event.StatusLost, PipelineID: 1, CreatedAt: 400, ClosedAt: now - 30*86400},
	}
	for name, c := range map[string]struct {
		find event.Find
		ids  []int64
		want int64
	}{
		"open: the newest":                          {event.Find{By: []string{"open"}}, []int64{50, 51, 52, 53}, 51},
		"open in a pipeline":                        {event.Find{By: []string{"open"}, Pipeline: "Sales"}, []int64{50, 51, 52, 53}, 50},
		"open_any minds no pipeline":                {event.Find{By: []string{"open_any"}, Pipeline: "Sales"}, []int64{50, 51}, 51},
		"open in a pipeline nobody knows: any":      {event.Find{By: []string{"open"}, Pipeline: "Gone"}, []int64{50, 51}, 51},
		"closed ones are none":                      {event.Find{By: []string{"open"}}, []int64{52, 53}, 0},
		"recent: closed not longer ago":             {event.Find{By: []string{"recent"}, Recent: 2 * time.Hour}, []int64{52, 53}, 52},
		"recent: closed longer ago":                 {event.Find{By: []string{"recent"}, Recent: 30 * time.Minute}, []int64{52, 53}, 0},
		"recent: an open one before a newer closed": {event.Find{By: []string{"recent"}, Recent: 2 * time.Hour}, []int64{50, 52}, 50},
		"no leads": {event.Find{By: []string{"open"}}, nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			y := newYard(t, nil)
			y.leads(all...)
			j := y.at(chat("chat_accepted", 1, ""), &event.Client{ID: "1"})
			card, match, err := j.findLead(context.Background(), &c.find, contactOf(5, 1, c.ids...))
			if err != nil {
				t.Fatal(err)
			}
			if match.ID != c.want || (card != nil) != (c.want != 0) {
				t.Errorf("found %+v, want %d", match, c.want)
			}
		})
	}
}

func TestFindLead_OpenedByHandMeanwhileIsFound(t *testing.T) {
	y := newYard(t, nil)
	y.leads(event.Lead{ID: 50, StatusID: open, PipelineID: 1})
	y.crm.contacts[5] = event.Contact{ID: 5, LeadIDs: []int64{50}}
	known := contactOf(5, 1)
	known.ReadAt = time.Now().Add(-time.Minute) // fresh enough for its fields, not for its leads
	j := y.at(chat("chat_accepted", 1, ""), &event.Client{ID: "1"})
	_, match, err := j.findLead(context.Background(), &event.Find{By: []string{"open"}}, known)
	if err != nil || match.ID != 50 {
		t.Errorf("%+v, %v", match, err)
	}
}

func TestFindLead_OfTheChat(t *testing.T) {
	for name, c := range map[string]struct {
		kind   string
		status int64
		gone   bool
		want   int64
	}{
		"open, a new chat":           {"chat_accepted", open, false, 50},
		"closed, an update":          {"chat_updated", event.StatusWon, false, 50},
		"closed, the chat is over":   {"chat_finished", event.StatusLost, false, 50},
		"closed, a new chat":         {"chat_accepted", event.StatusWon, false, 0},
		"closed, an offline message": {"offline_message", event.StatusWon, false, 0},
		"deleted":                    {"chat_updated", open, true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			y := newYard(t, nil)
			if !c.gone {
				y.leads(event.Lead{ID: 50, StatusID: c.status, PipelineID: 1})
			}
			y.leads(event.Lead{ID: 51, StatusID: open})
			client := &event.Client{ID: "1", Leads: []event.Link{{LeadID: 50, Chats: []string{"k1"}}, {LeadID: 51, Chats: []string{"k2"}}}}
			j := y.at(chat(c.kind, 1, ""), client)
			_, match, err := j.findLead(context.Background(), &event.Find{By: []string{"chat"}}, nil)
			if err != nil || match.ID != c.want {
				t.Errorf("%+v, %v; want %d", match, err, c.want)
			}
			if c.gone && (len(j.client.Leads) != 1 || len(j.ev.Warnings) == 0) {
				t.Errorf("links %+v, warnings %q", j.client.Leads, j.ev.Warnings)
			}
		})
	}
}

func TestFindLead_ADealAdopts(t *testing.T) {
	ago := func(d time.Duration) time.Time { return time.Now().Add(-d) }
	for name, c := range map[string]struct {
		links []event.Link
		want  int64
	}{
		"the chat's lead":                  {[]event.Link{{LeadID: 50, Made: "chat", At: ago(time.Hour)}}, 50},
		"the newest of two":                {[]event.Link{{LeadID: 50, Made: "chat", At: ago(2 * time.Hour)}, {LeadID: 51, Made: "chat", At: ago(time.Hour)}}, 51},
		"one that stands for another deal": {[]event.Link{{LeadID: 50, Made: "chat", Deal: "9", At: ago(time.Hour)}}, 0},
		"one found, not made":              {[]event.Link{{LeadID: 50, Made: "found", At: ago(time.Hour)}}, 0},
		"one made by a deal":               {[]event.Link{{LeadID: 50, Made: "deal", At: ago(time.Hour)}}, 0},
		"a closed one":                     {[]event.Link{{LeadID: 52, Made: "chat", At: ago(time.Hour)}}, 0},
		"thirty days old":                  {[]event.Link{{LeadID: 50, Made: "chat", At: ago(30*24*time.Hour - time.Minute)}}, 50},
		"older than that":                  {[]event.Link{{LeadID: 50, Made: "chat", At: ago(30*24*time.Hour + time.Minute)}}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			y := newYard(t, nil)
			y.leads(event.Lead{ID: 50, StatusID: open}, event.Lead{ID: 51, StatusID: open}, event.Lead{ID: 52, StatusID: event.StatusWon})
			j := y.at(deal(1, "D"), &event.Client{ID: "1", Leads: c.links})
			j.deal = &event.Deal{ID: "3"}
			_, match, err := j.findLead(context.Background(), &event.Find{By: []string{"deal", "adopt"}}, nil)
			if err != nil || match.ID != c.want {
				t.Errorf("%+v, %v; want %d", match, err, c.want)
			}
		})
	}
}

func TestTarget_Order(t *testing.T) {
	leadCard := func(id int64) *event.LeadCard { return &event.LeadCard{Lead: event.Lead{ID: id}} }
	chatLinked := []event.Link{{LeadID: 51, Chats: []string{"k1"}}}
	for name, c := range map[string]struct {
		to                      string
		f                       found
		makesContact, makesLead bool
		links                   []event.Link
		deal                    int64
		linked                  int64
		want                    string
	}{
		"the event's lead":               {to: "lead", f: found{lead: leadCard(50), contact: contactOf(5, 1, 52)}, links: chatLinked, want: "leads/50"},
		"the lead it makes":              {to: "lead", makesLead: true, links: chatLinked, want: "leads/0"},
		"the chat's lead":                {to: "lead", f: found{contact: contactOf(5, 1, 52)}, links: chatLinked, deal: 53, want: "leads/51"},
		"the deal's lead":                {to: "lead", f: found{contact: contactOf(5, 1, 52)}, deal: 53, want: "leads/53"},
		"the contact's open lead":        {to: "lead", f: found{contact: contactOf(5, 1, 52)}, want: "leads/52"},
		"the linked contact's open lead": {to: "lead", linked: 6, want: "leads/52"},
		"the contact, if it has none":    {to: "lead", f: found{contact: contactOf(5, 1)}, want: "contacts/5"},
		"the contact it makes":           {to: "lead", makesContact: true, want: "contacts/0"},
		"nothing":                        {to: "lead", want: ""},
		"contact: the event's":           {to: "contact", f: found{lead: leadCard(50), contact: contactOf(5, 1)}, want: "contacts/5"},
		"contact: the one it makes":      {to: "contact", f: found{lead: leadCard(50)}, makesContact: true, want: "contacts/0"},
		"contact: the linked one":        {to: "contact", linked: 6, want: "contacts/6"},
		"contact: none":                  {to: "contact", f: found{lead: leadCard(50)}, want: ""},
	} {
		t.Run(name, func(t *testing.T) {
			y := newYard(t, nil)
			y.leads(event.Lead{ID: 51, StatusID: open}, event.Lead{ID: 52, StatusID: open}, event.Lead{ID: 53, StatusID: open})
			y.crm.contacts[6] = event.Contact{ID: 6, LeadIDs: []int64{52}}
			j := y.at(chat("chat_updated", 1, ""), &event.Client{ID: "1", ContactID: c.linked, Leads: c.links})
			if c.deal != 0 {
				j.deal = &event.Deal{ID: "3", LeadID: c.deal}
			}
			entity, eid, ok, err := j.target(context.Background(), c.to, &c.f, c.makesContact, c.makesLead)
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if ok {
				got = entity + "/" + id(eid)
			}
			equal(t, "target", got, c.want)
		})
	}
}

func TestMergeReplay_NeverRepeatsWhatIsSettled(t *testing.T) {
	ch := func(key string, op event.Op, s event.ChangeState, amo int64) event.Change {
		return event.Change{Key: key, Op: op, State: s, AmoID: amo}
	}
	old := []event.Change{
		ch("1/create/lead/", event.OpCreate, event.Settled, 50), ch("1/create/note/a", event.OpCreate, event.Dropped, 0),
		ch("1/create/note/gone", event.OpCreate, event.Settled, 60), ch("1/update/contact/", event.OpUpdate, event.Settled, 5),
		ch("1/create/task/t", event.OpCreate, event.Sent, 0),
	}
	fresh := []event.Change{
		ch("1/create/lead/", event.OpCreate, event.Open, 0), ch("1/create/note/a", event.OpCreate, event.Open, 0),
		ch("1/update/contact/", event.OpUpdate, event.Open, 0), ch("1/create/task/t", event.OpCreate, event.Open, 0),
	}
	got := mergeReplay(&event.Event{Changes: old}, append([]event.Change(nil), fresh...))
	states := map[string]event.ChangeState{}
	for _, c := range got {
		states[c.Key] = c.State
	}
	for key, want := range map[string]event.ChangeState{
		"1/create/lead/": event.Settled, "1/create/note/a": event.Open, "1/create/note/gone": event.Settled, "1/update/contact/": event.Open, "1/create/task/t": event.Sent,
	} {
		equal(t, key, states[key], want)
	}
	equal(t, "changes", len(got), 5)
	again := mergeReplay(&event.Event{Changes: old, Again: true, Replays: 2}, append([]event.Change(nil), fresh...))
	stands := len(old) - 1 // but for what was refused, and is asked for anew
	equal(t, "changes when asked to repeat", len(again), stands+len(fresh))
	equal(t, "the key of a repeat", again[stands].Key, "1/create/lead/#2")
}

func TestSeqOf_ReadsWhatKeyOfWrote(t *testing.T) {
	seq, ok := seqOf(keyOf(42, event.OpCreate, event.OnNote, "a/b"))
	if seq != 42 || !ok {
		t.Errorf("%d, %v", seq, ok)
	}
	for _, bad := range []string{"", "look", "x/create"} {
		if _, ok := seqOf(bad); ok {
			t.Errorf("%q is taken for a key", bad)
		}
	}
}
