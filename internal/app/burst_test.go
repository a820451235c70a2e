package app_test

import (
	"net/http"
	"testing"
	"time"
)

// These tests send what belongs together as fast as Jivo can: the next webhook
// comes while the note, call or task of the one before is still on its way to
// amoCRM.

// burst posts bodies one after another without waiting for anything but the ack.
func (l *lab) burst(bodies ...[]byte) {
	l.t.Helper()
	for _, b := range bodies {
		if got := l.post(b); got != http.StatusOK {
			l.t.Fatalf("answered %d", got)
		}
	}
	l.settle(time.Hour)
}

func TestBurst_OneTaskIsCreatedChangedAndCompleted(t *testing.T) {
	inLab(t, labSetup{}, func(l *lab) {
		p := ivan()
		l.burst(p.accepted())
		due := time.Now().Add(48 * time.Hour).Truncate(time.Second)
		l.burst(p.task("created_task", 2, 0, "Позвонить", due), p.task("updated_task", 2, 0, "Позвонить дважды", due.Add(time.Hour)),
			p.task("completed_task", 2, 0, "Позвонить дважды", due.Add(time.Hour)),
			p.task("created_task", 3, 0, "Лишнее", due), p.task("deleted_task", 3, 0, "Лишнее", due))
		tasks := l.amo.Tasks()
		if len(tasks) != 2 {
			t.Fatalf("%d tasks instead of two: %+v", len(tasks), tasks)
		}
		same(t, "texts", []string{tasks[0].Text, tasks[1].Text}, []string{"Позвонить дважды", "Лишнее"})
		for _, k := range tasks {
			equal(t, "completed "+k.Text, k.Completed, true)
		}
		l.verdict()
	})
}

// An event that waits for an earlier one of its task keeps no other from its lead.
func TestBurst_AWaitingTaskHoldsNobodyUp(t *testing.T) {
	inLab(t, labSetup{}, func(l *lab) {
		p := ivan()
		l.burst(p.accepted())
		due := time.Now().Add(48 * time.Hour)
		p.Chat, p.Phone = 7650, "+79160000055"
		began := time.Now()
		l.post(p.task("created_task", 2, 0, "Позвонить", due))
		l.post(p.task("completed_task", 2, 0, "Позвонить", due))
		l.post(p.accepted())
		l.await("the second phone is there", time.Minute, func() bool { return len(l.amo.Contacts()[0].Values("PHONE")) == 2 })
		if d := time.Since(began); d > 2*time.Second {
			t.Errorf("it took %v", d)
		}
		l.settle(time.Hour)
		l.verdict()
	})
}

func TestBurst_ALateRecordPatchesTheNoteThatIsStillOnItsWay(t *testing.T) {
	inLab(t, labSetup{}, func(l *lab) {
		p := ivan()
		l.burst(p.accepted())
		l.burst(p.call("callback", "start"), p.call("callback", "agent_connected"), p.call("callback", "end"),
			p.call("callback", "end", m{"record_url": "https://records.example/late.mp3"}))
		var links []string
		for _, n := range l.amo.AllNotes() {
			if n.Uniq() != "" {
				links = append(links, text(n, "link"))
			}
		}
		same(t, "links of call notes", links, []string{"https://records.example/late.mp3"})
		l.verdict()
	})
}

func TestBurst_OnceIsOnceForMessagesThatComeTogether(t *testing.T) {
	inLab(t, labSetup{}, func(l *lab) {
		p := ivan()
		l.burst(p.accepted())
		l.burst(p.offline(1, "Первое"), p.offline(2, "Второе"), p.offline(3, "Третье"))
		one(t, "tasks", l.amo.Tasks())
		l.verdict()
	})
}

// What was said before a client was deleted in Jivo still arrives.
func TestBurst_DeletedClientWaitsForWhatCameBefore(t *testing.T) {
	inLab(t, labSetup{}, func(l *lab) {
		p := ivan()
		l.burst(p.accepted(), p.finished(said(then, "v:Спасибо", "a:И вам")), p.crm("deleted_client"))
		notes := 0
		for range l.amo.AllNotes() {
			notes++
		}
		equal(t, "notes", notes, 2) // where they came from, and the transcript
		same(t, "tags", l.amo.Contacts()[0].TagNames(), []string{"jivo", "удалён в Jivo"})
		l.verdict()
	})
}
