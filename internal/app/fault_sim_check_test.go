package app_test

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/jivo-amocrm/bridge/internal/console"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// mend ends all trouble and waits until everything is settled.
func (s *sim) mend() {
	s.posting.Wait()
	s.l.amo.Lift()
	s.l.amo.SetUnpaid(0)
	s.l.wire.refuse(nil)
	for range 2 { // hooks bring events, and writes bring hooks
		s.settled()
		_ = s.l.amo.FlushHooks(s.l.t.Context()) // it fails with the test only
		time.Sleep(latest)
	}
	s.settled()
	if s.refuses || s.hand != nil {
		s.revive()
	}
}

// revive replays what died until nothing does any more.
func (s *sim) revive() {
	for _, r := range s.refusals {
		r.Remove()
	}
	for range 5 {
		n, err := s.l.app.ReplayAll(s.l.t.Context(), console.ReplayFilter{State: event.Dead, Reason: event.Refused})
		if err != nil {
			s.l.t.Fatal(err)
		}
		if n == 0 {
			return
		}
		s.note("replayed %d", n)
		s.settled()
		_ = s.l.amo.FlushHooks(s.l.t.Context())
		s.settled()
	}
}

// settled waits until nothing is pending or parked.
func (s *sim) settled() {
	began := time.Now()
	for pause := time.Second; ; pause = min(pause*2, time.Minute) {
		if c := s.l.app.Store().Counts(e2eName); c.Pending+c.Parked == 0 {
			return
		}
		if time.Since(began) > 14*24*time.Hour {
			s.l.dump()
			s.l.t.Fatalf("not settled within two weeks; seed plays:\n%s", strings.Join(s.history, "\n"))
		}
		time.Sleep(pause)
	}
}

// check is the verdict on the play.
func (s *sim) check() {
	evs := s.l.events(store.Filter{})
	slices.Reverse(evs) // oldest first
	if s.hand != nil {
		s.hand.looks(s, evs)
	}
	s.endings(evs)
	s.kept(evs)
	s.ledger(evs)
	s.account()
	s.extra()
	if !s.refuses || s.hand != nil { // what is replayed comes out of its order, by request
		s.order(evs)
		s.prices(evs)
		s.metrics(evs)
	}
	s.l.stop()
	s.file(s.l.file())
	if s.l.t.Failed() {
		s.l.t.Logf("seed plays:\n%s", strings.Join(s.history, "\n"))
	}
}

// endings: everything is settled, nothing is dead, nothing was skipped that had
// something to be done.
func (s *sim) endings(evs []*event.Event) {
	described := map[string]bool{} // clients some event tells more of than an id
	for _, ev := range evs {
		described[ev.Client] = described[ev.Client] || !strings.HasSuffix(ev.Kind, "_task") && !strings.HasSuffix(ev.Kind, "_deal")
	}
	for _, ev := range evs {
		s.trace.told(fmt.Sprintf("event %d %s %s %s %s", ev.Seq, ev.Kind, ev.State, ev.Reason, ev.SettledAt.Format(time.RFC3339Nano)))
		unknown := ev.Reason == event.ClientUnknown && !described[ev.Client] || s.hand.forgot(ev.Client)
		if !ev.State.Settled() || ev.State == event.Dead && !unknown {
			s.l.t.Errorf("not as it must end:%s", tale(ev))
		}
	}
}

// kept: every body that was answered 200 stands in the journal.
func (s *sim) kept(evs []*event.Event) {
	have := map[string]bool{}
	err := s.l.app.Store().View(func(tx *store.Tx) error {
		for _, ev := range evs {
			have[string(tx.Body(ev.Seq))] = true
		}
		return nil
	})
	if err != nil {
		s.l.t.Fatal(err)
	}
	for body := range s.taken {
		if !have[body] && !s.hand.forgot(clientOfBody(body)) {
			s.l.t.Errorf("acknowledged and not in the journal: %s", body)
		}
	}
}

// made is an entity of amoCRM.
type made struct {
	kind event.Target
	id   int64
}

