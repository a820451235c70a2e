package demo

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jivo-amocrm/bridge/internal/emulator"
	"github.com/jivo-amocrm/bridge/internal/emulator/site"
)

// act is one visitor's story and what must come of it.
type act struct {
	who   string
	what  string
	play  func(ctx context.Context) error
	saw   string // what the operator's panel showed last
	leads func() []emulator.Record
	s     *stage

	wantLeads int
	wantNotes int // on the leads
	wantTasks int // on the leads and their contacts
	wantStage string
	wantSaw   string          // must stand in what the operator saw
	also      func() []string // what else must be true; it says what is not
}

// player builds acts over one stage.
type player struct {
	s   *stage
	all []*act
}

// newVisitor is the n-th visitor of the demo; the samples of Jivo's page have
// the smaller numbers.
func newVisitor(n int) *site.Visitor { return site.NewVisitor(7, 100+n) }

// visitor adds an act of the n-th visitor.
func (p *player) visitor(n int, what string, tell func(ctx context.Context, v *site.Visitor, a *act) error) *act {
	v := newVisitor(n)
	a := p.act(v.Name, what, func(ctx context.Context, a *act) error { return tell(ctx, v, a) })
	a.leads = func() []emulator.Record { return p.s.leadsOf(v.Number) }
	return a
}

// act adds an act that is not one visitor's. It has no leads unless told where.
func (p *player) act(who, what string, play func(ctx context.Context, a *act) error) *act {
	a := &act{who: who, what: what, s: p.s}
	a.play = func(ctx context.Context) error { return play(ctx, a) }
	a.leads = func() []emulator.Record { return nil }
	p.all = append(p.all, a)
	return a
}

// tell sends bodies in order and keeps what the operator saw.
func (p *player) tell(ctx context.Context, a *act, bodies ...[]byte) error {
	for _, b := range bodies {
		got, err := p.s.send(ctx, b)
		if err != nil {
			return err
		}
		if got.CRMLink != "" {
			a.saw = panel(got)
		}
	}
	return nil
}

// panel is what the operator's side panel shows, on one line.
func panel(a answer) string {
	parts := []string{a.item("Этап")}
	for _, title := range []string{"Бюджет", "Изменилось"} {
		if c := a.item(title); c != "" {
			parts = append(parts, c)
		}
	}
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), " · ")
}

// script is what the demo plays: every kind of event of Jivo's, and every family
// of hooks of amoCRM's, at least once.
func script(s *stage) []*act {
	p := &player{s: s}
	p.ordinary()
	p.crm()
	p.lives()
	p.odd()
	p.page()
	p.manager()
	return p.all
}

// ordinary are chats, messages and calls.
func (p *player) ordinary() {
	a := p.visitor(1, "a chat, then a second one after the manager moved the stage", func(ctx context.Context, v *site.Visitor, a *act) error {
		v.Phone, v.Email = v.Contacts()
		if err := p.tell(ctx, a, v.Accepted(), v.Finished("positive", false)); err != nil {
			return err
		}
		if err := p.moved(ctx, a, "Переговоры"); err != nil {
			return err
		}
		v.NewChat()
		return p.tell(ctx, a, v.Accepted())
	})
	a.wantLeads, a.wantNotes, a.wantStage, a.wantSaw = 1, 2, "Переговоры", "Переговоры"

	a = p.visitor(2, "anonymous at first, gives a phone while chatting", func(ctx context.Context, v *site.Visitor, a *act) error {
		phone, _ := v.Contacts()
		return p.tell(ctx, a, v.Accepted(), v.Updated(phone, ""), v.Finished("", false))
	})
	a.wantLeads, a.wantNotes = 1, 2

	a = p.visitor(3, "anonymous to the end: held, nothing in amoCRM", func(ctx context.Context, v *site.Visitor, a *act) error {
		return p.tell(ctx, a, v.Accepted(), v.Finished("", false))
	})
	a.wantLeads = 0

	a = p.visitor(4, "a message while everybody was out", func(ctx context.Context, v *site.Visitor, a *act) error {
		v.Phone, v.Email = v.Contacts()
		return p.tell(ctx, a, v.Offline("Перезвоните мне, пожалуйста"))
	})
	a.wantLeads, a.wantNotes, a.wantTasks = 1, 2, 1

	a = p.visitor(5, "a call that was answered and recorded", func(ctx context.Context, v *site.Visitor, a *act) error {
		v.Phone, _ = v.Contacts()
		return p.tell(ctx, a, v.Call("incoming", true)...)
	})
	a.wantLeads, a.wantNotes = 1, 1

	a = p.visitor(6, "a call back that reached nobody: a task", func(ctx context.Context, v *site.Visitor, a *act) error {
		v.Phone, _ = v.Contacts()
		return p.tell(ctx, a, v.Call("callback", false)...)
	})
	a.wantLeads, a.wantNotes, a.wantTasks = 1, 1, 1
}

