package upkeep

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// leapt is an account whose clock is known by its answers: until the first of them ours
// may be ahead of it.
type leapt struct {
	*fakeCRM
	ahead time.Duration
}

func (l *leapt) ServerTime() time.Time { return time.Now().Add(l.ahead) }

func (l *leapt) Events(ctx context.Context, from int64, page int) ([]amocrm.FeedEvent, bool, error) {
	l.ahead = 0
	return l.fakeCRM.Events(ctx, from, page)
}

func (l *leapt) ContactsChanged(ctx context.Context, page int, since int64) ([]event.Contact, bool, error) {
	l.ahead = 0
	return l.fakeCRM.ContactsChanged(ctx, page, since)
}

func (l *leapt) ContactsFrom(ctx context.Context, n int) (amocrm.ContactsWindow, error) {
	l.ahead = 0
	return l.fakeCRM.ContactsFrom(ctx, n)
}

// A clock that leapt ahead before a sweep takes no position with it: what happens until
// the true time gets there would never be seen.
func TestSweep_ClockThatLeaptAheadTakesNoPositionWithIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const day = 24 * time.Hour
		b := newBench(t, nil)
		l := &leapt{fakeCRM: b.crm}
		b.Keeper.crm = l
		at := func(what string, want time.Time) {
			t.Helper()
			d, err := b.directory()
			must(t, err)
			equal(t, what, d.PassedTo, want.Unix())
		}
		must(t, b.feed(ctx))
		l.ahead = day
		must(t, b.contacts(ctx))
		at("changes known to after the full pass", time.Now())
		pass(time.Hour)
		l.ahead = day
		must(t, b.contacts(ctx))
		at("changes known to", time.Now())
		pass(time.Hour)
		b.setCard(event.LeadCard{Lead: lead(5, 100, 11), SeenTo: 100})
		b.crm.feed = []amocrm.FeedEvent{about("a", 5, time.Now().Add(-time.Minute))}
		l.ahead = day
		second := time.Now()
		must(t, b.feed(ctx))
		same(t, "to be read", b.queued(), []int64{5})
		pass(time.Minute)
		must(t, b.feed(ctx))
		equal(t, "feed read from", b.crm.feedFrom[1], second.Add(-overlap).Unix())
		equal(t, "to be read of what was seen", len(b.queued()), 0)
	})
}

// A lead may be placed twice in a second, and only the first hook come: no time tells
// that the second did not.
func TestFeed_TwoPlacesInOneSecondAreReadAgainOnce(t *testing.T) {
	for name, first := range map[string]string{"moved twice": "lead_status_changed", "made and moved": "lead_added"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, nil)
				must(t, b.feed(ctx))
				now := time.Now()
				a := about("a", 5, now)
				a.Type = first
				b.setCard(event.LeadCard{Lead: lead(5, now.Unix(), 12), SeenTo: now.Unix()}) // by its hook
				b.crm.feed = []amocrm.FeedEvent{a}
				must(t, b.feed(ctx))
				equal(t, "to be read while there is one", len(b.queued()), 0)
				b.crm.feed = append(b.crm.feed, about("b", 5, now)) // its writer lagged
				for i, want := range []int{1, 0} {
					must(t, b.feed(ctx))
					equal(t, fmt.Sprint("to be read after look ", i), len(b.queued()), want)
				}
			})
		})
	}
}

// What else happens to a lead in the second of a hook costs no read.
func TestFeed_OtherEventsOfAHooksSecondAreNotReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.crm.perPage = 2
		must(t, b.feed(ctx))
		now := time.Now()
		b.setCard(event.LeadCard{Lead: lead(5, now.Unix(), 11), SeenTo: now.Unix()})
		for i, kind := range []string{"lead_added", "entity_tag_added", "custom_field_value_changed", "entity_linked"} {
			e := about(fmt.Sprint(i), 5, now)
			e.Type = kind
			b.crm.feed = append(b.crm.feed, e)
		}
		b.crm.feed = slices.Insert(b.crm.feed, 2, b.crm.feed[0]) // the list moved between two pages
		must(t, b.feed(ctx))
		equal(t, "to be read", len(b.queued()), 0)
	})
}

