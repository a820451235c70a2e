package book

import (
	"testing"
	"time"
)

func open() *Book {
	return New(Profile{Subdomain: "demo", Host: "demo.example.com", Timezone: "UTC", Users: DefaultUsers(), Pipelines: DefaultPipelines()})
}

func TestReplace_KeepsWhoTheAccountIs(t *testing.T) {
	b, saved := open(), open()
	b.Rename("renamed")
	saved.Cards[Leads].Add(&Record{Kind: Leads, ID: 7})
	b.Replace(saved)
	if _, ok := b.Cards[Leads].Live(7); !ok || b.Host() != "renamed.example.com" {
		t.Errorf("host %s, lead there: %v", b.Host(), ok)
	}
}

func TestClone_SharesNothing(t *testing.T) {
	r := &Record{
		Kind: Leads, Tags: []Tag{{1, "vip"}}, Contacts: []ContactLink{{ID: 1, Main: true}}, Leads: []int64{1},
		Fields: []Field{{ID: 1, Name: "Город", Values: []Value{{Text: "Тверь"}}}},
	}
	c := r.Clone()
	r.Tags[0].Name, r.Contacts[0].Main, r.Leads[0], r.Fields[0].Values[0].Text = "x", false, 2, "x"
	if c.Tags[0].Name != "vip" || !c.Contacts[0].Main || c.Leads[0] != 1 || c.Value("Город") != "Тверь" {
		t.Errorf("the copy changed with the record: %+v", c)
	}
}

// A write is found by `query` only once the index has seen it, and what was
// overwritten until then (amocrm-api.md §7.3).
func TestSearch_LagsBehindWrites(t *testing.T) {
	start := time.Unix(1_800_000_000, 0)
	r := &Record{Name: "Иван"}
	r.Reindex(start, 0)
	r.Name = "Пётр +7 999 123-45-67"
	r.Reindex(start, time.Minute)
	for _, tt := range []struct {
		after time.Duration
		query string
		want  bool
	}{
		{0, "иван", true}, {0, "пётр", false}, {59 * time.Second, "89991234567", false},
		{time.Minute, "89991234567", true}, {time.Minute, "иван", false}, {time.Minute, "ПЁТР", true},
	} {
		if got := r.Matches(tt.query, start.Add(tt.after)); got != tt.want {
			t.Errorf("%q after %v: %v", tt.query, tt.after, got)
		}
	}
}

func TestLinks_TheFirstContactIsTheMainOneUntilItGoes(t *testing.T) {
	b := open()
	lead := &Record{Kind: Leads, ID: 1}
	b.Cards[Leads].Add(lead)
	for id := int64(2); id <= 3; id++ {
		b.Cards[Contacts].Add(&Record{Kind: Contacts, ID: id})
		b.LinkContact(lead, id, false)
	}
	if lead.MainContact() != 2 {
		t.Errorf("main contact %d", lead.MainContact())
	}
	b.UnlinkContact(lead, 2)
	if left := b.Cards[Contacts].ByID[2].Leads; lead.MainContact() != 3 || len(left) != 0 {
		t.Errorf("main contact %d, the other one still has leads %v", lead.MainContact(), left)
	}
}
