package app_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jivo-amocrm/bridge/internal/emulator/site"
)

// backlog has so many new visitors leave a message while nothing is known of the
// account's contacts: each costs two searches, and at seven requests a second the
// queue is minutes long.
func (l *lab) backlog(visitors int) {
	l.t.Helper()
	var bodies [][]byte
	for i := range visitors {
		v := site.NewVisitor(4, i+1)
		v.Phone, v.Email = v.Contacts()
		v.NewChat()
		bodies = append(bodies, v.Offline(fmt.Sprintf("Перезвоните, %d", i)))
	}
	l.tell(bodies...)
}

// passerBy is a person who is nobody in the backlog.
func passerBy() *person {
	p := ivan()
	p.Phone, p.Email = "+79261234567", "passerBy@example.org"
	return p
}

const unsynced = "contacts_sync: off\n"

// What an operator waits for goes first, however long the queue is and whatever
// stands in it (product.md §8.4).
func TestBacklog_AnOperatorIsAnsweredWithTheLead(t *testing.T) {
	inLab(t, labSetup{amocrm: unsynced, conn: "reply: {wait: 2s}\n"}, func(l *lab) {
		l.backlog(700)
		time.Sleep(20 * time.Second)
		p := passerBy()
		began := time.Now()
		status, answer := l.ask(p.accepted())
		if status != 200 || !strings.Contains(answer, "/leads/detail/") {
			t.Errorf("after %v: %d %s", time.Since(began), status, answer)
		}
		l.settle(time.Hour)
		l.verdict()
	})
}

// The same for a visitor one of whose earlier events stands in the queue.
func TestBacklog_AnOperatorsVisitorIsTakenOutOfIt(t *testing.T) {
	inLab(t, labSetup{amocrm: unsynced, conn: "reply: {wait: 2s}\n"}, func(l *lab) {
		l.backlog(700)
		p := passerBy()
		l.tell(p.offline(1, "Есть кто-нибудь?"))
		time.Sleep(20 * time.Second)
		status, answer := l.ask(p.accepted())
		if status != 200 || !strings.Contains(answer, "/leads/detail/") {
			t.Errorf("%d %s", status, answer)
		}
		l.settle(time.Hour)
		l.verdict()
	})
}

// In a long queue only so many operators can be served in time: the next is answered
// at once, without a lead.
func TestBacklog_NoOperatorWaitsInVain(t *testing.T) {
	inLab(t, labSetup{amocrm: unsynced, conn: "reply: {wait: 2s}\n"}, func(l *lab) {
		l.backlog(800)
		ask := func(n int) (took time.Duration, lead bool) {
			p := passerBy()
			p.Number, p.Chat = 50_000+n, 9_000_000+n
			p.Phone, p.Email = fmt.Sprintf("+7926123000%d", n), fmt.Sprintf("p%d@example.org", n)
			began := time.Now()
			status, answer := l.ask(p.accepted())
			equal(t, "status", status, 200)
			return time.Since(began), strings.Contains(answer, "/leads/detail/")
		}
		var first sync.WaitGroup
		for n := range 5 {
			first.Go(func() { ask(n) })
		}
		time.Sleep(100 * time.Millisecond)
		if took, lead := ask(5); took > time.Second || lead {
			t.Errorf("the sixth was answered after %v, with a lead: %v", took, lead)
		}
		first.Wait()
		if took, lead := ask(6); took > 2*time.Second || !lead {
			t.Errorf("the next one was answered after %v, with a lead: %v", took, lead)
		}
		l.settle(time.Hour)
		l.verdict()
	})
}

// Leads whose people were looked for do not wait until everybody was.
func TestBacklog_LeadsComeWhileOthersAreLookedFor(t *testing.T) {
	inLab(t, labSetup{amocrm: unsynced}, func(l *lab) {
		l.backlog(500)
		time.Sleep(30 * time.Second)
		if n := len(l.amo.Leads()); n < 30 {
			t.Errorf("%d leads after half a minute", n)
		}
		l.settle(time.Hour)
		t.Logf("%.3f requests an event", float64(l.amo.Report().Requests)/500)
		l.verdict()
	})
}