func contactKey(conn string, id int64) string {
	return store.Key(conn, "contact", strconv.FormatInt(id, 10))
}

func (b *bench) setContact(conn string, c event.Contact) {
	b.t.Helper()
	b.update(func(tx *store.Tx) error {
		return store.Set(tx, store.Cards, contactKey(conn, c.ID), event.ContactCard{Contact: c, ReadAt: time.Now()})
	})
}

func (b *bench) contact(conn string, id int64) (c event.ContactCard, ok bool) {
	b.t.Helper()
	b.view(func(tx *store.Tx) { c, ok, _ = store.Get[event.ContactCard](tx, store.Cards, contactKey(conn, id)) })
	return c, ok
}

// A contact that somebody changed while its hook was missed is read before it is used
// again; one whose card is as new is not, and a stranger gets no card.
func TestFeed_ContactIsReadBeforeItIsUsedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		must(t, b.feed(ctx))
		now := time.Now().Unix()
		b.setContact(shop, event.Contact{ID: 800, UpdatedAt: now - 1})
		b.setContact(shop, event.Contact{ID: 801, UpdatedAt: now})
		for id := int64(800); id <= 802; id++ {
			b.crm.feed = append(b.crm.feed, amocrm.FeedEvent{ID: fmt.Sprint(id), Type: "name_field_changed", EntityType: "contact", EntityID: id, CreatedAt: now})
		}
		must(t, b.feed(ctx))
		for id, want := range map[int64]bool{800: true, 801: false} {
			c, _ := b.contact(shop, id)
			equal(t, fmt.Sprint(id, " is dirty"), c.Dirty, want)
		}
		if _, ok := b.contact(shop, 802); ok {
			t.Error("a stranger has a card now")
		}
		equal(t, "to be read at once", len(b.queued()), 0)
	})
}

// A connection that was away while others of its account were told what happened has
// its cards read again when it returns, and by a process started meanwhile just so;
// the others' are not, nor its own a second time.
func TestFeed_ReturnedConnectionHasItsCardsReadAgain(t *testing.T) {
	for name, c := range map[string]struct {
		swept bool // while it was away
		want  int
	}{"others were told meanwhile": {true, 1}, "nobody was": {false, 0}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, nil)
				both := []Connection{{Name: shop, Region: "RU"}, {Name: "mall", Region: "RU"}}
				b.SetConnections(both)
				must(t, b.feed(ctx))
				b.setCard(event.LeadCard{Lead: lead(5, 100, 11), SeenTo: 100})
				b.setContact(shop, event.Contact{ID: 800})
				b.setContact("mall", event.Contact{ID: 800})
				b.SetConnections(both[1:])
				pass(10 * time.Minute)
				if c.swept {
					must(t, b.feed(ctx))
				}
				b.Keeper = New(b.cfg, b.crm, b.store, b.log) // another process
				b.SetConnections(both)
				for i, want := range []int{c.want, 0} {
					pass(time.Minute)
					must(t, b.feed(ctx))
					equal(t, fmt.Sprint("to be read after sweep ", i), len(b.queued()), want)
				}
				mine, _ := b.contact(shop, 800)
				equal(t, "its contact is dirty", mine.Dirty, c.swept)
				others, _ := b.contact("mall", 800)
				equal(t, "the other's is", others.Dirty, false)
			})
		})
	}
}

// A position of before it was noted whose cards were told is everybody's.
func TestFeed_OlderPositionIsEverybodys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.update(func(tx *store.Tx) error {
			return store.Set(tx, store.Positions, store.Key("feed", host), position{At: time.Now().Unix()})
		})
		b.setCard(event.LeadCard{Lead: lead(5, 100, 11), SeenTo: 100})
		must(t, b.feed(ctx))
		equal(t, "to be read", len(b.queued()), 0)
	})
}

