package demo

import (
	"fmt"
	"slices"
	"strings"

	"github.com/jivo-amocrm/bridge/internal/emulator"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// leadsOf are the leads that carry the marker of one of these clients.
func (s *stage) leadsOf(clients ...int) (out []emulator.Record) {
	for _, l := range s.amo.Leads() {
		tokens := strings.Fields(l.Value("Jivo ID"))
		if slices.ContainsFunc(clients, func(c int) bool { return slices.Contains(tokens, fmt.Sprintf("jv-c%d@demo", c)) }) {
			out = append(out, l)
		}
	}
	return out
}

// verify says what did not arrive exactly once.
func (s *stage) verify(acts []*act, settled bool) (faults []string) {
	if !settled {
		faults = append(faults, errNotSettled.Error())
	}
	for _, a := range acts {
		faults = append(faults, s.check(a)...)
	}
	for _, st := range []event.State{event.Dead, event.Pending, event.Parked} {
		if n := s.count(store.Filter{State: st}); n > 0 {
			faults = append(faults, fmt.Sprintf("%d events are %s", n, st))
		}
	}
	for _, d := range append(s.amo.Doubles(), s.amo.TwinTasks()...) {
		faults = append(faults, "twice in amoCRM: "+d)
	}
	r := s.amo.Report()
	for _, v := range r.Violations {
		faults = append(faults, "against amoCRM's rules: "+v)
	}
	if r.MaxInSecond > s.pace {
		faults = append(faults, fmt.Sprintf("%d requests in one second", r.MaxInSecond))
	}
	return faults
}

func (s *stage) check(a *act) (faults []string) {
	miss := func(format string, v ...any) {
		faults = append(faults, a.who+" ("+a.what+"): "+fmt.Sprintf(format, v...))
	}
	found := a.leads()
	if len(found) != a.wantLeads {
		miss("%d leads instead of %d", len(found), a.wantLeads)
	}
	notes, tasks := 0, 0
	for _, l := range found {
		notes += len(s.amo.Notes(l.ID))
		for _, t := range s.amo.Tasks() {
			if t.EntityID == l.ID || slices.ContainsFunc(l.Contacts, func(c emulator.ContactLink) bool { return c.ID == t.EntityID }) {
				tasks++
			}
		}
		if _, st := s.amo.StageName(l.PipelineID, l.StatusID); a.wantStage != "" && st != a.wantStage {
			miss("stage %q instead of %q", st, a.wantStage)
		}
	}
	if notes != a.wantNotes {
		miss("%d notes instead of %d", notes, a.wantNotes)
	}
	if tasks != a.wantTasks {
		miss("%d tasks instead of %d", tasks, a.wantTasks)
	}
	if a.also != nil {
		for _, f := range a.also() {
			miss("%s", f)
		}
	}
	if a.wantSaw != "" && !strings.Contains(a.saw, a.wantSaw) {
		miss("the operator did not see %q", a.wantSaw)
	}
	return faults
}

// tagged says so if a lead of the act lacks a tag.
func (a *act) tagged(tag string) (faults []string) {
	for _, l := range a.leads() {
		if !slices.Contains(l.TagNames(), tag) {
			faults = append(faults, fmt.Sprintf("no tag %q", tag))
		}
	}
	return faults
}

// tasksDone says which tasks of the act's leads are still open.
func (a *act) tasksDone() (faults []string) {
	for _, l := range a.leads() {
		for _, t := range a.s.amo.Tasks() {
			if t.EntityID == l.ID && !t.Completed {
				faults = append(faults, "a task is still open")
			}
		}
	}
	return faults
}

// contact says so if the contact of the act's lead is not as it should be.
func (a *act) contact(ok func(emulator.Record) bool) (faults []string) {
	for _, l := range a.leads() {
		for _, link := range l.Contacts {
			if r, found := a.s.amo.Contact(link.ID); !found || !ok(r) {
				faults = append(faults, "the contact is not what Jivo said of it")
			}
		}
	}
	return faults
}
