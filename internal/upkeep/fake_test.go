package upkeep

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm"
	"github.com/jivo-amocrm/bridge/internal/amocrm/dict"
	"github.com/jivo-amocrm/bridge/internal/canary"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/store"
)

const (
	shop = "shop"
	host = "demo.amocrm.ru"
)

// fakeCRM is an account that answers from memory. While fail is set, what it
// names answers with an error.
type fakeCRM struct {
	mu       sync.Mutex
	leads    map[int64]event.Lead
	tasks    []event.Task
	reads    [][]int64 // ids of each read of leads
	feed     []amocrm.FeedEvent
	feedFrom []int64
	perPage  int
	contacts []event.Contact
	pages    []string       // page@updatedFrom or from n of each read of contacts
	onPage   func(read int) // before the contacts are read for the n-th time, from 1
	hooks    []amocrm.WebhookInfo
	subs     []string
	fields   []string
	paused   chan struct{} // closed when the pause ends; nil: there is none
	fail     map[string]error
	onLeads  func()
	onField  func(entity, name string) error
}

var errDown = errors.New("down")

func (f *fakeCRM) failing(what string) error { return f.fail[what] }

func (f *fakeCRM) Leads(_ context.Context, ids []int64) (map[int64]event.Lead, error) {
	f.mu.Lock()
	f.reads = append(f.reads, slices.Clone(ids))
	err, do := f.failing("leads"), f.onLeads
	out := map[int64]event.Lead{}
	for _, id := range ids {
		if l, ok := f.leads[id]; ok {
			out[id] = l
		}
	}
	f.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if do != nil {
		do()
	}
	return out, nil
}

func (f *fakeCRM) OpenTasks(_ context.Context, _ string, ids []int64) (out []event.Task, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, t := range f.tasks {
		if slices.Contains(ids, t.EntityID) {
			out = append(out, t)
		}
	}
	return out, f.failing("tasks")
}

func (f *fakeCRM) Events(_ context.Context, from int64, page int) (out []amocrm.FeedEvent, more bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.feedFrom = append(f.feedFrom, from)
	if err := f.failing("events"); err != nil {
		return nil, false, err
	}
	for _, e := range f.feed {
		if e.CreatedAt >= from {
			out = append(out, e)
		}
	}
	out, more = pageOf(out, page, max(f.perPage, 1))
	return out, more, nil
}

func pageOf[T any](all []T, page, size int) ([]T, bool) {
	from := min((page-1)*size, len(all))
	to := min(from+size, len(all))
	return all[from:to], to < len(all)
}

