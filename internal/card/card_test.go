package card

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm/dict"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/jivo"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// What the tests' account holds.
const (
	shop       = "shop"
	host       = "demo.amocrm.ru"
	accountID  = 31000001
	lead1      = 501
	contact1   = 801
	client1    = "2100"
	chat1      = "7636"
	pipeSales  = 700001
	stageFirst = 70000002
	stageTalks = 70000003
	userAnna   = 9001
	userOleg   = 9002
)

var zone = time.FixedZone("MSK", 3*3600)

func dictionary() *dict.Snapshot {
	return &dict.Snapshot{
		AccountID: accountID, Country: "RU", Timezone: "Europe/Moscow",
		Pipelines: []dict.Pipeline{{ID: pipeSales, Name: "Продажи", Main: true, Stages: []dict.Stage{
			{ID: stageFirst, PipelineID: pipeSales, Name: "Первичный контакт", Sort: 10}, {ID: stageTalks, PipelineID: pipeSales, Name: "Переговоры", Sort: 20},
		}}},
		Users: []dict.User{{ID: userAnna, Name: "Анна", Active: true}, {ID: userOleg, Name: "Олег", Active: true}},
	}
}

// desk is a store with a composer and a keeper on it, and what they told others.
type desk struct {
	t      *testing.T
	st     *store.Store
	conn   Connection
	mu     sync.Mutex
	order  []string // what the composer waited for, in order
	onWait func()   // runs when a reply waits for its event
	cards  []string // results counted
	stale  []int64
	dirty  []int64
	drops  []string
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	st, err := store.Open(store.Options{Path: filepath.Join(t.TempDir(), "bridge.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	names := dictionary()
	return &desk{t: t, st: st, conn: Connection{
		Name: shop, BaseURL: "https://demo.amocrm.ru", Account: host, Language: "ru", Region: "RU", Location: zone,
		Dict: func() *dict.Snapshot { return names }, Wait: time.Second, Refresh: time.Hour, Link: "lead", Assign: "auto",
		Seats: func() int { return 1 },
	}}
}

func (d *desk) connOf(name string) (Connection, bool) { return d.conn, name == d.conn.Name }

func (d *desk) note(s string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.order = append(d.order, s)
}

// Card implements Observer.
func (d *desk) Card(_, result string) { d.cards = append(d.cards, result) }

func (d *desk) composer() *Composer {
	return NewComposer(d.st, d.connOf, d, func(_ context.Context, seq uint64, _ int) {
		d.note("event " + strconv.FormatUint(seq, 10))
		if d.onWait != nil {
			d.onWait()
		}
	}, func(_ context.Context, seq uint64) {
		d.note("hooks before " + strconv.FormatUint(seq, 10))
	}, func(_ string, id int64) { d.stale = append(d.stale, id) })
}

// reply answers an event of the client's chat; fields are more of its JSON.
func (d *desk) reply(kind, chat, fields string) jivo.Reply {
	d.t.Helper()
	return d.composer().Reply(context.Background(), shop, message(d.t, kind, chat, fields), 9, false)
}

func message(t *testing.T, kind, chat, fields string) *jivo.Message {
	t.Helper()
	if fields == "" {
		fields = fmt.Sprintf(`"visitor":{"number":%q}`, client1)
	}
	m, err := jivo.Decode([]byte(fmt.Sprintf(`{"event_name":%q,"chat_id":%q,%s}`, kind, chat, fields)))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func (d *desk) update(fn func(tx *store.Tx) error) {
	d.t.Helper()
	if err := d.st.Update(context.Background(), fn); err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) view(fn func(tx *store.Tx)) {
	d.t.Helper()
	if err := d.st.View(func(tx *store.Tx) error { fn(tx); return nil }); err != nil {
		d.t.Fatal(err)
	}
}

// link makes the client known, with a contact and these leads of theirs.
func (d *desk) link(change func(*event.Client), cards ...event.LeadCard) {
	d.t.Helper()
	d.update(func(tx *store.Tx) error {
		c := &event.Client{ID: client1, ContactID: contact1, LinkedAt: time.Now().Add(-24 * time.Hour), Described: true}
		contact := event.ContactCard{Contact: event.Contact{ID: contact1}, ReadAt: time.Now()}
		for _, card := range cards {
			contact.Contact.LeadIDs = append(contact.Contact.LeadIDs, card.Lead.ID)
			c.Leads = append(c.Leads, event.Link{LeadID: card.Lead.ID, Made: "chat"})
			if err := store.Set(tx, store.Cards, leadKey(card.Lead.ID), card); err != nil {
				return err
			}
		}
		if change != nil {
			change(c)
		}
		if err := store.Set(tx, store.Cards, contactKey(contact1), contact); err != nil {
			return err
		}
		return tx.PutClient(shop, c)
	})
}

func leadKey(id int64) string    { return store.Key(shop, "lead", strconv.FormatInt(id, 10)) }
func contactKey(id int64) string { return store.Key(shop, "contact", strconv.FormatInt(id, 10)) }

func (d *desk) lead(id int64) (card event.LeadCard, ok bool) {
	d.t.Helper()
	d.view(func(tx *store.Tx) { card, ok, _ = store.Get[event.LeadCard](tx, store.Cards, leadKey(id)) })
	return card, ok
}

func (d *desk) contact(id int64) (card event.ContactCard, ok bool) {
	d.t.Helper()
	d.view(func(tx *store.Tx) { card, ok, _ = store.Get[event.ContactCard](tx, store.Cards, contactKey(id)) })
	return card, ok
}

// aLead is a fresh card of an open lead.
func aLead() event.LeadCard {
	return event.LeadCard{
		Lead:   event.Lead{ID: lead1, Name: "Чат: Иван", PipelineID: pipeSales, StatusID: stageFirst, ResponsibleID: userAnna, UpdatedAt: 100},
		SeenTo: 100, ReadAt: time.Now(),
	}
}

func item(r jivo.Reply, title string) string {
	for _, i := range r.CustomData {
		if i.Title == title {
			return i.Content
		}
	}
	return ""
}

func titles(r jivo.Reply) (out []string) {
	for _, i := range r.CustomData {
		out = append(out, i.Title)
	}
	return out
}

func same[T comparable](t *testing.T, what string, got, want []T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}