// ledger: what the ledger says was made stands in amoCRM, and what stands in
// amoCRM the ledger says was made, once.
func (s *sim) ledger(evs []*event.Event) {
	stands := map[made]string{}
	for _, c := range s.l.amo.Contacts() {
		stands[made{event.OnContact, c.ID}] = c.Name
	}
	for _, d := range s.l.amo.Leads() {
		stands[made{event.OnLead, d.ID}] = d.Name
	}
	for _, c := range s.l.amo.Companies() {
		stands[made{event.OnCompany, c.ID}] = c.Name
	}
	for _, n := range s.l.amo.AllNotes() {
		if n.Uniq() != "" {
			stands[made{event.OnCall, n.ID}] = n.Uniq()
		} else if !strings.HasPrefix(n.Text(), byHand) {
			stands[made{event.OnNote, n.ID}] = n.Text()
		}
	}
	for _, t := range s.l.amo.Tasks() {
		stands[made{event.OnTask, t.ID}] = t.Text
	}
	by := map[made]string{}
	for _, ev := range evs {
		for _, ch := range ev.Changes {
			if ch.State != event.Settled && ch.State != event.Dropped && !s.hand.ended(ev) {
				s.l.t.Errorf("a change is left %s:%s", ch.State, tale(ev))
			}
			if ch.Op != event.OpCreate || ch.State != event.Settled || ch.AmoID == 0 {
				continue
			}
			m := made{ch.Target, ch.AmoID}
			if _, there := stands[m]; !there {
				s.l.t.Errorf("the ledger has a %s %d that is not in amoCRM:%s", m.kind, m.id, tale(ev))
			}
			if first, twice := by[m]; twice && m.kind != event.OnCompany {
				s.l.t.Errorf("two changes settled by one %s %d: %s and%s", m.kind, m.id, first, tale(ev))
			}
			by[m] = ch.Key
		}
	}
	for m, what := range stands {
		if by[m] == "" && m.kind != event.OnCompany && !s.hand.orphaned(m.kind) { // companies of a lead go unnamed
			s.l.t.Errorf("nothing in the ledger made %s %d %q", m.kind, m.id, what)
		}
	}
}

// order: of one client, no event's contact and lead were written before those
// of the event before it.
func (s *sim) order(evs []*event.Event) {
	if s.jumps > 0 {
		return // times of different clocks
	}
	described := map[string]bool{}
	last, of := map[string]time.Time{}, map[string]*event.Event{}
	for _, ev := range evs {
		if ev.Source != event.Jivo || ev.Line == "" {
			continue
		}
		if ofCRM := strings.HasSuffix(ev.Kind, "_task") || strings.HasSuffix(ev.Kind, "_deal"); !ofCRM {
			described[ev.Client] = true
		} else if !described[ev.Client] {
			continue // it was parked, and blocked nothing
		}
		first, newest := coreSent(ev)
		if first.IsZero() || s.hand.outOfOrder(ev.Line) {
			continue
		}
		if first.Before(last[ev.Line]) {
			s.l.t.Errorf("left before the one before it was through:%s%s", tale(of[ev.Line]), tale(ev))
		}
		last[ev.Line], of[ev.Line] = newest, ev
	}
}

// coreSent is when the first and the last write of contact and lead left.
func coreSent(ev *event.Event) (first, newest time.Time) {
	for _, ch := range ev.Changes {
		if (ch.Target != event.OnLead && ch.Target != event.OnContact) || ch.SentAt.IsZero() {
			continue
		}
		if first.IsZero() || ch.SentAt.Before(first) {
			first = ch.SentAt
		}
		if ch.SentAt.After(newest) {
			newest = ch.SentAt
		}
	}
	return first, newest
}

// prices: of each deal, the amount that came last stands.
func (s *sim) prices(evs []*event.Event) {
	type deal struct {
		DealID int `json:"deal_id"`
		Amount int `json:"amount"`
	}
	last, leads := map[int]*event.Event{}, map[int]deal{}
	err := s.l.app.Store().View(func(tx *store.Tx) error {
		for _, ev := range evs {
			if ev.Kind != "created_deal" && ev.Kind != "updated_deal" || ev.Reason == event.Duplicate || ev.Reason == event.Stale {
				continue
			}
			var d deal
			if s.hand.forgot(ev.Client) {
				continue // there is nothing to compare with
			}
			if err := jsonInto(tx.Body(ev.Seq), &d); err != nil {
				return err
			}
			last[d.DealID], leads[d.DealID] = ev, d
		}
		return nil
	})
	if err != nil {
		s.l.t.Fatal(err)
	}
	for id, ev := range last {
		if s.hand.repriced(ev.Line) || ev.Reason == event.Discarded {
			continue
		}
		if ev.Lead == nil {
			s.l.t.Errorf("deal %d has no lead:%s", id, tale(ev))
			continue
		}
		if lead, ok := s.l.amo.Lead(ev.Lead.ID); !ok || int(lead.Price) != leads[id].Amount {
			s.l.t.Errorf("deal %d says %d last, the lead %d has %v:%s\n%s", id, leads[id].Amount, ev.Lead.ID, lead.Price, tale(ev), s.story(fmt.Sprintf(`"deal_id":%d,`, id)))
		}
	}
}

