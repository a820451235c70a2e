package app_test

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jivo-amocrm/bridge/internal/emulator"
)

// A deal that came before its client was described is woken by the client's chat
// and steps in front of it. The chat's list may be frozen by then, with a write
// that surely did not land: both make the contact.
func TestFault_AWokenDealDoesNotOvertakeAFrozenContact(t *testing.T) {
	p := visitors(1)[0]
	inLab(t, labSetup{conn: ruleLead}, func(l *lab) {
		l.tell(p.deal("created_deal", deal{id: 9, pipeline: 6, stage: 21, title: "Доски", amount: 100}))
		time.Sleep(time.Minute) // parked
		l.amo.Inject(emulator.Fault{Method: http.MethodPost, PathPrefix: "/api/v4/leads/complex", Kind: emulator.GiveStatus, Status: http.StatusBadGateway})
		l.tell(p.accepted())
		l.settle(time.Hour)
		l.verdict()
		one(l.t, "contacts", l.amo.Contacts())
	})
}

// An update of a contact that was put off says what stood there when it was
// frozen. What others wrote since must not be taken away.
func TestFault_AnUpdatePutOffTakesNothingAway(t *testing.T) {
	all := visitors(2)
	all[1].Phone = all[0].Phone
	inLab(t, labSetup{conn: ruleLead}, func(l *lab) {
		l.tell(all[0].accepted())
		l.settle(time.Hour)
		c := one(l.t, "contacts", l.amo.Contacts())
		l.amo.Inject(emulator.Fault{Method: http.MethodPatch, PathPrefix: "/api/v4/contacts", Kind: emulator.GiveStatus, Status: http.StatusBadGateway})
		l.tell(all[1].accepted()) // brings another e-mail
		time.Sleep(3 * time.Second)
		if err := l.amo.EditContact(c.ID, emulator.Edit{Fields: map[string][]string{"EMAIL": append(c.Values("EMAIL"), "second@example.com")}}); err != nil {
			l.t.Fatal(err)
		}
		l.settle(time.Hour)
		for _, lost := range l.amo.Report().Lost {
			l.t.Errorf("a write took away %s", lost)
		}
		t.Log(l.census())
	})
}

// Two visitors of one contact bring an e-mail each while amoCRM does not answer.
func TestFault_TwoUpdatesOfOneContactPutOff(t *testing.T) {
	all := visitors(3)
	all[1].Phone, all[2].Phone = all[0].Phone, all[0].Phone
	inLab(t, labSetup{conn: ruleLead}, func(l *lab) {
		l.tell(all[0].accepted())
		l.settle(time.Hour)
		l.amo.Inject(emulator.Fault{Method: http.MethodPatch, PathPrefix: "/api/v4/contacts", Kind: emulator.GiveStatus, Status: http.StatusGatewayTimeout, Times: 2})
		l.tell(all[1].accepted())
		l.tell(all[2].accepted())
		l.settle(time.Hour)
		for _, lost := range l.amo.Report().Lost {
			l.t.Errorf("a write took away %s", lost)
		}
		t.Log(l.census())
	})
}

// The bridge's clock is set back (amoCRM's seems to leap ahead) while a write is
// in doubt: what was made before that must still be found.
func TestFault_AClockSetBackHidesNothingFromALookUp(t *testing.T) {
	var ahead atomic.Int64
	set := labSetup{conn: ruleLead, amo: emulator.Options{Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }}}
	inLab(t, set, func(l *lab) {
		l.amo.Inject(emulator.Fault{Method: http.MethodPost, PathPrefix: "/api/v4/leads/complex", Kind: emulator.DropAfterCommit})
		l.tell(visitors(1)[0].accepted())
		time.Sleep(time.Second)
		ahead.Store(int64(time.Minute))
		l.settle(time.Hour)
		l.verdict()
		one(l.t, "leads", l.amo.Leads())
	})
}

// A manager opens a lead by hand and renames its contact: the hook of the contact
// is no read of it, and the visitor's next chat comes to that lead all the same.
func TestFault_LeadByHandIsFoundAfterAHookOfItsContact(t *testing.T) {
	var courier courierDoor
	p := visitors(1)[0]
	inLab(t, labSetup{conn: ruleLead, amo: emulator.Options{HookClient: &http.Client{Transport: &courier}}}, func(l *lab) {
		courier.lab = l
		l.amo.Subscribe("http://bridge/amocrm/" + e2eName + "/" + e2eHook)
		manager := func(err error) {
			if err == nil {
				err = l.amo.FlushHooks(l.t.Context())
			}
			if err != nil {
				l.t.Fatal(err)
			}
			l.settle(time.Minute)
		}
		l.tell(p.accepted(), p.finished(said(then, "v:Да")))
		l.settle(time.Minute)
		first := one(l.t, "leads", l.amo.Leads())
		manager(l.amo.MoveLead(first.ID, 142, pipeSales))
		time.Sleep(time.Minute)
		contact := first.Contacts[0].ID
		byHand, err := l.amo.CreateLead(cardOf{Edit: editOf{Name: "Рукой"}, ContactID: contact, StatusID: stageTalks, PipelineID: pipeSales})
		manager(err)
		manager(l.amo.EditContact(contact, emulator.Edit{Name: "Иван Иванович"}))
		p.Chat = 7640
		l.tell(p.accepted())
		l.settle(time.Minute)
		if n := len(l.amo.Leads()); n != 2 {
			l.t.Errorf("%d leads; the one by hand is %d", n, byHand)
		}
		l.verdict()
	})
}
