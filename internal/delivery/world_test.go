package delivery

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm"
	"github.com/jivo-amocrm/bridge/internal/amocrm/dict"
	"github.com/jivo-amocrm/bridge/internal/amocrm/items"
	"github.com/jivo-amocrm/bridge/internal/canary"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/jivo"
	"github.com/jivo-amocrm/bridge/internal/mapping"
	"github.com/jivo-amocrm/bridge/internal/store"
)

const (
	shop     = "shop"
	demoHost = "demo.amocrm.ru"
)

// fakeCRM is an amoCRM account in memory. before may turn a write away before it
// is sent, after may lose its answer; both run without the lock and may block.
type fakeCRM struct {
	d    *Dispatcher
	dict *dict.Snapshot

	mu       sync.Mutex
	next     int64
	leads    map[int64]event.Lead
	contacts map[int64]event.Contact
	notes    map[string][]amocrm.NoteInfo // by entity/id
	tasks    map[string][]event.Task
	// companies is what a search for one finds, whatever it asks for.
	companies []event.Contact
	writes    []amocrm.Write // that landed
	tried     int
	searches  int
	unindexed map[int64]bool // contacts that a search does not find yet
	leadReads int            // of one lead
	paused    bool
	skew      time.Duration  // its clock minus ours
	told      *time.Duration // what its last answer told of that; nil: the truth
	newest    []event.Lead   // the list of the newest leads, if it is to be another\'s
	before    func(amocrm.Write) error
	after     func(amocrm.Write) error
}

func newFake() *fakeCRM {
	return &fakeCRM{next: 1000, leads: map[int64]event.Lead{}, contacts: map[int64]event.Contact{}, notes: map[string][]amocrm.NoteInfo{}, tasks: map[string][]event.Task{}}
}

func (f *fakeCRM) set(fn func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fn()
}

// tries, made and people are how often something was written, and what there is.
func (f *fakeCRM) tries() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.tried
}

func (f *fakeCRM) made() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.leads)
}

func (f *fakeCRM) people() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.contacts)
}

func (f *fakeCRM) Write(ctx context.Context, w amocrm.Write) (amocrm.Result, error) {
	f.mu.Lock()
	f.tried++
	before, after := f.before, f.after
	f.mu.Unlock()
	if before != nil {
		if err := before(w); err != nil {
			return amocrm.Result{}, err
		}
	}
	if err := f.d.Sent(ctx, w.Keys); err != nil {
		return amocrm.Result{}, &amocrm.NotSent{Trouble: amocrm.Unrecorded, Reason: amocrm.Unrecorded, Err: err}
	}
	res := f.land(w)
	if after != nil {
		if err := after(w); err != nil {
			return amocrm.Result{}, err
		}
	}
	return res, nil
}

func (f *fakeCRM) id() int64 { f.next++; return f.next }

// land does what amoCRM does with an item.
func (f *fakeCRM) land(w amocrm.Write) amocrm.Result {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.writes = append(f.writes, w)
	now := time.Now().Add(f.skew).Unix()
	res := amocrm.Result{UpdatedAt: now}
	var item map[string]any
	_ = json.Unmarshal(w.Item, &item)
	name, _ := item["name"].(string)
	textOf, _ := item["text"].(string)
	switch w.Endpoint {
	case amocrm.ComplexLeads:
		l := event.Lead{ID: f.id(), Name: name, CreatedAt: now, UpdatedAt: now, PipelineID: 1, StatusID: 11}
		embedded, _ := item["_embedded"].(map[string]any)
		list, _ := embedded["contacts"].([]any)
		if len(list) > 0 {
			c, _ := list[0].(map[string]any)
			n, known := number(c["id"])
			res.ContactID = int64(n)
			if !known {
				res.ContactID = f.makeContact(c, now)
			}
			l.ContactIDs = []int64{res.ContactID}
			made := f.contacts[res.ContactID]
			made.LeadIDs = append(made.LeadIDs, l.ID)
			f.contacts[res.ContactID] = made
		}
		f.leads[l.ID] = l
		res.ID, res.UpdatedAt = l.ID, 0 // the answer does not tell (amocrm-api.md §4.2)
	case amocrm.PostCompanies:
		res.ID = f.id()
	case amocrm.PostContacts:
		res.ID = f.makeContact(item, now)
	case amocrm.PostNotes:
		params, _ := item["params"].(map[string]any)
		s, _ := params["text"].(string)
		uniq, _ := params["uniq"].(string)
		res.ID = f.id()
		key := fmt.Sprint(w.Entity, "/", w.EntityID)
		f.notes[key] = append(f.notes[key], amocrm.NoteInfo{ID: res.ID, Text: s, Uniq: uniq, CreatedAt: now})
	case amocrm.PostTasks:
		n, _ := number(item["entity_id"])
		res.ID = f.id()
		key := fmt.Sprint(item["entity_type"], "/", int64(n))
		f.tasks[key] = append(f.tasks[key], event.Task{ID: res.ID, Text: textOf, CreatedAt: now})
	case amocrm.PatchContacts:
		c := f.contacts[w.EntityID]
		overlayContact(&c, item, f.dict)
		c.UpdatedAt = now
		f.contacts[w.EntityID] = c
		res.ID = w.EntityID
	default:
		res.ID = w.EntityID
	}
	return res
}

