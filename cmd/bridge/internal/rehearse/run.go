package rehearse

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/jivo-amocrm/bridge/internal/amocrm/dict"
	"github.com/jivo-amocrm/bridge/internal/config"
	"github.com/jivo-amocrm/bridge/internal/event"
)

// Outcome is how one case went.
type Outcome struct {
	File   string   `json:"file"`
	Case   string   `json:"case"`
	OK     bool     `json:"ok"`
	Faults []string `json:"faults"` // what differs
	Wrote  []string `json:"wrote"`  // what the events wrote, in words
}

// Run runs the cases of a file on a connection, each from the beginning. Its
// error says that the file itself is wrong; of names that nothing has, it is a
// *config.Problems with all of them.
func (f *File) Run(ctx context.Context, cfg *config.Config, conn *config.Connection) ([]Outcome, error) {
	if err := f.check(conn); err != nil {
		return nil, err
	}
	var out []Outcome
	for _, c := range f.Cases {
		dict, err := Names(conn, f.Account)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Path, err)
		}
		o, err := f.run(ctx, cfg, conn, dict, c)
		if err != nil {
			return nil, fmt.Errorf("%s: case %q: %w", f.Path, c.Name, err)
		}
		out = append(out, o)
	}
	return out, nil
}

func (f *File) run(ctx context.Context, cfg *config.Config, conn *config.Connection, dict *dict.Snapshot, c Case) (o Outcome, err error) {
	box := NewSandbox(nil)
	if err := c.CRM.into(box, dict); err != nil {
		return o, err
	}
	r, err := Open(cfg, conn, dict, box, nil)
	if err != nil {
		return o, err
	}
	defer r.Close()
	if _, err := f.play(ctx, r, c.Before); err != nil {
		return o, err
	}
	before, err := r.Changes()
	if err != nil {
		return o, err
	}
	last, err := f.play(ctx, r, c.Events)
	if err != nil {
		return o, err
	}
	wrote, err := r.Changes()
	if err != nil {
		return o, err
	}
	wrote = slices.DeleteFunc(wrote, func(ch event.Change) bool {
		return slices.ContainsFunc(before, func(b event.Change) bool { return b.Key == ch.Key })
	})
	o = Outcome{File: f.Path, Case: c.Name, Faults: []string{}, Wrote: []string{}}
	for _, ch := range wrote {
		o.Wrote = append(o.Wrote, Describe(dict, ch))
	}
	o.Faults = append(o.Faults, c.Expect.ofEvent(last)...)
	o.Faults = append(o.Faults, c.Expect.ofChanges(dict, wrote)...)
	o.OK = len(o.Faults) == 0
	return o, nil
}

// play has events come one after the other and returns the last as it ended.
func (f *File) play(ctx context.Context, r *Rehearsal, events []Event) (last *event.Event, err error) {
	for i, e := range events {
		body, err := e.body(filepath.Dir(f.Path))
		if err != nil {
			return nil, fmt.Errorf("event %d: %w", i+1, err)
		}
		p, err := r.PlayOnce(ctx, body)
		if err != nil {
			return nil, fmt.Errorf("event %d: %w", i+1, err)
		}
		if err := r.Settle(ctx); err != nil {
			return nil, err
		}
		if last, err = r.event(p.Seq); err != nil {
			return nil, err
		}
	}
	return last, nil
}

// into puts what is given into the sandbox.
func (g CRM) into(box *Sandbox, d *dict.Snapshot) error {
	box.dict = d
	for _, c := range g.Contacts {
		if c.ID <= 0 || c.ID >= FirstMadeUp {
			return fmt.Errorf("contact %q needs an id", c.Name)
		}
		fields, err := fieldValues(d, "contacts", c.Fields)
		if err != nil {
			return err
		}
		u, err := userOf(d, c.Responsible)
		if err != nil {
			return err
		}
		box.PutContact(event.Contact{ID: c.ID, Name: c.Name, Phones: multi(c.Phones), Emails: multi(c.Emails), Tags: c.Tags, Fields: fields, ResponsibleID: u, CreatedAt: 1, UpdatedAt: 1})
	}
	for _, l := range g.Leads {
		lead, err := l.entity(d)
		if err != nil {
			return fmt.Errorf("lead %d: %w", l.ID, err)
		}
		box.PutLead(lead)
	}
	return nil
}

