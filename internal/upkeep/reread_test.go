package upkeep

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm"
	"github.com/jivo-amocrm/bridge/internal/amocrm/token"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// closedLeads is an account that does not let some leads be read: like the client, it
// tells what it could read along with the error.
type closedLeads struct {
	*fakeCRM
	closed map[int64]error
}

func (c *closedLeads) Leads(ctx context.Context, ids []int64) (out map[int64]event.Lead, err error) {
	var open []int64
	c.mu.Lock()
	for _, id := range ids {
		if why := c.closed[id]; why != nil {
			err = why
		} else {
			open = append(open, id)
		}
	}
	c.mu.Unlock()
	out, _ = c.fakeCRM.Leads(ctx, open)
	return out, err
}

// A lead that cannot be read keeps no other from being read, is asked for again only
// when somebody has heard of it, and is told of once.
func TestReread_LeadThatCannotBeReadHoldsUpNoOther(t *testing.T) {
	for name, why := range map[string]error{
		"no right to":     &amocrm.Refused{Status: 403},
		"fails by itself": &amocrm.Failed{Status: 500, Trouble: amocrm.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, func(c *Config) { c.ContactsSync = false })
				var log bytes.Buffer
				b.log = slog.New(slog.NewTextHandler(&log, nil))
				crm := &closedLeads{b.crm, map[int64]error{7: why}}
				b.Keeper.crm = crm
				for id := int64(1); id <= 20; id++ {
					if id != 9 { // deleted
						b.crm.leads[id] = lead(id, 200, 12)
					}
					b.setCard(event.LeadCard{Lead: lead(id, 100, 11), Dirty: true})
				}
				stop := b.run()
				pass(time.Hour)
				for id := int64(1); id <= 20; id++ {
					if c, _ := b.card(id); id != 9 && (c.Lead.StatusID == 12) != (id != 7) {
						t.Errorf("lead %d is in stage %d", id, c.Lead.StatusID)
					}
				}
				same(t, "dropped", b.drops, []int64{9})
				equal(t, "reads", len(b.crm.reads), 3) // all of them, then the closed one and the deleted one each
				b.Dirty(shop, 7)
				pass(time.Hour)
				equal(t, "reads once a hook has told of it", len(b.crm.reads), 4)
				b.crm.set(func() { delete(crm.closed, 7) })
				b.Dirty(shop, 7)
				pass(time.Second)
				stop()
				c, _ := b.card(7)
				equal(t, "stage once it may be read", c.Lead.StatusID, 12)
				equal(t, "dirty", c.Dirty, false)
				equal(t, "warnings", strings.Count(log.String(), "level=WARN"), 1)
			})
		})
	}
}

// What is the account's trouble is nobody's fault: all of it is read once that is over.
func TestReread_TroubleOfTheAccountIsNoLeads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		crm := &closedLeads{b.crm, map[int64]error{5: &amocrm.NotSent{Trouble: amocrm.Paused}}}
		b.Keeper.crm = crm
		for _, id := range []int64{5, 6} {
			b.crm.leads[id] = lead(id, 200, 12)
			b.setCard(event.LeadCard{Lead: lead(id, 100, 11), Dirty: true})
		}
		defer b.run()()
		pass(time.Minute)
		b.crm.set(func() { delete(crm.closed, 5) })
		pass(6 * time.Second)
		for _, id := range []int64{5, 6} {
			if c, _ := b.card(id); c.Dirty || c.Lead.StatusID != 12 {
				t.Errorf("card %+v", c)
			}
		}
	})
}

// A hook whose time is yet to come is of a clock that was put right since: the card is
// read, once, and is as fresh as any.
func TestReread_ClockPutBackMakesNoMoreReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.crm.leads[5] = lead(5, 200, 12)
		b.crm.tasks = []event.Task{{ID: 1, EntityID: 5, CompleteTill: 9}}
		b.crm.onLeads = func() { time.Sleep(150 * time.Millisecond) } // of the bubble: the budget
		ahead := time.Now().Add(time.Hour)
		b.setCard(event.LeadCard{Lead: lead(5, 100, 11), TasksAt: ahead, Dirty: true, DirtyAt: ahead})
		defer b.run()()
		pass(time.Minute)
		equal(t, "reads", len(b.crm.reads), 1)
		c, _ := b.card(5)
		equal(t, "stage", c.Lead.StatusID, 12)
		equal(t, "dirty", c.Dirty, false)
		equal(t, "tasks", len(c.Tasks), 1)
	})
}

