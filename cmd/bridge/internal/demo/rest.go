package demo

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/jivo-amocrm/bridge/internal/emulator"
	"github.com/jivo-amocrm/bridge/internal/emulator/site"
	"github.com/jivo-amocrm/bridge/internal/jivo/samples"
)

// lives are a deal, tasks, a client and Jivo's dictionaries from beginning to end.
func (p *player) lives() {
	a := p.visitor(14, "a deal with tasks, until it is deleted in Jivo", func(ctx context.Context, v *site.Visitor, a *act) error {
		v.Phone, v.Email = v.Contacts()
		d := site.Deal{ID: 1400, Title: "Ремонт кухни", Text: "Замер в среду", Pipeline: 6, Stage: 21}
		task := site.Task{ID: 1401, Text: "Позвонить мастеру", Deal: d.ID, Due: time.Now().Add(24 * time.Hour)}
		later, other := task, task
		later.Due = task.Due.Add(time.Hour)
		other.ID, other.Text = 1402, "Отменённое дело"
		return p.tell(ctx, a, v.Accepted(), v.CreatedDeal(d), v.CreatedTask(task), v.TaskEvent("updated_task", later), v.TaskEvent("fired_task", later),
			v.CompletedTask(later), v.CreatedTask(other), v.TaskEvent("deleted_task", other), v.DeletedDeal(d))
	})
	a.wantLeads, a.wantNotes, a.wantTasks = 1, 3, 2
	a.also = func() []string { return append(a.tagged("удалена в Jivo"), a.tasksDone()...) }

	c := p.visitor(15, "a client in Jivo's CRM: phones, company, category, blacklist", func(ctx context.Context, v *site.Visitor, a *act) error {
		v.Phone, v.Email = v.Contacts()
		bodies := [][]byte{v.ClientEvent("created_client"), v.Accepted(), v.ClientEvent("assigned_agent_to_client"), v.AssignedStatus(44, "VIP")}
		v.Phone = "+74950000015"
		bodies = append(bodies, v.ClientEvent("updated_client_contacts"))
		v.Company = "ООО «Пятнадцать»"
		return p.tell(ctx, a, append(bodies, v.ClientEvent("changed_client_company"), v.ClientEvent("changed_client_blacklist"))...)
	})
	c.wantLeads, c.wantNotes = 1, 1
	c.also = func() []string {
		return c.contact(func(r emulator.Record) bool {
			return len(r.Values("PHONE")) == 2 && r.Value("Категория Jivo") == "VIP" && slices.Contains(r.TagNames(), "чёрный список")
		})
	}

	d := p.visitor(16, "deleted in Jivo: tagged, and forgotten by the bridge", func(ctx context.Context, v *site.Visitor, a *act) error {
		v.Phone, _ = v.Contacts()
		return p.tell(ctx, a, v.Accepted(), v.ClientEvent("deleted_client"))
	})
	d.wantLeads, d.wantNotes = 1, 1
	d.also = func() []string {
		return d.contact(func(r emulator.Record) bool { return slices.Contains(r.TagNames(), "удалён в Jivo") })
	}

	p.act("(Jivo's settings)", "pipelines, categories, tags and companies are learned", func(ctx context.Context, a *act) error {
		return p.tell(ctx, a, dictionaries()...)
	})
}

// dictionaries are the events about Jivo's own lists.
func dictionaries() [][]byte {
	const plain = `{"event_name":%q,"pipeline_id":61,"title":"Опт","pipeline_statuses":[],"pipeline_reject_reasons":[]}`
	var out [][]byte
	for _, name := range []string{"created_pipeline", "updated_pipeline", "deleted_pipeline"} {
		out = append(out, fmt.Appendf(nil, plain, name))
	}
	for _, name := range []string{"created_status", "updated_status", "reordered_status", "deleted_status"} {
		out = append(out, site.StatusEvent(name, 71, "Постоянный"))
	}
	for _, name := range []string{"created_client_tag", "updated_client_tag", "deleted_client_tag"} {
		out = append(out, site.TagEvent(name, 81, "Оптовик"))
	}
	for _, name := range []string{"changed_require_update_of_status", "changed_administrator_only_client_tag"} {
		out = append(out, fmt.Appendf(nil, `{"event_name":%q,"enabled":1}`, name))
	}
	return append(out, site.MergedTags(81, "Оптовик", 82, 83), site.CreatedOrganization(91))
}