func (l Lead) entity(d *dict.Snapshot) (out event.Lead, err error) {
	if l.ID <= 0 || l.ID >= FirstMadeUp {
		return out, fmt.Errorf("it needs an id")
	}
	out = event.Lead{ID: l.ID, Name: l.Name, Price: l.Price, Tags: l.Tags, CreatedAt: 1, UpdatedAt: 1}
	p, ok := d.MainPipeline()
	if l.Pipeline != "" {
		p, ok = d.Pipeline(l.Pipeline)
	}
	if !ok {
		return out, fmt.Errorf("no pipeline %q", l.Pipeline)
	}
	st, ok := d.FirstStage(p.ID)
	if l.Stage != "" {
		st, ok = d.Stage(p.ID, l.Stage)
	}
	if !ok {
		return out, fmt.Errorf("pipeline %q has no stage %q: name it under account.pipelines", p.Name, l.Stage)
	}
	out.PipelineID, out.StatusID = p.ID, st.ID
	if out.ResponsibleID, err = userOf(d, l.Responsible); err != nil {
		return out, err
	}
	if out.Fields, err = fieldValues(d, "leads", l.Fields); err != nil {
		return out, err
	}
	if l.Contact != 0 {
		out.ContactIDs = []int64{l.Contact}
	}
	return out, nil
}

func userOf(d *dict.Snapshot, name string) (int64, error) {
	if name == "" {
		return 0, nil
	}
	u, ok := d.User(name)
	if !ok {
		return 0, fmt.Errorf("no user %q: name them under account.users", name)
	}
	return u.ID, nil
}

func multi(values []string) (out []event.Value) {
	for _, v := range values {
		out = append(out, event.Value{Text: v, Enum: "WORK"})
	}
	return out
}

func fieldValues(d *dict.Snapshot, entity string, given map[string]string) (map[int64]event.Values, error) {
	out := map[int64]event.Values{}
	for name, v := range given {
		f, ok := d.Field(entity, name)
		if !ok {
			return nil, fmt.Errorf("%s have no field %q: name it under account.fields", entity, name)
		}
		out[f.ID] = event.Values{{Text: v}}
	}
	return out, nil
}

// ofEvent compares how the last event ended with what is expected.
func (x Expect) ofEvent(ev *event.Event) (faults []string) {
	fault := func(format string, a ...any) { faults = append(faults, fmt.Sprintf(format, a...)) }
	if x.State != "" && x.State != string(ev.State) {
		fault("state: want %s, got %s%s", x.State, ev.State, because(ev))
	}
	if x.Reason != nil && *x.Reason != string(ev.Reason) {
		fault("reason: want %q, got %q", *x.Reason, ev.Reason)
	}
	matched := map[string]bool{}
	for _, r := range ev.Rules {
		matched[r.Rule] = r.Matched
	}
	for _, r := range x.Rules {
		if !matched[r] {
			fault("rule %q: want it to match, it did not%s", r, whyNot(ev, r))
		}
	}
	for _, r := range x.NotRules {
		if matched[r] {
			fault("rule %q: want it not to match, it did", r)
		}
	}
	faults = append(faults, x.Contact.compare("contact", ev.Contact)...)
	faults = append(faults, x.Lead.compare("lead", ev.Lead)...)
	for _, w := range x.Warnings {
		if !slices.ContainsFunc(ev.Warnings, func(have string) bool { return strings.Contains(have, w) }) {
			fault("warning: want one with %q, got %q", w, ev.Warnings)
		}
	}
	return faults
}

func because(ev *event.Event) string {
	s := ""
	if ev.Reason != "" {
		s = " (" + string(ev.Reason) + ")"
	}
	if ev.Detail != "" {
		s += ": " + ev.Detail
	}
	return s
}

func whyNot(ev *event.Event, rule string) string {
	for _, r := range ev.Rules {
		if r.Rule == rule {
			return ": " + r.Why
		}
	}
	return fmt.Sprintf(": it is not read for %s", ev.Kind)
}

