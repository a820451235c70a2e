package app_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/jivo-amocrm/bridge/internal/emulator"
)

// pipelineGruzly is Jivo's sample pipeline with one stage more, whose title is
// also one of amoCRM's, one that `deals.stages` names, and an unknown one.
func pipelineGruzly(title string) []byte {
	stage := func(id int, title string, final any) m {
		return m{"pipeline_status_id": id, "title": title, "position": id, "color": "1fb6fd", "type": "user", "final_status": final}
	}
	return jsonOf(m{
		"event_name": "created_pipeline", "pipeline_id": 6, "title": title, "currency": "RUB",
		"pipeline_statuses": []m{
			stage(19, "finished", "successful"), stage(20, "unsuccessful", "unsuccessful"), stage(21, "Новая", nil),
			stage(22, "Согласование", nil), stage(23, "Торг", nil), stage(24, "Неведомая", nil),
		},
		"pipeline_reject_reasons": []m{{"pipeline_reject_reason_id": 21, "title": "Слишком дорого", "position": 0}, {"pipeline_reject_reason_id": 99, "title": "Нет такой причины", "position": 1}},
	})
}

// A deal takes over the lead of the client's chat: first sight writes under
// fill, afterwards only what changed in Jivo since the last event of the deal.
func TestE2E_DealTakesOverTheChatsLead(t *testing.T) {
	w := newWorld(t, setup{})
	p := ivan()
	w.tell(pipelineGruzly("Gruzly"), p.accepted())
	w.oneLead()
	d := deal{id: 3, pipeline: 6, stage: 21, title: "Партия досок", text: "Доставка в пятницу", amount: 15000, agent: 1}
	w.tell(p.deal("created_deal", d))
	l := w.oneLead()
	equal(t, "price", l.Price, 15000.0)
	equal(t, "name", l.Name, "Партия досок") // what stood there the bridge wrote
	if !slices.Contains(w.notes(l.ID, common), "Доставка в пятницу") {
		t.Errorf("no note with the deal's text: %q", w.notes(l.ID, common))
	}
	holds(t, "marker", l.Value("Jivo ID"), "jv-d3@shop", "jv-k7636@shop")
	equal(t, "stage", l.StatusID, stageFirst)

	// The manager works on; renaming the deal in Jivo drags nothing back.
	w.manager(w.amo.MoveLead(l.ID, stageTalks, 0))
	price := 20000.0
	w.manager(w.amo.EditLead(l.ID, editOf{Price: &price}))
	w.manager(w.amo.SetResponsible(l.ID, userOwner))
	d.title = "Партия вагонки"
	w.tell(p.deal("updated_deal", d))
	l = w.oneLead()
	equal(t, "name", l.Name, "Партия вагонки")
	equal(t, "stage", l.StatusID, stageTalks)
	equal(t, "price", l.Price, 20000.0)
	equal(t, "responsible", l.ResponsibleID, userOwner)
	equal(t, "notes", len(w.notes(l.ID, common)), 1)

	// What changes in Jivo is written even over the manager's value.
	d.amount, d.text = 30000, "Самовывоз"
	w.tell(p.deal("updated_deal", d))
	l = w.oneLead()
	equal(t, "price", l.Price, 30000.0)
	equal(t, "stage", l.StatusID, stageTalks)
	if !slices.Contains(w.notes(l.ID, common), "Самовывоз") {
		t.Errorf("no note with the changed text: %q", w.notes(l.ID, common))
	}
	// A later chat of the client comes to the same lead.
	p.Chat = 7640
	w.tell(p.accepted())
	w.oneLead()
}

// Two deals of one client are two leads; a deal does not take over the lead of
// another.
func TestE2E_SecondDealIsAnotherLead(t *testing.T) {
	w := newWorld(t, setup{})
	p := ivan()
	w.tell(pipelineGruzly("Gruzly"), p.accepted(),
		p.deal("created_deal", deal{id: 3, pipeline: 6, stage: 21, title: "Первая"}),
		p.deal("created_deal", deal{id: 4, pipeline: 6, stage: 21, title: "Вторая"}))
	leads := w.amo.Leads()
	if len(leads) != 2 {
		t.Fatalf("%d leads", len(leads))
	}
	same(t, "names", []string{leads[0].Name, leads[1].Name}, []string{"Первая", "Вторая"})
	for _, l := range leads {
		equal(t, "contact", l.Contacts[0].ID, w.oneContact().ID)
	}
}

