package card

import (
	"testing"

	"github.com/jivo-amocrm/bridge/internal/event"
)

func (d *desk) contactTasks() (out []int64) {
	card, _ := d.contact(contact1)
	for _, k := range card.Tasks {
		out = append(out, k.ID)
	}
	return out
}

func TestHook_TasksOfTheContact(t *testing.T) {
	d := newDesk(t)
	d.link(nil, aLead())
	d.finished(taskHook("add", 77, contact1, 1, "0"))
	d.finished(taskHook("add", 78, contact1, 1, "0"))
	same(t, "added", d.contactTasks(), []int64{77, 78})
	d.finished(taskHook("update", 77, contact1, 1, "1"))
	same(t, "completed", d.contactTasks(), []int64{78})
	d.finished(form("task[delete][0][id]", "78"))
	same(t, "deleted", d.contactTasks(), nil)
	card, _ := d.lead(lead1)
	equal(t, "tasks of the lead", len(card.Tasks), 0)
}

func TestHook_TaskGoesBetweenLeadAndContact(t *testing.T) {
	d := newDesk(t)
	d.link(nil, aLead())
	for range 2 {
		d.finished(taskHook("add", 77, contact1, 1, "0"))
		card, _ := d.lead(lead1)
		equal(t, "tasks of the lead", len(card.Tasks), 0)
		same(t, "of the contact", d.contactTasks(), []int64{77})
		d.finished(taskHook("update", 77, lead1, 2, "0"))
		card, _ = d.lead(lead1)
		equal(t, "tasks of the lead", len(card.Tasks), 1)
		same(t, "of the contact", d.contactTasks(), nil)
	}
	d.finished(taskHook("update", 77, 850, 3, "0")) // to a company
	card, _ := d.lead(lead1)
	equal(t, "tasks of the lead", len(card.Tasks), 0)
}

// TestReply_TaskOfTheContactWhereTheLeadHasNone: the lead's own comes first.
func TestReply_TaskOfTheContactWhereTheLeadHasNone(t *testing.T) {
	shows := func(d *desk) string { return item(d.reply("chat_updated", chat1, ""), "Задача") }
	for name, c := range map[string]struct {
		cards []event.LeadCard
		want  string
	}{
		"no lead":               {nil, "22.11 12:00 Позвонить"},
		"a lead without a task": {[]event.LeadCard{aLead()}, "22.11 12:00 Позвонить"},
		"a lead with one":       {[]event.LeadCard{fullLead()}, "20.11 12:40 Позвонить"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			d.link(nil, c.cards...)
			d.finished(taskHook("add", 77, contact1, 1, "0"))
			equal(t, "task", shows(d), c.want)
		})
	}
}