func (m *Match) compare(what string, got *event.Match) (faults []string) {
	if m == nil {
		return nil
	}
	by, id := "none", int64(0)
	if got != nil {
		id = got.ID
		if got.By != "" {
			by = got.By
		}
	}
	if m.By != "" && m.By != by {
		faults = append(faults, fmt.Sprintf("%s: want it by %s, got %s", what, m.By, by))
	}
	if m.ID != 0 && m.ID != id {
		faults = append(faults, fmt.Sprintf("%s: want %d, got %d", what, m.ID, id))
	}
	return faults
}

// ofChanges compares what was written with what is expected. Each expected change
// takes the first one left that fits.
func (x Expect) ofChanges(d *dict.Snapshot, wrote []event.Change) (faults []string) {
	if x.Changes == nil {
		return nil
	}
	left := slices.Clone(wrote)
	for _, want := range *x.Changes {
		var nearest []string
		found, near := -1, -1
		for i, ch := range left {
			diff, same := want.compare(d, ch)
			if same && len(diff) == 0 {
				found = i
				break
			}
			if same && (near < 0 || len(diff) < len(nearest)) {
				near, nearest = i, diff
			}
		}
		switch {
		case found >= 0:
			left = slices.Delete(left, found, found+1)
		case near >= 0:
			left = slices.Delete(left, near, near+1)
			for _, line := range nearest {
				faults = append(faults, fmt.Sprintf("%s %s: %s", want.Op, want.Target, line))
			}
		default:
			faults = append(faults, fmt.Sprintf("%s %s: want one%s, there is none", want.Op, want.Target, byRule(want.Rule)))
		}
	}
	if x.Exact || len(*x.Changes) == 0 {
		for _, ch := range left {
			faults = append(faults, "unexpected: "+Describe(d, ch))
		}
	}
	return faults
}

func byRule(rule string) string {
	if rule == "" {
		return ""
	}
	return fmt.Sprintf(" by %q", rule)
}

// compare says how a change differs from the wanted one; same is false if it is
// about something else altogether.
func (c Change) compare(d *dict.Snapshot, got event.Change) (diff []string, same bool) {
	if c.Op != string(got.Op) || c.Target != string(got.Target) || c.Rule != "" && c.Rule != got.Rule {
		return nil, false
	}
	if c.Entity != 0 && c.Entity != got.EntityID {
		diff = append(diff, fmt.Sprintf("want it on %d, got %d", c.Entity, got.EntityID))
	}
	entity := "leads"
	if got.Target == event.OnContact {
		entity = "contacts"
	}
	name := func(key string) string {
		if f, ok := d.Field(entity, key); ok && f.Code != "PHONE" && f.Code != "EMAIL" {
			return f.Name
		}
		return key
	}
	v := View(d, got)
	for key, want := range c.Fields {
		if have := v[name(key)]; !fits(d, key, want, have) {
			diff = append(diff, fmt.Sprintf("%s: want %s, got %s", key, show(want), show(have)))
		}
	}
	for key, want := range c.Contains {
		if have := fmt.Sprint(v[name(key)]); !strings.Contains(have, want) {
			diff = append(diff, fmt.Sprintf("%s: want it to contain %q, got %s", key, want, show(v[name(key)])))
		}
	}
	for _, key := range c.Absent {
		if have, ok := v[name(key)]; ok {
			diff = append(diff, fmt.Sprintf("%s: want none, got %s", key, show(have)))
		}
	}
	slices.Sort(diff)
	return diff, true
}

// fits reports whether a written value is the wanted one; of a list, whether all
// the wanted ones are in it.
func fits(d *dict.Snapshot, key string, want, have any) bool {
	if list, ok := want.([]any); ok {
		values, ok := have.([]string)
		if s, isText := have.(string); isText {
			values, ok = []string{s}, true
		}
		if !ok {
			return false
		}
		return !slices.ContainsFunc(list, func(w any) bool { return !slices.Contains(values, plain(w)) })
	}
	s := plain(want)
	if key == "responsible" {
		u, ok := d.User(s)
		return ok && userName(d, u.ID) == have
	}
	if values, ok := have.([]string); ok {
		return len(values) == 1 && values[0] == s
	}
	return have == s
}

func plain(v any) string {
	if b, ok := v.(bool); ok {
		return strconv.FormatBool(b)
	}
	if s := text(v); s != "" {
		return s
	}
	return fmt.Sprint(v)
}