// A lead from a pop-up form counts as made from a chat: a deal takes it over. A
// manager's own lead does not.
func TestE2E_DealAdoptsTheFormsLeadOnly(t *testing.T) {
	w := newWorld(t, setup{})
	p, q := ivan(), maria()
	w.tell(pipelineGruzly("Gruzly"), p.clientUpdated(), p.deal("created_deal", deal{id: 3, pipeline: 6, stage: 21, title: "С сайта"}))
	equal(t, "the form's lead", w.oneLead().Name, "С сайта")

	cid, err := w.amo.CreateContact(cardOf{Edit: editOf{Name: "Мария"}, Phone: q.Phone})
	w.manager(err)
	own, err := w.amo.CreateLead(cardOf{Edit: editOf{Name: "Ручная"}, ContactID: cid})
	w.manager(err)
	w.tell(q.crm("created_client"), q.deal("created_deal", deal{id: 5, pipeline: 6, stage: 21, title: "Из Jivo"}))
	equal(t, "the manager's lead", w.lead(own).Name, "Ручная")
	equal(t, "leads", len(w.amo.Leads()), 3)
}

// The order of stage mapping: deals.stages, else equal titles, else final
// status, else the pipeline's first stage with a warning.
func TestE2E_StagesOfDeals(t *testing.T) {
	conn := "deals:\n  stages:\n    \"23\": {pipeline: Продажи, stage: Переговоры}\n    \"Опт / Новая\": {pipeline: Продажи, stage: Принимают решение}"
	for _, c := range []struct {
		name         string
		stage        int
		pipeline, at int64
		reject       int
		loss         int64
		warning      string
	}{
		{"by the id in deals.stages", 23, pipeSales, stageTalks, 0, 0, ""},
		{"by the titles in deals.stages", 21, pipeSales, stageDeciding, 0, 0, ""},
		{"by equal titles", 22, pipeBulk, stageBulkAgreed, 0, 0, ""},
		{"won", 19, pipeBulk, 142, 0, 0, ""},
		{"lost for a reason of the same name", 20, pipeBulk, 143, 21, 1, ""},
		{"lost for a reason the account lacks", 20, pipeBulk, 143, 99, 0, "loss"},
		{"nothing fits: the first stage", 24, pipeBulk, stageBulkFirst, 0, 0, "24"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, setup{conn: conn})
			p := ivan()
			w.tell(pipelineGruzly("Опт"), p.crm("created_client"))
			w.tell(p.deal("created_deal", deal{id: 3, pipeline: 6, stage: c.stage, reject: c.reject, title: "Сделка"}))
			l := w.oneLead()
			equal(t, "pipeline", l.PipelineID, c.pipeline)
			equal(t, "stage", l.StatusID, c.at)
			equal(t, "loss reason", l.LossReasonID, c.loss)
			if c.warning != "" {
				w.warned(w.last("created_deal"), c.warning)
			}
		})
	}
}

// A deal that moves in Jivo moves its lead; won and lost carry over.
func TestE2E_DealMovesItsLead(t *testing.T) {
	w := newWorld(t, setup{conn: `deals: {stages: {"23": {pipeline: Продажи, stage: Переговоры}}}`})
	p := ivan()
	d := deal{id: 3, pipeline: 6, stage: 21, title: "Сделка"}
	w.tell(pipelineGruzly("Gruzly"), p.accepted(), p.deal("created_deal", d))
	equal(t, "stage", w.oneLead().StatusID, stageFirst)
	d.stage = 23
	w.tell(p.deal("updated_deal", d))
	equal(t, "stage", w.oneLead().StatusID, stageTalks)
	d.stage, d.reject = 20, 21
	w.tell(p.deal("updated_deal", d))
	equal(t, "stage", w.oneLead().StatusID, emulator.StatusLost)
	equal(t, "pipeline", w.oneLead().PipelineID, pipeSales)
	equal(t, "loss reason", w.oneLead().LossReasonID, int64(1))
	d.stage, d.reject = 23, 0
	w.tell(p.deal("updated_deal", d))
	equal(t, "reopened", w.oneLead().StatusID, stageTalks)
	equal(t, "loss reason", w.oneLead().LossReasonID, int64(0))
}