// crm are deals, tasks and clients of Jivo's own CRM.
func (p *player) crm() {
	pipeline := []byte(`{"event_name":"created_pipeline","pipeline_id":6,"title":"Gruzly","currency":"RUB","pipeline_statuses":[` +
		`{"pipeline_status_id":19,"title":"finished","position":0,"type":"system","final_status":"successful"},` +
		`{"pipeline_status_id":21,"title":"Первичный контакт","position":1,"type":"user","final_status":null},` +
		`{"pipeline_status_id":22,"title":"Торг","position":2,"type":"user","final_status":null}],"pipeline_reject_reasons":[]}`)
	a := p.visitor(7, "a chat becomes a deal in Jivo, and the deal moves on", func(ctx context.Context, v *site.Visitor, a *act) error {
		v.Phone, v.Email = v.Contacts()
		amount := 15000
		d := site.Deal{ID: 700, Title: "Партия досок", Text: "Доставка в пятницу", Pipeline: 6, Stage: 21}
		moved := d
		moved.Stage, moved.Amount = 22, &amount
		return p.tell(ctx, a, pipeline, v.Accepted(), v.CreatedDeal(d), v.UpdatedDeal(moved),
			v.CreatedTask(site.Task{ID: 70, Text: "Выставить счёт", Deal: 700, Due: time.Now().Add(24 * time.Hour)}))
	})
	a.wantLeads, a.wantNotes, a.wantTasks, a.wantStage = 1, 2, 1, "Переговоры"

	a = p.visitor(8, "a pop-up form, then the operator edits the client", func(ctx context.Context, v *site.Visitor, a *act) error {
		v.Phone, v.Email = v.Contacts()
		return p.tell(ctx, a, v.ClientUpdated(), v.ClientEvent("updated_client"), v.Attributes(map[string]any{"Город": "Казань", "Лет": 30}))
	})
	a.wantLeads, a.wantNotes = 1, 0

	a = p.visitor(9, "a task of a client nobody has described yet: it waits", func(ctx context.Context, v *site.Visitor, a *act) error {
		v.Phone, v.Email = v.Contacts()
		return p.tell(ctx, a, v.CreatedTask(site.Task{ID: 90, Text: "Позвонить", Due: time.Now().Add(time.Hour)}), v.Accepted())
	})
	a.wantLeads, a.wantNotes, a.wantTasks = 1, 1, 1
}

// odd are the stories that go wrong elsewhere.
func (p *player) odd() {
	a := p.visitor(10, "every webhook comes three times", func(ctx context.Context, v *site.Visitor, a *act) error {
		v.Phone, v.Email = v.Contacts()
		accepted, finished := v.Accepted(), v.Finished("", false)
		return p.tell(ctx, a, accepted, accepted, accepted, finished, finished, finished)
	})
	a.wantLeads, a.wantNotes = 1, 2

	twin := newVisitor(12)
	a = p.visitor(11, "two visitors with one phone at the same moment: one contact", func(ctx context.Context, v *site.Visitor, a *act) error {
		v.Phone, _ = v.Contacts()
		twin.Phone = v.Phone
		var wg sync.WaitGroup
		errs := make([]error, 2)
		for i, b := range [][]byte{v.Accepted(), twin.Accepted()} {
			wg.Go(func() { errs[i] = p.tell(ctx, &act{}, b) })
		}
		wg.Wait()
		if errs[0] != nil {
			return errs[0]
		}
		return errs[1]
	})
	a.wantLeads, a.wantNotes = 1, 1

	a = p.visitor(13, "blacklisted by the operator: no lead", func(ctx context.Context, v *site.Visitor, a *act) error {
		v.Phone, _ = v.Contacts()
		return p.tell(ctx, a, v.Finished("", true))
	})
	a.wantLeads = 0
}

// moved has the manager move the act's lead once it is there.
func (p *player) moved(ctx context.Context, a *act, stage string) error {
	if !p.s.settle(ctx, timeout) {
		return errNotSettled
	}
	for _, l := range a.leads() {
		id, pipeline := p.s.stageID(stage)
		if err := p.s.manager(ctx, p.s.amo.MoveLead(l.ID, id, pipeline)); err != nil {
			return err
		}
	}
	return nil
}

func (s *stage) stageID(name string) (status, pipeline int64) {
	for _, p := range emulator.DefaultPipelines() {
		for _, st := range p.Statuses {
			if st.Name == name {
				return st.ID, p.ID
			}
		}
	}
	return 0, 0
}
