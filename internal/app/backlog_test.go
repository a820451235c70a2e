package app_test

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
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

const waited2s = "reply: {wait: 2s}\n"

// operator accepts a chat of the n-th passer-by, and says how long he was kept waiting
// and whether he saw the lead.
func (l *lab) operator(n int) (took time.Duration, lead bool) {
	l.t.Helper()
	p := passerBy()
	p.Number, p.Chat = 50_000+n, 9_000_000+n
	p.Phone, p.Email = fmt.Sprintf("+7926123%04d", n), fmt.Sprintf("p%d@example.org", n)
	began := time.Now()
	status, answer := l.ask(p.accepted())
	if status != 200 {
		l.t.Errorf("operator %d was answered %d", n, status)
	}
	return time.Since(began), strings.Contains(answer, "/leads/detail/")
}

// What an operator waits for goes first, however long the queue is, whatever stands in
// it and however long it has stood there (product.md §8.4).
func TestBacklog_AnOperatorIsAnsweredWithTheLead(t *testing.T) {
	inLab(t, labSetup{amocrm: unsynced, conn: waited2s}, func(l *lab) {
		l.backlog(1500)
		for n := range 12 {
			time.Sleep(20 * time.Second)
			if took, lead := l.operator(n); !lead {
				t.Errorf("operator %d was answered after %v without the lead", n, took)
			}
		}
		if l.app.Store().Counts(e2eName).Pending < 600 {
			t.Error("the queue was not long")
		}
		l.settle(time.Hour)
		l.verdict()
	})
}

// The same for a visitor one of whose events stands in the queue already: not yet
// begun, or waiting for amoCRM among all the others.
func TestBacklog_AnOperatorsVisitorIsTakenOutOfIt(t *testing.T) {
	for _, before := range []int{700, 400} {
		inLab(t, labSetup{amocrm: unsynced, conn: waited2s}, func(l *lab) {
			l.backlog(before)
			time.Sleep(time.Second)
			p := passerBy()
			l.tell(p.offline(1, "Есть кто-нибудь?"))
			time.Sleep(20 * time.Second)
			status, answer := l.ask(p.accepted())
			if status != 200 || !strings.Contains(answer, "/leads/detail/") {
				t.Errorf("behind %d: %d %s", before, status, answer)
			}
			l.settle(time.Hour)
			l.verdict()
		})
	}
}

// Where everybody has to be searched for, in a long queue as in none, only so many
// operators can be served in time: these are, and the others are answered at once,
// without a lead.
func TestBacklog_NoOperatorWaitsInVain(t *testing.T) {
	for backlog, least := range map[int]int32{0: 3, 100: 3, 1000: 3} {
		inLab(t, labSetup{amocrm: unsynced, conn: waited2s}, func(l *lab) { servesInTime(l, backlog, least) })
	}
}

func servesInTime(l *lab, backlog int, least int32) {
	l.t.Helper()
	l.backlog(backlog)
	var all sync.WaitGroup
	var leads, atOnce atomic.Int32
	for n := range 30 {
		all.Go(func() {
			switch took, lead := l.operator(n); {
			case lead:
				leads.Add(1)
			case took < 100*time.Millisecond:
				atOnce.Add(1)
			default:
				l.t.Errorf("%d in the queue: operator %d waited %v in vain", backlog, n, took)
			}
		})
	}
	all.Wait()
	if leads.Load() < least || leads.Load()+atOnce.Load() != 30 {
		l.t.Errorf("%d in the queue: %d saw a lead, %d were answered at once", backlog, leads.Load(), atOnce.Load())
	}
	time.Sleep(time.Second)
	if took, lead := l.operator(30); !lead {
		l.t.Errorf("%d in the queue: the next one was answered after %v without the lead", backlog, took)
	}
	l.settle(time.Hour)
	l.verdict()
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
