package demo

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/jivo"
	"github.com/jivo-amocrm/bridge/internal/jivo/samples"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// TestDemo_PlaysOneOfEach runs the script once, with an account that allows more
// requests than amoCRM does: everything arrives exactly once, and every event of
// Jivo's, every sample of its page as printed, and every hook of product.md §7
// was among it.
func TestDemo_PlaysOneOfEach(t *testing.T) {
	var out bytes.Buffer
	c := Config{Admin: "127.0.0.1:0", Data: t.TempDir(), Pace: 100, Version: "test", Log: slog.New(slog.DiscardHandler), Out: &out}
	s, err := openStage(c)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if faults, err := c.play(t.Context(), s); err != nil || faults > 0 {
		t.Errorf("%d faults, %v\n%s", faults, err, &out)
	}
	kinds, bodies := journaled(t, s)
	for _, k := range jivo.Kinds() {
		if !kinds[event.Jivo][k] {
			t.Errorf("no %s was sent", k)
		}
	}
	for name, body := range samples.Printed() {
		if !bodies[string(body)] {
			t.Errorf("the sample %s was not sent as printed", name)
		}
	}
	for _, k := range hooksOfAll() {
		if !kinds[event.AmoCRM][k] {
			t.Errorf("no hook %s came", k)
		}
	}
	_, table, _ := strings.Cut(out.String(), "VISITOR")
	table, _, _ = strings.Cut(table, "\n\n")
	if rows := strings.Count(table, "\n"); rows < 12 || rows > 20 {
		t.Errorf("the table has %d rows", rows)
	}
}

// hooksOfAll are the hooks of product.md §7 that an account sends by itself, and
// one of each family that is only counted.
func hooksOfAll() []string {
	return []string{
		"leads.add", "leads.update", "leads.status", "leads.responsible", "leads.restore", "leads.delete", "leads.note",
		"leads.call_in", "leads.chat", "leads.mail_in", "leads.site_visit",
		"contacts.add", "contacts.update", "contacts.delete", "contacts.restore", "contacts.responsible", "contacts.note",
		"task.add", "task.update", "task.delete", "unsorted.add", "unsorted.accept", "unsorted.decline",
		"customers.period", "talk.add", "message.add", "catalogs.add",
	}
}

// journaled reads what kinds of events the bridge has taken, and Jivo's bodies.
func journaled(t *testing.T, s *stage) (kinds map[event.Source]map[string]bool, bodies map[string]bool) {
	t.Helper()
	kinds = map[event.Source]map[string]bool{event.Jivo: {}, event.AmoCRM: {}}
	bodies = map[string]bool{}
	err := s.app.Store().View(func(tx *store.Tx) error {
		f := store.Filter{Connection: "demo", Limit: 1000}
		for {
			evs, next, err := tx.Events(f)
			for _, ev := range evs {
				kinds[ev.Source][ev.Kind] = true
				bodies[string(tx.Body(ev.Seq))] = true
			}
			if err != nil || next == 0 {
				return err
			}
			f.Before = next
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return kinds, bodies
}

// The demo's visitors are told apart in its table.
func TestDemo_EveryActHasItsOwnStory(t *testing.T) {
	var seen []string
	for _, a := range script(&stage{}) {
		if a.what == "" || slices.Contains(seen, a.what) {
			t.Errorf("%s: %q is told twice", a.who, a.what)
		}
		seen = append(seen, a.what)
	}
}