func (f *fakeCRM) makeContact(item map[string]any, now int64) int64 {
	c := event.Contact{ID: f.id(), CreatedAt: now, UpdatedAt: now}
	overlayContact(&c, item, f.dict)
	f.contacts[c.ID] = c
	return c.ID
}

func (f *fakeCRM) Lead(_ context.Context, id int64) (event.Lead, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.leadReads++
	l, ok := f.leads[id]
	return l, ok, nil
}

func (f *fakeCRM) Leads(_ context.Context, ids []int64) (map[int64]event.Lead, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := map[int64]event.Lead{}
	for _, id := range ids {
		if l, ok := f.leads[id]; ok {
			out[id] = l
		}
	}
	return out, nil
}

func (f *fakeCRM) Contact(_ context.Context, id int64) (event.Contact, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c, ok := f.contacts[id]
	return c, ok, nil
}

func (f *fakeCRM) SearchContacts(_ context.Context, query string, _ amocrm.Priority) (out []event.Contact, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.searches++
	for _, c := range f.contacts {
		for _, v := range slices.Concat(c.Phones, c.Emails) {
			if strings.Contains(v.Text, query) && !f.unindexed[c.ID] {
				out = append(out, c)
				break
			}
		}
	}
	return out, nil
}

func (f *fakeCRM) SearchLeads(context.Context, string) ([]event.Lead, error) { return nil, nil }

func (f *fakeCRM) SearchCompanies(context.Context, string) ([]event.Contact, error) {
	return f.companies, nil
}

func (f *fakeCRM) NewestLeads(_ context.Context, since int64) (out []event.Lead, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.newest) > 0 { // as many as are read, and none of ours
		return f.newest, nil
	}
	for _, l := range f.leads {
		if l.CreatedAt >= since {
			out = append(out, l)
		}
	}
	f.told = nil // an answer says what time it is
	return out, nil
}

func (f *fakeCRM) NewestContacts(context.Context, int64) ([]event.Contact, error)  { return nil, nil }
func (f *fakeCRM) NewestCompanies(context.Context, int64) ([]event.Contact, error) { return nil, nil }

func (f *fakeCRM) NotesOf(_ context.Context, entity string, id int64) ([]amocrm.NoteInfo, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.notes[fmt.Sprint(entity, "/", id)]), nil
}

func (f *fakeCRM) TasksOf(_ context.Context, entity string, id int64) ([]event.Task, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.tasks[fmt.Sprint(entity, "/", id)]), nil
}

func (f *fakeCRM) State() amocrm.Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	return amocrm.Status{Paused: f.paused, Reason: amocrm.Unreachable}
}

func (f *fakeCRM) ServerTime() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.told != nil {
		return time.Now().Add(*f.told)
	}
	return time.Now().Add(f.skew)
}

// watch counts what the dispatcher observes.
type watch struct {
	mu      sync.Mutex
	settled []string
	doubts  []string
}

func (o *watch) Settled(_ string, _ event.Source, kind string, s event.State, _ float64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.settled = append(o.settled, kind+" "+string(s))
}