// A deal whose client is unknown is parked; after `park` it is a lead without a
// contact, with a warning; the contact is linked when somebody describes the
// client.
func TestE2E_DealOfAnUnknownClient(t *testing.T) {
	w := newWorld(t, setup{conn: "park: 200ms"})
	p := ivan()
	w.post(pipelineGruzly("Gruzly"), p.deal("created_deal", deal{id: 3, pipeline: 6, stage: 21, title: "Сделка", text: "Подробности", amount: 100}))
	w.await("the deal has waited", func() bool { return w.last("created_deal").State == "done" })
	w.settle()
	w.warned(w.last("created_deal"), "client_unknown")
	l := w.oneLead()
	equal(t, "name", l.Name, "Сделка")
	if len(l.Contacts) != 0 || len(w.amo.Contacts()) != 0 {
		t.Fatalf("a contact was made of nothing: %v", l.Contacts)
	}
	w.tell(p.crm("updated_client"))
	l = w.oneLead()
	if len(l.Contacts) != 1 {
		t.Fatalf("the contact was not linked: %v", w.amo.Contacts())
	}
	same(t, "phones", w.oneContact().Values("PHONE"), []string{"+79160000001"})
	equal(t, "notes", len(w.notes(l.ID, common)), 1)
	// And the client's chat comes to their deal's lead.
	w.tell(p.accepted())
	w.oneLead()
	w.oneContact()
}

// The same when a chat describes the client first.
func TestE2E_BareDealIsLinkedByAChat(t *testing.T) {
	w := newWorld(t, setup{conn: "park: 100ms"})
	p := ivan()
	w.tell(pipelineGruzly("Gruzly"), p.deal("created_deal", deal{id: 3, pipeline: 6, stage: 21, title: "Сделка"}))
	w.await("the deal has waited", func() bool { return w.last("created_deal").State == "done" })
	w.tell(p.accepted())
	w.settle()
	c := w.oneContact()
	for _, l := range w.amo.Leads() {
		if len(l.Contacts) != 1 || l.Contacts[0].ID != c.ID {
			t.Errorf("lead %q has the contacts %v, want %d", l.Name, l.Contacts, c.ID)
		}
	}
}

// A deal parked is taken up as soon as its client is described.
func TestE2E_ParkedDealIsTakenUp(t *testing.T) {
	w := newWorld(t, setup{})
	p := ivan()
	w.tell(pipelineGruzly("Gruzly"), p.deal("created_deal", deal{id: 3, pipeline: 6, stage: 21, title: "Сделка"}))
	equal(t, "state", w.last("created_deal").State, "parked")
	w.tell(p.crm("created_client"))
	equal(t, "state", w.last("created_deal").State, "done")
	equal(t, "contact", w.oneLead().Contacts[0].ID, w.oneContact().ID)
}

// deleted_deal: a tag and a note, the lead stays.
func TestE2E_DeletedDeal(t *testing.T) {
	w := newWorld(t, setup{})
	p := ivan()
	d := deal{id: 3, pipeline: 6, stage: 21, title: "Сделка"}
	w.tell(pipelineGruzly("Gruzly"), p.accepted(), p.deal("created_deal", d), p.deal("deleted_deal", d))
	l := w.oneLead()
	if !slices.Contains(l.TagNames(), "удалена в Jivo") {
		t.Errorf("tags: %q", l.TagNames())
	}
	holds(t, "notes", strings.Join(w.notes(l.ID, common), "\n"), "удалена в Jivo")
}

// `builtin: {deals: off}` leaves deals alone, visibly.
func TestE2E_DealsSwitchedOff(t *testing.T) {
	w := newWorld(t, setup{conn: "builtin: {deals: off}"})
	p := ivan()
	w.tell(p.crm("created_client"), p.deal("created_deal", deal{id: 3, pipeline: 6, stage: 21, title: "Сделка"}))
	w.ended("created_deal", "skipped", "switched_off")
	equal(t, "leads", len(w.amo.Leads()), 0)
}

// A deal's amount of null or 0 never blanks the price.
func TestE2E_EmptyAmountBlanksNothing(t *testing.T) {
	w := newWorld(t, setup{})
	p := ivan()
	d := deal{id: 3, pipeline: 6, stage: 21, title: "Сделка", amount: 500}
	w.tell(pipelineGruzly("Gruzly"), p.crm("created_client"), p.deal("created_deal", d))
	equal(t, "price", w.oneLead().Price, 500.0)
	d.amount = nil
	w.tell(p.deal("updated_deal", d))
	equal(t, "price", w.oneLead().Price, 500.0)
}