// account: what stands in amoCRM stands there once, and its rules were kept.
func (s *sim) account() {
	t, amo := s.l.t, s.l.amo
	for _, d := range amo.Doubles() {
		if s.hand.asked(d) {
			continue
		}
		t.Errorf("twice in amoCRM: %s", d)
		s.tell(idsIn(d))
	}
	r := amo.Report()
	for _, v := range r.Violations {
		if !strings.HasPrefix(v, "GET") { // its own look-ups may repeat when answers are lost again and again
			t.Errorf("against amoCRM's rules: %s", v)
			s.trace.show(t, v)
		}
	}
	for _, v := range r.Lost {
		t.Errorf("a write took away %s", v)
		s.tell(idsIn(v))
	}
	if most := s.trace.most(); most > s.rps {
		t.Errorf("%d requests within a second, %d allowed", most, s.rps)
	}
	notes := amo.AllNotes()
	for text, what := range s.once {
		n := 0
		for _, note := range notes {
			if strings.Contains(note.Text(), text) {
				n++
			}
		}
		if least, most := s.hand.times(text); n < least || n > most {
			t.Errorf("%s %q stands %d times: %s", what, text, n, s.story(text))
		}
	}
	contacts := map[string][]int64{}
	for _, c := range amo.Contacts() {
		for _, p := range c.Values("PHONE") {
			contacts[p] = append(contacts[p], c.ID)
		}
	}
	for p, ids := range contacts {
		if len(ids) > 1 && !s.hand.halfMade(p) {
			t.Errorf("the phone %s stands on contacts %v", p, ids)
			s.tell(ids)
		}
	}
}

func jsonInto(b []byte, to any) error { return json.Unmarshal(b, to) }

// idsIn are the long numbers of a text.
func idsIn(text string) (ids []int64) {
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return r < '0' || r > '9' }) {
		if n, err := strconv.ParseInt(word, 10, 64); err == nil && n > 1_000_000 {
			ids = append(ids, n)
		}
	}
	return ids
}

// tell says what the events of some contacts and leads came to, oldest first.
func (s *sim) tell(ids []int64) {
	for _, ev := range slices.Backward(s.l.events(store.Filter{Source: event.Jivo})) {
		for _, m := range []*event.Match{ev.Contact, ev.Lead} {
			if m != nil && slices.Contains(ids, m.ID) {
				s.l.t.Log(m.By, m.Why, tale(ev))
			}
		}
	}
}

// metrics: what the last bridge counted agrees with the journal and with what
// came out of it.
func (s *sim) metrics(evs []*event.Event) {
	got := s.l.scrape()
	states, settled, again := map[event.State]float64{}, 0.0, 0.0
	for _, ev := range evs {
		if strings.HasSuffix(ev.Kind, "_deal") || strings.HasSuffix(ev.Kind, "_task") {
			again++ // once it has waited long enough, and once more when its client is described
		}
		states[ev.State]++
		again += float64(ev.Replays)
		if ev.Imported || ev.Reason == event.Forgotten || ev.Reason == event.Discarded {
			again++ // if it was worked before
		}
		if ev.State.Settled() && !ev.SettledAt.Before(s.l.born) && ev.Reason != event.Forgotten && ev.Reason != event.Discarded && !ev.Imported {
			settled++
		}
	}
	for _, st := range []event.State{event.Pending, event.Parked, event.Dead} {
		if n := got.sum("bridge_events{", `state="`+string(st)+`"`); n != states[st] {
			s.l.t.Errorf("the metrics have %v events %s, the journal %v", n, st, states[st])
		}
	}
	if n := got.sum("bridge_events_settled_total{"); (n < settled || n > settled+again) && s.jumps == 0 { // else the times are of different clocks
		s.l.t.Errorf("the metrics have %v events settled by the last bridge, the journal %v", n, settled)
	}
	s.l.wire.mu.Lock()
	sent, waiting := s.l.wire.sent, s.l.wire.waiting
	s.l.wire.mu.Unlock()
	none := got.sum("bridge_amocrm_requests_total{", `code="none"`)
	if n := got.sum("bridge_amocrm_requests_total{"); n-none > float64(sent) || n < float64(sent-waiting) {
		s.l.t.Errorf("the metrics have %v requests (%v without an answer) of the last bridge, %d left it", n, none, sent)
	}
}

// scraped are the lines of /metrics.
type scraped []string

func (l *lab) scrape() scraped {
	l.t.Helper()
	c := &http.Client{Transport: &http.Transport{DialContext: l.desk.dial, DisableKeepAlives: true}}
	res, err := c.Get("http://127.0.0.1/metrics")
	if err != nil {
		l.t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		l.t.Fatalf("metrics: %s %v", res.Status, err)
	}
	return strings.Split(string(raw), "\n")
}