func (f *fakeCRM) ContactsChanged(_ context.Context, page int, since int64) ([]event.Contact, bool, error) {
	if err := f.readContacts(strconv.Itoa(page) + "@" + strconv.FormatInt(since, 10)); err != nil {
		return nil, false, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var hits []event.Contact
	for _, c := range f.contacts {
		if c.UpdatedAt >= since {
			hits = append(hits, c)
		}
	}
	out, more := pageOf(hits, page, contactsPage)
	return out, more, nil
}

// ContactsFrom begins up to two contacts earlier than it is asked to.
func (f *fakeCRM) ContactsFrom(_ context.Context, n int) (w amocrm.ContactsWindow, err error) {
	if err := f.readContacts("from " + strconv.Itoa(n)); err != nil {
		return w, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	w.First = n - n%3
	w.Next = w.First + contactsPage
	all := f.contacts[min(w.First, len(f.contacts)):]
	w.Contacts, w.More = pageOf(all, 1, contactsPage)
	return w, nil
}

// readContacts notes a read of contacts.
func (f *fakeCRM) readContacts(which string) error {
	f.mu.Lock()
	do, read := f.onPage, len(f.pages)+1
	f.mu.Unlock()
	if do != nil {
		do(read)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pages = append(f.pages, which)
	return f.failing("contacts")
}

func (f *fakeCRM) Webhooks(_ context.Context, destination string) (out []amocrm.WebhookInfo, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.hooks, f.failing("webhooks")
}

func (f *fakeCRM) SubscribeWebhook(_ context.Context, destination string, settings []string) (amocrm.WebhookInfo, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.failing("subscribe"); err != nil {
		return amocrm.WebhookInfo{}, err
	}
	f.subs = append(f.subs, destination)
	return amocrm.WebhookInfo{Destination: destination, Settings: settings}, nil
}

func (f *fakeCRM) CreateTextField(_ context.Context, entity, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fields = append(f.fields, entity+"/"+name)
	if f.onField != nil {
		return f.onField(entity, name)
	}
	return f.failing("field")
}

func (f *fakeCRM) Resumed() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.paused != nil {
		return f.paused
	}
	open := make(chan struct{})
	close(open)
	return open
}

func (f *fakeCRM) ServerTime() time.Time { return time.Now() }

// set changes the account under its lock.
func (f *fakeCRM) set(fn func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fn()
}

// bench is a keeper with a store and an account of its own.
type bench struct {
	*Keeper
	t     *testing.T
	crm   *fakeCRM
	dict  *dict.Snapshot
	mu    sync.Mutex
	loads []time.Time
	err   error // of loading the dictionary
	first int   // how often a first reading was told
	drops []int64
}

func newBench(t *testing.T, change func(*Config)) *bench {
	t.Helper()
	st, err := store.Open(store.Options{Path: filepath.Join(t.TempDir(), "bridge.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	b := &bench{t: t, crm: &fakeCRM{leads: map[int64]event.Lead{}, fail: map[string]error{}, perPage: 100}, dict: &dict.Snapshot{AccountID: 1}}
	cfg := Config{
		Host: host, Refresh: time.Hour, Sweep: 5 * time.Minute, ContactsSync: true,
		Load: func(context.Context) (*dict.Snapshot, error) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.loads = append(b.loads, time.Now())
			return b.dict, b.err
		},
		Read: func(first bool) {
			b.mu.Lock()
			defer b.mu.Unlock()
			if first {
				b.first++
			}
		},
		Drop: func(_ *store.Tx, connection, account, entity string, id int64) error {
			if connection != shop || account != host || entity != "lead" && entity != "contact" {
				t.Errorf("drop of %s %s %s", connection, account, entity)
			}
			b.drops = append(b.drops, id)
			return nil
		},
	}
	if change != nil {
		change(&cfg)
	}
	seen := canary.New(t)
	t.Cleanup(func() {
		for _, c := range b.crm.contacts {
			for _, v := range slices.Concat(c.Phones, c.Emails) {
				seen.Learn([]byte(v.Text))
			}
		}
		for _, task := range b.crm.tasks {
			seen.Add(canary.Text, task.Text)
		}
		seen.Add(canary.Secret, b.crm.subs...)
	})
	b.Keeper = New(cfg, b.crm, st, seen.Logger())
	b.SetConnections([]Connection{{Name: shop, Region: "RU"}})
	return b
}

// run sets the keeper to work until the test's bubble is left.
func (b *bench) run() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { b.Run(ctx); close(done) }()
	return func() { cancel(); <-done }
}

func (b *bench) update(fn func(tx *store.Tx) error) {
	b.t.Helper()
	if err := b.store.Update(context.Background(), fn); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) view(fn func(tx *store.Tx)) {
	b.t.Helper()
	if err := b.store.View(func(tx *store.Tx) error { fn(tx); return nil }); err != nil {
		b.t.Fatal(err)
	}
}

func cardKey(id int64) string { return store.Key(shop, "lead", strconv.FormatInt(id, 10)) }

func (b *bench) setCard(c event.LeadCard) {
	b.t.Helper()
	b.update(func(tx *store.Tx) error { return store.Set(tx, store.Cards, cardKey(c.Lead.ID), c) })
}

func (b *bench) card(id int64) (c event.LeadCard, ok bool) {
	b.t.Helper()
	b.view(func(tx *store.Tx) { c, ok, _ = store.Get[event.LeadCard](tx, store.Cards, cardKey(id)) })
	return c, ok
}

// queued are the leads waiting to be read again.
func (b *bench) queued() []int64 { return b.takeDirty()[shop] }

func (b *bench) loadCount() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.loads)
}

func (b *bench) told() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.first
}

// pass lets virtual time go by.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
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
