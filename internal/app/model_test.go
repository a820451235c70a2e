package app_test

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jivo-amocrm/bridge/internal/emulator"
	"github.com/jivo-amocrm/bridge/internal/store"
)

var modelSeeds = flag.Int("model.seeds", 8, "how many orders of each story the model test plays")

// A story is what happened with one client, in the order in which it happened.
type story struct {
	name  string
	tells []tell
	leads int
	said  int // messages of its chats, each of which must be told once
}

// tell is one webhook of a story.
type tell struct {
	name string
	body []byte
}

// TestModel_AnyOrderOfAClientsEventsEndsAlike plays stories of one client in
// orders in which they did not happen, with repeats, in bursts, with pauses, with
// amoCRM away for a while, and with the bridge stopped or killed in between.
// Every order must end in the same contact (phones, e-mails, attributes), the
// same number of leads, and the same notes as the story's own.
//
// What may differ, and is not compared:
//   - which state stands in the end. Jivo's events carry no time, so the one that
//     came last is the newest: a lead's name, price and stage, a contact's name,
//     and whether a task that was completed before it was created is still open;
//   - the first touch, and the note of page and city: they are those of the
//     first event of a visit that came, and a lead that a deal or a call made
//     has no such note;
//   - how a chat that finished twice is split into transcripts: what counts is
//     that every message is told once;
//   - where a task stands: on the deal's lead if that was known when it came,
//     else on the contact, and nowhere (`no_target`) if there was neither;
//   - a deal that waited longer than `park` for its client has a lead of its own
//     (product.md §7): here nothing waits that long.
//
// A seed that fails is played again by -run 'TestModel_.*/name/seed=N$'.
func TestModel_AnyOrderOfAClientsEventsEndsAlike(t *testing.T) {
	for _, s := range stories() {
		t.Run(s.name, func(t *testing.T) {
			var want ending
			inLab(t, modelLab(), func(l *lab) {
				for _, x := range s.tells {
					l.tell(x.body)
					l.settle(time.Hour)
				}
				want = endingOf(l)
			})
			if want.Leads != s.leads || want.Contacts != 1 {
				t.Fatalf("told in order, the story ends with %d leads of %d contacts, want %d of one", want.Leads, want.Contacts, s.leads)
			}
			if len(want.Said) != s.said || slices.ContainsFunc(slices.Collect(maps.Values(want.Said)), func(n int) bool { return n != 1 }) {
				t.Fatalf("the transcripts hold %v, want each of %d messages once", want.Said, s.said)
			}
			for seed := range *modelSeeds {
				t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
					playModel(t, s, uint64(seed), want)
				})
			}
		})
	}
}

func modelLab() labSetup {
	return labSetup{amo: emulator.Options{IndexLag: 2 * time.Second}, conn: "agents: {\"*\": owner@example.com}\ntimezone: Europe/Moscow\npark: 7d"}
}

// playModel tells a story in the order of a seed.
func playModel(t *testing.T, s story, seed uint64, want ending) {
	rnd := rand.New(rand.NewPCG(seed, 0x6d6f64656c))
	bursts := shuffled(rnd, s.tells)
	inLab(t, modelLab(), func(l *lab) {
		for _, burst := range bursts {
			bodies := make([][]byte, len(burst))
			for i, x := range burst {
				bodies[i] = x.body
			}
			l.tell(bodies...)
			switch rnd.IntN(8) {
			case 0, 1:
				l.wire.refuse(nil)
				l.settle(time.Hour)
			case 2:
				time.Sleep(time.Duration(rnd.IntN(10_000)) * time.Millisecond)
			case 3: // amoCRM is away for a while
				l.wire.refuse(syscall.ECONNREFUSED)
				time.Sleep(time.Duration(rnd.IntN(90)) * time.Second)
			case 4:
				l.restart(time.Duration(rnd.IntN(5)) * time.Second)
			case 5:
				l.kill(time.Duration(rnd.IntN(5)) * time.Second)
			}
		}
		l.wire.refuse(nil)
		l.settle(time.Hour)
		got := endingOf(l)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("another ending (-told in order +told as below):\n%s\n%s\n%s", diff, order(bursts), l.census())
			for _, ev := range slices.Backward(l.events(store.Filter{})) {
				t.Logf("%d %s: %s %s %q", ev.Seq, ev.Kind, ev.State, ev.Reason, ev.Warnings)
				for _, ch := range ev.Changes {
					t.Logf("    %s %s %d %s %s", ch.Key, ch.State, ch.AmoID, ch.Error, ch.Item)
				}
			}
		}
		for _, d := range append(l.amo.Doubles(), l.amo.TwinTasks()...) {
			t.Errorf("twice in amoCRM: %s", d)
		}
	})
}

// shuffled puts a story into some order, tells some of it again, and cuts it
// into bursts of what arrives together.
func shuffled(rnd *rand.Rand, tells []tell) (bursts [][]tell) {
	all := slices.Clone(tells)
	for _, x := range tells {
		for rnd.IntN(4) == 0 {
			all = append(all, x)
		}
	}
	rnd.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for len(all) > 0 {
		n := min(1+rnd.IntN(4), len(all))
		bursts = append(bursts, all[:n])
		all = all[n:]
	}
	return bursts
}

func order(bursts [][]tell) string {
	var out []string
	for _, b := range bursts {
		var names []string
		for _, x := range b {
			names = append(names, x.name)
		}
		out = append(out, strings.Join(names, " + "))
	}
	return strings.Join(out, "\n")
}