// sum adds the series that begin with name and hold the labels.
func (m scraped) sum(name string, labels ...string) (sum float64) {
	for _, line := range m {
		if !strings.HasPrefix(line, name) || slices.ContainsFunc(labels, func(l string) bool { return !strings.Contains(line, l) }) {
			continue
		}
		n, _ := strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:], 64)
		sum += n
	}
	return sum
}

// file: a store that was killed or closed is sound, and its indexes are what a
// look at every event says they must be.
func (s *sim) file(path string) {
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true, PreLoadFreelist: true})
	if err != nil {
		s.l.t.Errorf("the store: %v", err)
		return
	}
	defer db.Close()
	_ = db.View(func(tx *bolt.Tx) error { // it reports for itself
		for err := range tx.Check() {
			s.l.t.Errorf("the store's pages: %v", err)
		}
		for bucket, want := range indexes(s.l.t, tx) {
			have := map[string]bool{}
			_ = tx.Bucket([]byte(bucket)).ForEach(func(k, _ []byte) error { have[string(k)] = true; return nil })
			for k := range want {
				if !have[k] {
					s.l.t.Errorf("%s lacks %q", bucket, k)
				}
			}
			for k := range have {
				if !want[k] {
					s.l.t.Errorf("%s has %q, which no event stands for", bucket, k)
				}
			}
		}
		return nil
	})
}

// indexes are the keys the indexes of unsettled events must have.
func indexes(t *testing.T, tx *bolt.Tx) map[string]map[string]bool {
	due, lines, states, parked := map[string]bool{}, map[string]bool{}, map[string]bool{}, map[string]bool{}
	type head struct {
		due    string
		frozen bool
	}
	heads := map[string]head{}
	err := tx.Bucket([]byte("events")).ForEach(func(k, rec []byte) error { // in the order they came
		var ev event.Event
		if err := json.Unmarshal(rec[1:], &ev); err != nil { // a version, then JSON
			return err
		}
		attached := ev.State == event.Pending && !ev.Detached && ev.Line != ""
		waits := ev.State == event.Pending || ev.State == event.Parked
		if waits || ev.State == event.Dead {
			states[store.Key(ev.Connection, string(ev.State), "")+string(k)] = true
		}
		if ev.State == event.Parked && ev.Client != "" {
			parked[store.Key(ev.Connection, ev.Client, "")+string(k)] = true
		}
		at := ev.NextAt
		if at.IsZero() {
			at = ev.ReceivedAt
		}
		line, when := store.Key(ev.Connection, ev.Line, ""), store.Key(ev.Connection, "")+string(binary.BigEndian.AppendUint64(nil, uint64(at.UnixNano())))+string(k)
		if waits && !attached {
			due[when] = true
		}
		if attached {
			lines[line+string(k)] = true
			if h, taken := heads[line]; !taken || ev.Frozen && !h.frozen {
				heads[line] = head{when, ev.Frozen}
			}
		}
		if attached && ev.Frozen {
			lines[line+string(make([]byte, 8))+string(k)] = true
		}
		return nil
	})
	for _, h := range heads {
		due[h.due] = true
	}
	if err != nil {
		t.Errorf("the journal: %v", err)
	}
	return map[string]map[string]bool{"due": due, "lines": lines, "states": states, "parked": parked}
}

// story is what became of the events whose body holds a text.
func (s *sim) story(text string) (out string) {
	for _, ev := range s.l.events(store.Filter{Source: event.Jivo}) {
		_ = s.l.app.Store().View(func(tx *store.Tx) error { // it is for reading only
			if strings.Contains(string(tx.Body(ev.Seq)), text) {
				out += tale(ev)
			}
			return nil
		})
	}
	return cmp.Or(out, "no event tells of it")
}

func tale(ev *event.Event) string {
	out := fmt.Sprintf("\n  event %d %s of %s at %s: %s %s %s", ev.Seq, ev.Kind, ev.Client, ev.ReceivedAt.Format(time.TimeOnly), ev.State, ev.Reason, ev.Detail)
	for _, ch := range ev.Changes {
		out += fmt.Sprintf("\n    %s %s %d %s, sent %s, looked up %d times", ch.Key, ch.State, ch.AmoID, ch.Error, ch.SentAt.Format(time.TimeOnly), ch.Looks)
	}
	for _, r := range ev.Requests {
		out += fmt.Sprintf("\n    %s %s %s %d %s", r.At.Format(time.TimeOnly), r.Method, r.Path, r.Status, r.Answer)
	}
	return out
}