// A mark made after the clock was put back counts: a read under way then is no answer
// to it.
func TestReread_MarkAfterTheClockWasPutBackCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.crm.leads[5] = lead(5, 200, 12)
		b.setCard(event.LeadCard{Lead: lead(5, 100, 11), Dirty: true, DirtyAt: time.Now().Add(time.Hour)})
		b.during(func(c *event.LeadCard) { c.MarkDirty(time.Now()) })
		must(t, b.reread(ctx, shop, []int64{5}))
		c, _ := b.card(5)
		equal(t, "dirty", c.Dirty, true)
	})
}

// In another account a connection's leads are somebody else's, or none: its links must
// not go for that.
func TestReread_CardsOfAnotherAccountAreLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.SetConnections([]Connection{{Name: shop, Pinned: 2}, {Name: "mall"}})
		b.setCard(event.LeadCard{Lead: lead(5, 100, 11), Dirty: true})
		defer b.run()()
		pass(time.Minute)
		b.Dirty(shop, 5) // by a reply
		b.crm.set(func() { b.crm.feed = []amocrm.FeedEvent{about("a", 5, time.Now())} })
		pass(time.Hour)
		equal(t, "reads", len(b.crm.reads), 0)
		equal(t, "dropped", len(b.drops), 0)
	})
}

// taskServer is an account of which only the open tasks can be read: n on each lead
// that is asked for, as amoCRM pages them.
type taskServer struct{ n int }

func (s taskServer) RoundTrip(r *http.Request) (*http.Response, error) {
	q := r.URL.Query()
	limit, _ := strconv.Atoi(q.Get("limit"))
	page, _ := strconv.Atoi(q.Get("page"))
	type task struct {
		ID         int64  `json:"id"`
		EntityID   int64  `json:"entity_id"`
		EntityType string `json:"entity_type"`
		Text       string `json:"text"`
		Till       int64  `json:"complete_till"`
	}
	var all []task
	for i := range s.n {
		for _, v := range q["filter[entity_id][]"] {
			id, _ := strconv.ParseInt(v, 10, 64)
			all = append(all, task{ID: int64(i)*1000 + id, EntityID: id, EntityType: "leads", Text: "call", Till: 100})
		}
	}
	slices.Reverse(all) // newest first
	part, more := pageOf(all, page, limit)
	links := map[string]any{}
	if more {
		links["next"] = map[string]string{"href": "https://demo.amocrm.ru/next"}
	}
	body, _ := json.Marshal(map[string]any{"_links": links, "_embedded": map[string]any{"tasks": part}})
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(body)), Request: r}, nil
}

// leadsOfFake reads tasks by the real client, the rest from memory.
type leadsOfFake struct {
	*fakeCRM
	client *amocrm.Client
}

func (l leadsOfFake) OpenTasks(ctx context.Context, entity string, ids []int64) ([]event.Task, error) {
	return l.client.OpenTasks(ctx, entity, ids)
}

// Leads with more tasks than the client reads at once have all of them on their cards.
func TestReread_ManyTasksAreAllRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		client := amocrm.New(amocrm.Config{BaseURL: "https://demo.amocrm.ru", RPS: 1000}, token.NewStatic("secret"), nil, nil, nil, taskServer{5})
		defer client.Close()
		b.Keeper.crm = leadsOfFake{b.crm, client}
		var ids []int64
		for id := int64(1); id <= perRead; id++ {
			ids = append(ids, id)
			b.crm.leads[id] = lead(id, 200, 12)
		}
		b.update(func(tx *store.Tx) error {
			for _, id := range ids {
				if err := store.Set(tx, store.Cards, cardKey(id), event.LeadCard{Lead: lead(id, 100, 11)}); err != nil {
					return err
				}
			}
			return nil
		})
		must(t, b.reread(ctx, shop, ids))
		for _, id := range ids {
			if c, _ := b.card(id); len(c.Tasks) != 5 {
				t.Fatalf("lead %d has %d tasks of 5 on its card", id, len(c.Tasks))
			}
		}
	})
}