// That a part of the sweep is refused is an alarm, once, and stands where readyz asks
// until it is done again; that the account is paused is told elsewhere.
func TestSweep_RefusalIsAnAlarmUntilItIsOver(t *testing.T) {
	for _, what := range []string{"events", "contacts"} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, nil)
				var log bytes.Buffer
				b.log = slog.New(slog.NewTextHandler(&log, nil))
				said := func(want ...int) {
					t.Helper()
					for i, text := range []string{"level=ERROR", "level=WARN", "the sweep is whole again"} {
						equal(t, text, strings.Count(log.String(), text), want[i])
					}
				}
				b.crm.fail[what] = &amocrm.NotSent{Trouble: amocrm.Unavailable}
				stop := b.run()
				pass(time.Hour)
				said(0, 0, 0)
				equal(t, "told to readyz", b.Unswept() != nil, false)
				why := &amocrm.Refused{Status: 403}
				b.crm.set(func() { b.crm.fail[what] = why })
				pass(6 * time.Hour)
				said(1, 0, 0)
				if err := b.Unswept(); !errors.Is(err, why) {
					t.Errorf("the cause is %v", err)
				}
				b.crm.set(func() { delete(b.crm.fail, what) })
				pass(time.Hour)
				stop()
				said(1, 0, 1)
				equal(t, "told to readyz once it is over", b.Unswept() != nil, false)
			})
		})
	}
}

// Marker fields that may not be made are an alarm once, too, and asked for once a
// dictionary; the account is served without them.
func TestSweep_MarkersThatMayNotBeMadeAreAnAlarmOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		var log bytes.Buffer
		b.log = slog.New(slog.NewTextHandler(&log, nil))
		b.SetConnections([]Connection{{Name: shop, Setup: true, MarkerField: "Jivo ID"}})
		b.crm.fail["field"] = &amocrm.Refused{Status: 403}
		stop := b.run()
		pass(50 * time.Minute)
		stop()
		equal(t, "alarms", strings.Count(log.String(), "level=ERROR"), 1)
		equal(t, "fields asked for", len(b.crm.fields), 2)
		equal(t, "told to readyz", b.Unswept() != nil, false)
	})
}

// `bridge contacts sync` of a large account is left alone by the sweep: it neither
// waits for it, nor undoes it, nor forgets how far one that was cut had come.
func TestContacts_SweepLeavesACommandsPassAlone(t *testing.T) {
	t.Run("under way", func(t *testing.T) {
		b := newBench(t, nil)
		b.crm.contacts = people(3 * contactsPage)
		looked := 0
		must(t, b.SyncContacts(ctx, 0, func(int) {
			looked++
			must(t, b.contacts(ctx)) // would wait for ever
		}))
		equal(t, "reads", len(b.crm.pages), looked)
		equal(t, "complete", b.Complete(), true)
		d, err := b.directory()
		must(t, err)
		equal(t, "known to be complete", d.FullAt != 0, true)
	})
	t.Run("cut", func(t *testing.T) {
		b := newBench(t, nil)
		cut := directory{Read: SmallAccount + 5000, Last: SmallAccount + 5000, Started: 100}
		must(t, b.saveDirectory(ctx, cut))
		must(t, b.contacts(ctx))
		equal(t, "reads", len(b.crm.pages), 0)
		d, err := b.directory()
		must(t, err)
		equal(t, "position", d, cut)
	})
}

// A contact that was deleted loses its links with the sweep, where no hook told of it.
func TestFeed_DeletedContactLosesItsLinks(t *testing.T) {
	b := newBench(t, nil)
	must(t, b.feed(ctx))
	b.crm.feed = []amocrm.FeedEvent{{ID: "a", Type: "contact_deleted", EntityType: "contact", EntityID: 8, CreatedAt: time.Now().Unix()}}
	must(t, b.feed(ctx))
	same(t, "dropped", b.drops, []int64{8})
	must(t, b.feed(ctx))
	equal(t, "dropped when it is seen again", len(b.drops), 1)
}
