package app_test

import (
	"testing"
	"time"
)

// A Jivo task is one amoCRM task on the deal's lead: created, changed,
// completed.
func TestE2E_TaskOfADealFollowsItsLead(t *testing.T) {
	w := newWorld(t, setup{})
	p := ivan()
	due := time.Now().Add(48 * time.Hour).Truncate(time.Second)
	w.tell(pipelineGruzly("Gruzly"), p.accepted(), p.deal("created_deal", deal{id: 3, pipeline: 6, stage: 21, title: "Сделка"}),
		p.task("created_task", 2, 3, "Выставить счёт", due))
	task := one(t, "tasks", w.amo.Tasks())
	equal(t, "entity", task.EntityType, "leads")
	equal(t, "lead", task.EntityID, w.oneLead().ID)
	equal(t, "text", task.Text, "Выставить счёт")
	equal(t, "due", task.CompleteTill, due.Unix())
	equal(t, "responsible", task.ResponsibleID, userAnna) // agent 1 is known by e-mail from the chat

	later := due.Add(time.Hour)
	w.tell(p.task("updated_task", 2, 3, "Выставить два счёта", later))
	task = one(t, "tasks", w.amo.Tasks())
	equal(t, "text", task.Text, "Выставить два счёта")
	equal(t, "due", task.CompleteTill, later.Unix())

	w.tell(p.task("fired_task", 2, 3, "Выставить два счёта", later))
	if st := w.last("fired_task").State; st != "skipped" {
		t.Errorf("fired_task is %s, want skipped", st)
	}
	w.tell(p.task("completed_task", 2, 3, "Выставить два счёта", later))
	task = one(t, "tasks", w.amo.Tasks())
	equal(t, "completed", task.Completed, true)
}

// A task without a deal stands on the contact; deleted in Jivo it is completed
// with that as its result. Several tasks are several tasks.
func TestE2E_TaskOfAClientStandsOnTheContact(t *testing.T) {
	w := newWorld(t, setup{})
	p := ivan()
	due := time.Now().Add(time.Hour)
	w.tell(p.accepted(), p.task("created_task", 2, 0, "Позвонить", due), p.task("created_task", 4, 0, "Написать", due))
	tasks := w.amo.Tasks()
	if len(tasks) != 2 {
		t.Fatalf("%d tasks", len(tasks))
	}
	for _, k := range tasks {
		equal(t, "entity", k.EntityType, "contacts")
		equal(t, "contact", k.EntityID, w.oneContact().ID)
	}
	w.tell(p.task("deleted_task", 4, 0, "Написать", due))
	for _, k := range w.amo.Tasks() {
		equal(t, "completed "+k.Text, k.Completed, k.Text == "Написать")
		if k.Completed {
			equal(t, "result", k.Result, "удалена в Jivo")
		}
	}
}

// A task changed before it was ever seen is made as it is now; one completed
// that was never made is skipped.
func TestE2E_TaskSeenLate(t *testing.T) {
	w := newWorld(t, setup{})
	p := ivan()
	due := time.Now().Add(time.Hour)
	w.tell(p.accepted(), p.task("updated_task", 2, 0, "Позвонить", due))
	equal(t, "text", one(t, "tasks", w.amo.Tasks()).Text, "Позвонить")
	w.tell(p.task("completed_task", 9, 0, "Чужая", due))
	equal(t, "state", w.last("completed_task").State, "skipped")
	equal(t, "tasks", len(w.amo.Tasks()), 1)
}

// A task of an unknown client is parked, taken up when somebody describes the
// client; after `park` it dies as client_unknown and is revived by itself.
func TestE2E_TaskOfAnUnknownClient(t *testing.T) {
	w := newWorld(t, setup{conn: "park: 300ms"})
	p := ivan()
	w.post(p.task("created_task", 2, 0, "Позвонить", time.Now().Add(time.Hour)))
	w.await("the task is dead", func() bool { return w.last("created_task").State == "dead" })
	w.ended("created_task", "dead", "client_unknown")
	w.tell(p.accepted())
	w.ended("created_task", "done", "")
	equal(t, "contact", one(t, "tasks", w.amo.Tasks()).EntityID, w.oneContact().ID)
}

// After `park` a task of an unknown client goes to its deal's lead, if that is
// there.
func TestE2E_TaskOfAnUnknownClientOnItsDealsLead(t *testing.T) {
	w := newWorld(t, setup{conn: "park: 200ms"})
	p := ivan()
	w.post(pipelineGruzly("Gruzly"), p.deal("created_deal", deal{id: 3, pipeline: 6, stage: 21, title: "Сделка"}),
		p.task("created_task", 2, 3, "Позвонить", time.Now().Add(time.Hour)))
	w.await("the task has waited", func() bool { return w.last("created_task").State == "done" })
	task := one(t, "tasks", w.amo.Tasks())
	equal(t, "entity", task.EntityType, "leads")
	equal(t, "lead", task.EntityID, w.oneLead().ID)
}

// Attributes of an unknown client are parked, then kept and skipped; those of a
// linked one go into contact fields of the same name.
func TestE2E_Attributes(t *testing.T) {
	attributes := func(p *person, a any) []byte {
		return jsonOf(m{"event_name": "client_attribute_updated", "widget_id": "3948", "user_token": nil, "client_id": p.Number, "attributes": a})
	}
	w := newWorld(t, setup{conn: "park: 200ms"})
	p, q := ivan(), maria()
	w.post(attributes(p, m{"Город": "Казань"}))
	w.await("they have waited", func() bool { return w.last("client_attribute_updated").State == "skipped" })

	w.tell(q.accepted())
	w.tell(attributes(q, m{"Город": "Самара", "Возраст": 30}))
	c := w.oneContact()
	equal(t, "Город", c.Value("Город"), "Самара")
	// The other form the page prints: a list of one-key objects.
	w.tell(attributes(q, []m{{"Должность": "Директор"}}))
	equal(t, "Должность", w.oneContact().Value("Должность"), "Директор")
}

// `builtin: {tasks: off}`.
func TestE2E_TasksSwitchedOff(t *testing.T) {
	w := newWorld(t, setup{conn: "builtin: {tasks: off}"})
	p := ivan()
	w.tell(p.accepted(), p.task("created_task", 2, 0, "Позвонить", time.Now().Add(time.Hour)))
	w.ended("created_task", "skipped", "switched_off")
	equal(t, "tasks", len(w.amo.Tasks()), 0)
}

// Due times count inside the work hours.
func TestE2E_TaskIsDueInsideWorkHours(t *testing.T) {
	zone := time.FixedZone("MSK", 3*3600)
	now := time.Now().In(zone)
	// One hour of work a day, which lies twelve hours ahead.
	from := now.Add(12 * time.Hour).Truncate(time.Hour)
	to := from.Add(2 * time.Hour)
	if to.Day() != from.Day() {
		from, to = from.Add(-4*time.Hour), to.Add(-4*time.Hour)
	}
	w := newWorld(t, setup{conn: `work_hours: {days: mon-sun, from: "` + from.Format("15:04") + `", to: "` + to.Format("15:04") + `"}`})
	w.tell(ivan().offline(1, "Вечером напишите"))
	got := time.Unix(one(t, "tasks", w.amo.Tasks()).CompleteTill, 0).In(zone)
	equal(t, "due", got.Format("15:04"), from.Add(time.Hour).Format("15:04"))
}