func (o *watch) InDoubt(_, outcome string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.doubts = append(o.doubts, outcome)
}
func (o *watch) Unresolved(string, uint64, string) {}

// noHooks is delivery without amoCRM hooks.
type noHooks struct{}

func (noHooks) Apply(context.Context, string, *event.Event, []byte) event.Ending {
	return event.Finished{}
}

// yard is a dispatcher on a store and a fake account.
type yard struct {
	t    *testing.T
	st   *store.Store
	d    *Dispatcher
	c    *Connection
	crm  *fakeCRM
	obs  *watch
	seen *canary.Watch
	dict *dict.Snapshot
	stop func()
}

func newYard(t *testing.T, change func(*Connection)) *yard {
	t.Helper()
	st, err := store.Open(store.Options{Path: filepath.Join(t.TempDir(), "bridge.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	y := &yard{t: t, st: st, crm: newFake(), seen: canary.New(t), obs: &watch{}, dict: dictionary()}
	no := func() bool { return false }
	y.c = &Connection{
		Name: shop, Program: program(t, ""), Region: "RU", Location: time.UTC, Kinds: jivo.Kinds(), MarkerField: "Jivo ID",
		Account: &Account{
			Host: demoHost, CRM: y.crm, Dict: func() *dict.Snapshot { return y.dict }, Doubtful: func() {},
			Complete: no, CatchUp: func(context.Context) {}, Idle: no,
		},
		Anonymous: "hold", AnonymousHold: 30 * 24 * time.Hour, Park: 10 * time.Minute, Refresh: time.Hour, InDoubtAfter: 10 * time.Second,
		BackoffFirst: 5 * time.Second, BackoffMax: time.Hour, GiveUp: 168 * time.Hour, NoteLimit: 10_000,
	}
	y.c.Shaper = func(d *dict.Snapshot) *items.Shaper {
		return &items.Shaper{Dict: d, Region: "RU", MarkerField: "Jivo ID", Location: time.UTC}
	}
	if change != nil {
		change(y.c)
	}
	y.d = New(st, noHooks{}, y.obs, y.seen.Logger())
	y.d.rand = func() float64 { return 0 }
	y.crm.d, y.crm.dict = y.d, y.dict
	y.d.SetConnections([]*Connection{y.c})
	return y
}

func dictionary() *dict.Snapshot {
	field := []dict.Field{{ID: 7, Name: "Jivo ID", Type: "text"}}
	contact := append([]dict.Field{{ID: 101, Name: "Телефон", Code: "PHONE", Type: "multitext"}, {ID: 103, Name: "Email", Code: "EMAIL", Type: "multitext"}}, field...)
	return &dict.Snapshot{
		AccountID: 1, Fields: map[string][]dict.Field{"leads": field, "contacts": contact},
		Pipelines: []dict.Pipeline{
			{ID: 1, Name: "Sales", Main: true, Stages: []dict.Stage{{ID: 11, PipelineID: 1, Name: "New", Sort: 10}}},
			{ID: 2, Name: "Bulk", Stages: []dict.Stage{{ID: 22, PipelineID: 2, Name: "New", Sort: 10}}},
		},
	}
}

func txt(s string) mapping.Text { return mapping.Text{Value: s, Set: true} }

func txts(list ...string) (out []mapping.Text) {
	for _, s := range list {
		out = append(out, txt(s))
	}
	return out
}

// program is a small set of rules: a visitor with contacts is a contact and a
// lead, a finished chat a note.
func program(t *testing.T, anonymous string) *mapping.Program {
	t.Helper()
	yes := true
	p, problems := mapping.Compile([]mapping.Rule{
		{
			Name: txt("lead"), On: txts("chat_accepted", "chat_updated", "chat_finished", "offline_message"), When: txt(`has_contact() or known() or anonymous == "lead"`),
			Contact: &mapping.ContactBlock{Find: txts("client", "phone", "email"), Create: &yes, Name: txt("{{ visitor.name }}"), Phone: txt("{{ visitor.phone }}"), Email: txt("{{ visitor.email }}")},
			Lead:    &mapping.LeadBlock{Find: txts("chat", "open"), Create: &yes, Name: txt("Chat {{ visitor.number }}")},
		},
		{Name: txt("transcript"), On: txts("chat_finished"), When: txt(`has_contact() or known() or anonymous == "lead"`), Note: &mapping.NoteBlock{To: txt("lead"), Text: txt("{{ transcript() }}")}},
	}, mapping.Env{
		Kinds: jivo.Kinds(), Schema: jivo.Schema, Language: "ru", Region: "RU", Anonymous: anonymous,
		Builtin: mapping.Builtin{Deals: true, Tasks: true, Clients: true, BlacklistTag: true, DeletedTag: true, Categories: true},
	})
	if len(problems) > 0 {
		t.Fatalf("rules: %v", problems)
	}
	return p
}

// run sets the dispatcher to work; the test's end stops it.
func (y *yard) run() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { y.d.Run(ctx); close(done) }()
	y.stop = sync.OnceFunc(func() { cancel(); <-done })
	y.t.Cleanup(y.stop)
}

// post journals a webhook as the listener does.
func (y *yard) post(body string) uint64 { return y.postTo(shop, body) }

func (y *yard) postTo(connection, body string) uint64 {
	y.t.Helper()
	y.seen.Learn([]byte(body))
	m, err := jivo.Decode([]byte(body))
	if err != nil {
		y.t.Fatal(err)
	}
	ev := event.Event{Connection: connection, Source: event.Jivo, Kind: m.Kind, Client: m.Client, Chat: m.Chat, ReceivedAt: time.Now()}
	switch {
	case m.Client != "":
		ev.Line = "c:" + m.Client
	case m.Chat != "":
		ev.Line = "k:" + m.Chat
	}
	got, err := y.st.Append(context.Background(), event.Incoming{Event: ev, Body: []byte(body)})
	if err != nil {
		y.t.Fatal(err)
	}
	return got.Seq
}

// chat is an event of a client's chat; each client has a phone of its own.
func chat(kind string, client int, more string) string {
	return fmt.Sprintf(`{"event_name":%q,"chat_id":"k%d","visitor":{"number":"%d","name":"V%d","phone":"+7916000%04d"}%s}`, kind, client, client, client, client, more)
}

// said is a transcript.
func said(text string, at int) string {
	return fmt.Sprintf(`,"chat":{"messages":[{"message":%q,"timestamp":%d,"type":"visitor"}]}`, text, at)
}

func (y *yard) event(seq uint64) (ev *event.Event) {
	y.t.Helper()
	y.view(func(tx *store.Tx) {
		var err error
		if ev, err = tx.Event(seq); err != nil {
			y.t.Fatal(err)
		}
	})
	return ev
}

func (y *yard) client(id int) (c *event.Client) {
	y.t.Helper()
	y.view(func(tx *store.Tx) { c = tx.Client(shop, strconv.Itoa(id)) })
	return c
}

func (y *yard) view(fn func(tx *store.Tx)) {
	y.t.Helper()
	if err := y.st.View(func(tx *store.Tx) error { fn(tx); return nil }); err != nil {
		y.t.Fatal(err)
	}
}

func (y *yard) update(fn func(tx *store.Tx) error) {
	y.t.Helper()
	if err := y.st.Update(context.Background(), fn); err != nil {
		y.t.Fatal(err)
	}
}

func (y *yard) forget(client string) {
	y.t.Helper()
	if err := Forget(context.Background(), y.st, shop, client); err != nil {
		y.t.Fatal(err)
	}
}

// is expects an event's state and reason.
func (y *yard) is(seq uint64, s event.State, r event.Reason) *event.Event {
	y.t.Helper()
	ev := y.event(seq)
	if ev.State != s || ev.Reason != r {
		y.t.Errorf("event %d (%s) is %s %q (%s), want %s %q", seq, ev.Kind, ev.State, ev.Reason, ev.Detail, s, r)
	}
	return ev
}

// inBubble runs a story on virtual time.
func inBubble(t *testing.T, change func(*Connection), story func(t *testing.T, y *yard)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { story(t, newYard(t, change)) })
}

// pass lets virtual time go by.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
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