// ending is what every order must come to.
type ending struct {
	Contacts, Leads int
	Phones, Emails  []string
	City            string
	Company         []string
	Notes           []string // texts of plain notes
	Calls           []string
	Said            map[string]int // lines of all transcripts: how often each stands there
	Dead, Parked    int
}

func endingOf(l *lab) ending {
	e := ending{Said: map[string]int{}}
	for _, c := range l.amo.Contacts() {
		e.Contacts++
		e.Phones = append(e.Phones, c.Values("PHONE")...)
		e.Emails = append(e.Emails, c.Values("EMAIL")...)
		e.City = c.Value("Город")
	}
	for _, c := range l.amo.Companies() {
		e.Company = append(e.Company, c.Name)
	}
	e.Leads = len(l.amo.Leads())
	notes := map[string]bool{}
	for _, n := range l.amo.AllNotes() {
		switch {
		case n.Uniq() != "":
			e.Calls = append(e.Calls, fmt.Sprint(n.Type, " ", n.Params["link"], " ", n.Params["phone"]))
		case n.Type == common:
			notes[n.Text()] = true
		case !strings.Contains(n.Text(), catalog):
			for _, line := range strings.Split(n.Text(), "\n") {
				if strings.Contains(line, ": слово") {
					e.Said[line]++
				}
			}
		}
	}
	e.Notes = slices.Sorted(maps.Keys(notes))
	for _, list := range [][]string{e.Phones, e.Emails, e.Company, e.Calls} {
		slices.Sort(list)
	}
	counts := l.app.Store().Counts(e2eName)
	e.Dead, e.Parked = counts.Dead, counts.Parked
	return e
}

// stories are the kinds of things that happen between a client and a shop.
func stories() []story {
	chat := append(anonymousChat(), tell{"attributes", (&person{Number: 2198}).attributes(m{"Город": "Казань"})})
	return []story{
		{"a chat", chat, 1, 4},
		{"a chat that becomes a deal", slices.Concat(plainChat(), dealOf(3, "Первая")), 1, 2},
		{"two deals", slices.Concat(plainChat(), dealOf(3, "Первая"), dealOf(4, "Вторая")), 2, 2},
		{"calls and messages", callsAndMessages(), 1, 0},
		{"all of it", slices.Concat(chat, dealOf(3, "Первая"), dealOf(4, "Вторая"), callsAndMessages()), 2, 4},
	}
}

// anonymousChat is a chat whose visitor gives a phone, then an e-mail, and which
// is finished twice.
func anonymousChat() []tell {
	p := ivan()
	phone, email := p.Phone, p.Email
	p.Phone, p.Email = "", ""
	first := said(then, "v:слово первое", "a:слово второе")
	more := append(slices.Clone(first), said(then.Add(time.Minute), "v:слово третье", "a:слово четвёртое")...)
	out := []tell{{"accepted", p.accepted()}, {"finished", p.finished(first)}}
	p.Phone = phone
	out = append(out, tell{"updated with a phone", p.updated()})
	p.Email = email
	out = append(out, tell{"updated with an e-mail", p.updated()})
	p.Company = "Ромашка"
	return append(out, tell{"client_updated", p.clientUpdated()}, tell{"finished again", p.finished(more)})
}

// plainChat is a chat of somebody whose phone is known from the start.
func plainChat() []tell {
	p := ivan()
	out := []tell{{"accepted", p.accepted()}, {"finished", p.finished(said(then, "v:слово первое", "a:слово второе"))}}
	p.Phone, p.Email = "8 916 000 00 09", "other@example.com"
	return append(out, tell{"updated_client_contacts", p.crm("updated_client_contacts")})
}

// dealOf is a deal with a task, both of which change.
func dealOf(id int, title string) []tell {
	p := ivan()
	d := deal{id: id, pipeline: 6, stage: 21, title: title, text: "Условия: " + title, amount: 1000 * id, agent: 1}
	changed := d
	changed.text, changed.amount = "Новые условия: "+title, 2000*id
	due := then.Add(100 * 24 * time.Hour)
	tag := func(s string) string { return s + " " + title }
	return []tell{
		{"created_pipeline", pipelineGruzly("Gruzly")},
		{tag("created_deal"), p.deal("created_deal", d)},
		{tag("created_task"), p.task("created_task", id*10, id, "Позвонить: "+title, due)},
		{tag("updated_deal"), p.deal("updated_deal", changed)},
		{tag("completed_task"), p.task("completed_task", id*10, id, "Позвонить: "+title, due)},
	}
}

// callsAndMessages is a call with a record, one that nobody took, and a message
// left while everybody was out.
func callsAndMessages() []tell {
	p := ivan()
	p.Chat = 7701
	out := []tell{
		{"call start", p.call("incoming", "start")},
		{"call connected", p.call("incoming", "agent_connected")},
		{"call end", p.call("incoming", "end", m{"record_url": "https://records.example/1.mp3"})},
	}
	p.Chat = 7702
	out = append(out, tell{"missed call", p.call("callback", "error", m{"reason": "all_busy"})})
	p.Chat = 7703
	out = append(out, tell{"offline_message", p.offline(91, "Перезвоните мне")})
	p.Phone = "+7 495 000-00-77"
	return append(out, tell{"updated_client", p.crm("updated_client")})
}

// attributes is client_attribute_updated.
func (p *person) attributes(values m) []byte {
	return jsonOf(m{"event_name": "client_attribute_updated", "widget_id": "3948", "user_token": nil, "client_id": p.Number, "attributes": values})
}