// page posts the samples of Jivo's page as printed there, the broken ones too.
func (p *player) page() {
	a := p.act("(Jivo's page)", "every sample of the documentation, as printed", func(ctx context.Context, a *act) error {
		printed := samples.Printed()
		for _, name := range slices.Sorted(maps.Keys(printed)) {
			if err := p.tell(ctx, a, printed[name]); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		return nil
	})
	a.leads = func() []emulator.Record { return p.s.leadsOf(1, 1217, 2198, 2746) }
	a.wantLeads, a.wantNotes, a.wantTasks = 3, 4, 2
}

// manager has somebody work in amoCRM, so that every family of hooks comes.
func (p *player) manager() {
	var linked int64
	a := p.visitor(17, "the operator ties the chat to a lead made by hand", func(ctx context.Context, v *site.Visitor, a *act) error {
		contact, err := p.s.amo.CreateContact(emulator.NewCard{Edit: emulator.Edit{Name: "Давний клиент"}, Phone: "+74950000017"})
		if err != nil {
			return err
		}
		linked, err = p.s.amo.CreateLead(emulator.NewCard{Edit: emulator.Edit{Name: "Заведена вручную"}, ContactID: contact})
		if err != nil {
			return err
		}
		return p.tell(ctx, a, v.Accepted(), v.ChatAssigned(fmt.Sprintf("%s/leads/detail/%d", p.s.far, linked)), v.Finished("positive", false))
	})
	a.leads = func() []emulator.Record {
		l, _ := p.s.amo.Lead(linked)
		return []emulator.Record{l}
	}
	a.wantLeads, a.wantNotes = 1, 1

	b := p.visitor(18, "the manager works on the lead while the chat goes on", func(ctx context.Context, v *site.Visitor, a *act) error {
		v.Phone, v.Email = v.Contacts()
		if err := p.tell(ctx, a, v.Accepted()); err != nil {
			return err
		}
		if err := p.moved(ctx, a, "Переговоры"); err != nil {
			return err
		}
		if err := p.s.manager(ctx, p.s.deeds(ctx, a.leads())); err != nil {
			return err
		}
		v.NewChat()
		return p.tell(ctx, a, v.Accepted())
	})
	b.wantLeads, b.wantNotes, b.wantTasks, b.wantStage, b.wantSaw = 1, 2, 1, "Переговоры", "Переговоры"
}

// deeds is a manager's day: everything about these leads and around them that
// amoCRM tells of.
func (s *stage) deeds(ctx context.Context, mine []emulator.Record) error {
	sales := emulator.DefaultPipelines()[0]
	s.amo.DPHook(sales.ID, 0, s.hooks())
	for _, l := range mine {
		steps := []func() error{
			func() error { return s.amo.SetPrice(l.ID, 45000) },
			func() error { return s.amo.SetResponsible(l.ID, emulator.DefaultUsers()[1].ID) },
			func() error { _, err := s.amo.AddNote(l.ID, "Обсудили по телефону"); return err },
			func() error { return s.tasks(l.ID) },
			func() error { return s.amo.SetContactResponsible(l.Contacts[0].ID, emulator.DefaultUsers()[1].ID) },
		}
		for _, kind := range []string{"call_in", "chat", "mail_in", "site_visit"} {
			steps = append(steps, func() error { return s.amo.DPEvent(l.ID, kind) })
		}
		for _, do := range steps {
			if err := do(); err != nil {
				return err
			}
		}
	}
	if err := s.others(); err != nil {
		return err
	}
	if err := s.forms(); err != nil {
		return err
	}
	return s.oddHooks(ctx)
}

// tasks puts two tasks on a lead, one of which is done and one deleted.
func (s *stage) tasks(lead int64) error {
	done, err := s.amo.AddTask(lead, "Отправить договор", time.Now().Add(time.Hour).Unix(), 0)
	if err != nil {
		return err
	}
	gone, err := s.amo.AddTask(lead, "Лишняя", time.Now().Add(time.Hour).Unix(), 0)
	if err != nil {
		return err
	}
	if err := s.amo.CompleteTask(done, "отправлен"); err != nil {
		return err
	}
	return s.amo.DeleteTask(gone)
}

// others are cards that are nobody's from Jivo.
func (s *stage) others() error {
	contact, err := s.amo.CreateContact(emulator.NewCard{Edit: emulator.Edit{Name: "Сосед"}, Phone: "+74950000018"})
	if err != nil {
		return err
	}
	lead, err := s.amo.CreateLead(emulator.NewCard{Edit: emulator.Edit{Name: "Сделка соседа"}, ContactID: contact})
	if err != nil {
		return err
	}
	for _, do := range []func() error{
		func() error { return s.amo.EditContact(contact, emulator.Edit{Name: "Сосед сверху"}) },
		func() error { return s.amo.DeleteLead(lead) },
		func() error { return s.amo.RestoreLead(lead) },
		func() error { return s.amo.DeleteContact(contact) },
	} {
		if err := do(); err != nil {
			return err
		}
	}
	return nil
}

// forms has a site's form leave two unsorted leads, of which the manager accepts
// one and declines one.
func (s *stage) forms() error {
	taken, left := s.amo.LeaveForm("Сайт"), s.amo.LeaveForm("Сайт")
	if err := s.amo.AcceptUnsorted(taken, 0); err != nil {
		return err
	}
	return s.amo.DeclineUnsorted(left)
}

// oddHooks sends what an account without buyers, talks and lists never does, and
// what the emulated one has no deed for, as amoCRM's documentation prints them.
func (s *stage) oddHooks(ctx context.Context) error {
	const account = "account[subdomain]=demo&account[id]=31000001"
	for _, body := range []string{
		"customers[period][0][id]=4831596&customers[period][0][period_id]=16203337&" + account,
		"talk[add][0][talk_id]=1&talk[add][0][entity_type]=lead&" + account,
		"message[add][0][id]=1&message[add][0][text]=hello&" + account,
		"catalogs[add][0][id]=5&catalogs[add][0][catalog_id]=6&" + account,
		"contacts[update][0][id]=1&contacts[update][0][type]=company&contacts[update][0][name]=x&" + account,
		"contacts[restore][0][id]=1&contacts[restore][0][type]=contact&" + account,
		"contacts[responsible][0][id]=1&contacts[responsible][0][type]=contact&contacts[responsible][0][responsible_user_id]=9001&" + account,
		"contacts[note][0][note][id]=1&contacts[note][0][note][note_type]=4&contacts[note][0][note][element_type]=1&contacts[note][0][note][element_id]=1&" + account,
	} {
		v, err := url.ParseQuery(body)
		if err != nil {
			return err
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.hooks(), strings.NewReader(v.Encode()))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		res, err := s.client.Do(req)
		if err != nil {
			return err
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return fmt.Errorf("a hook was answered %s", res.Status)
		}
	}
	return nil
}
