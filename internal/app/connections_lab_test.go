package app_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// rows are the connections that the API tells of: name, whether it is removed, pending.
func (l *lab) rows() (out []string) {
	l.t.Helper()
	c := &http.Client{Transport: &http.Transport{DialContext: l.desk.dial, DisableKeepAlives: true}}
	res, err := c.Get("http://127.0.0.1/api/v1/connections")
	if err != nil {
		l.t.Fatal(err)
	}
	defer res.Body.Close()
	var got struct {
		Connections []struct {
			Name, State string
			Pending     int
		}
	}
	if err := json.NewDecoder(res.Body).Decode(&got); err != nil {
		l.t.Fatal(err)
	}
	for _, c := range got.Connections {
		out = append(out, fmt.Sprintf("%s %t %d", c.Name, c.State == "removed", c.Pending))
	}
	return out
}

// While the account is paused nothing will come: a new client's reply is given at once,
// and when the account is back it waits for the lead again (product.md §6).
func TestConnection_NoOperatorWaitsForAPausedAccount(t *testing.T) {
	inLab(t, labSetup{conn: waited2s}, func(l *lab) {
		l.amo.SetUnpaid(2)
		l.operator(0) // finds out
		l.await("the account is paused", time.Minute, func() bool { return l.scrape().sum("bridge_amocrm_paused{") > 0 })
		for n := 1; n < 4; n++ {
			if took, lead := l.operator(n); took > 100*time.Millisecond || lead {
				t.Errorf("operator %d waited %v, saw a lead: %t", n, took, lead)
			}
		}
		l.amo.SetUnpaid(0)
		l.settle(time.Hour)
		if took, lead := l.operator(5); !lead {
			t.Errorf("answered after %v without the lead", took)
		}
		l.settle(time.Hour)
		l.verdict()
	})
}

// A connection that is taken out of the config is shown as removed, with what waits in
// its queue, by this process and the next, until its name returns; then it goes on.
func TestConnection_RemovedIsShownUntilItsNameReturns(t *testing.T) {
	inLab(t, labSetup{conn: "reply: {wait: 0s}\n"}, func(l *lab) {
		shows := func(when string, want ...string) {
			t.Helper()
			if got := strings.Join(l.rows(), ", "); got != strings.Join(want, ", ") {
				t.Errorf("%s: %s", when, got)
			}
		}
		with := l.text
		without := strings.Replace(with, "\n  "+e2eName+":", "\n  other:", 1)
		l.amo.SetUnpaid(2)
		equal(t, "status", l.post(ivan().accepted()), 200)
		shows("before", "shop false 1")
		l.text = without
		l.app.Reload()
		shows("taken out", "other false 0", "shop true 1")
		equal(t, "status of its door", l.post(ivan().updated()), 404)
		l.text = with
		l.app.Reload()
		shows("back", "shop false 1", "other true 0")
		l.text = without
		l.restart(time.Second)
		l.await("it is shown by the next process", time.Minute, func() bool { return len(l.rows()) == 2 })
		shows("started without it", "other false 0", "shop true 1")
		l.text = with
		l.restart(time.Second)
		l.amo.SetUnpaid(0)
		l.settle(time.Hour)
		l.verdict()
		equal(t, "leads", len(l.amo.Leads()), 1)
	})
}

// A card that a thin hook made doubtful is read again at once, before anybody asks:
// what the hook did not tell is in the next reply.
func TestConnection_DoubtfulCardIsReadAtOnce(t *testing.T) {
	w, p := newWorld(t, setup{noHooks: true}), ivan()
	w.amo.DPHook(pipeSales, 0, w.hookURL())
	w.tell(p.accepted())
	l := w.oneLead()
	w.manager(w.amo.SetPrice(l.ID, 700)) // of which no hook tells
	w.manager(w.amo.MoveLead(l.ID, stageDeciding, 0))
	w.await("the card is read", func() (known bool) {
		err := w.app.Store().View(func(tx *store.Tx) error {
			card, _, err := store.Get[event.LeadCard](tx, store.Cards, store.Key(e2eName, "lead", strconv.FormatInt(l.ID, 10)))
			known = card.Lead.Price == 700 && card.Lead.StatusID == stageDeciding && !card.Dirty
			return err
		})
		return err == nil && known
	})
	r := w.post(p.updated())
	equal(t, "Этап", r.item("Этап"), "Продажи → Принимают решение")
	equal(t, "Бюджет", r.item("Бюджет"), "700")
}

// A name that belongs to another account is refused: nothing of its queue reaches the
// account it points to by mistake, and it goes on where it belongs (product.md §2).
func TestConnection_NothingGoesToAnotherAccount(t *testing.T) {
	inLab(t, labSetup{conn: "reply: {wait: 0s}\n"}, func(l *lab) {
		pin := func(id int64) (was int64) {
			t.Helper()
			err := l.app.Store().Update(l.t.Context(), func(tx *store.Tx) (err error) {
				if was, _, err = store.Get[int64](tx, store.Pins, store.Key(e2eName)); err != nil {
					return err
				}
				return store.Set(tx, store.Pins, store.Key(e2eName), id)
			})
			if err != nil {
				t.Fatal(err)
			}
			return was
		}
		own := pin(999)
		l.restart(time.Second)
		time.Sleep(time.Minute)
		equal(t, "status", l.post(ivan().accepted()), 200)
		time.Sleep(10 * time.Minute)
		equal(t, "leads", len(l.amo.Leads()), 0)
		equal(t, "events that wait", l.app.Store().Counts(e2eName).Pending, 1)
		if ready := l.app.Ready(l.t.Context()); len(ready) == 0 {
			t.Error("the bridge is ready")
		}
		pin(own)
		l.restart(time.Second)
		l.settle(time.Hour)
		l.verdict()
		equal(t, "leads once it is right", len(l.amo.Leads()), 1)
	})
}

// A card counts as known for `refresh`, and is read again when it is older.
func TestConnection_CardIsFreshForItsRefresh(t *testing.T) {
	inLab(t, labSetup{amocrm: "refresh: 30m\n", conn: "reply: {wait: 0s}\n"}, func(l *lab) {
		p := ivan()
		l.tell(p.accepted())
		l.settle(time.Hour)
		time.Sleep(10 * time.Minute)
		equal(t, "status", l.post(p.updated()), 200)
		equal(t, "stale cards", l.scrape().sum("bridge_reply_card_total{", `result="stale"`), 0)
		time.Sleep(65 * time.Minute)
		equal(t, "status", l.post(p.updated()), 200)
		equal(t, "stale cards after refresh", l.scrape().sum("bridge_reply_card_total{", `result="stale"`), 1)
		l.settle(time.Hour)
		l.verdict()
	})
}
