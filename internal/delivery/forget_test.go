package delivery

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// A deletion that waited, because the account was paused, ends nothing of what
// Jivo sent after it: that is the person's new life.
func TestForget_DeletionSparesWhatCameAfter(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		y.run()
		before := y.post(chat("chat_accepted", 1, ""))
		pass(time.Minute)
		y.update(func(tx *store.Tx) error { // one they are not linked to
			return store.Set(tx, store.Deals, store.Key(shop, "d"), event.Deal{ID: "d", Client: "1", LeadID: 5, At: before, Last: event.Object{"title": "T"}})
		})
		y.crm.set(func() { y.crm.paused = true })
		pass(time.Second)
		deletion := y.post(`{"event_name":"deleted_client","client_id":1}`)
		pass(time.Hour)
		after := []uint64{
			y.post(`{"event_name":"chat_accepted","chat_id":"k9","visitor":{"number":"1","name":"V1","phone":"+79160000001"}}`),
			y.post(`{"event_name":"offline_message","offline_message_id":"5","message":"call me","visitor":{"number":"1","name":"V1","phone":"+79160000001"}}`),
		}
		pass(time.Hour)
		y.crm.set(func() { y.crm.paused = false })
		y.d.Kick()
		pass(time.Hour)
		y.is(deletion, event.Done, "")
		y.view(func(tx *store.Tx) {
			for _, seq := range []uint64{before, deletion} {
				if tx.Body(seq) != nil {
					t.Errorf("event %d keeps its body", seq)
				}
			}
			if d, _, _ := store.Get[event.Deal](tx, store.Deals, store.Key(shop, "d")); d.Last != nil || d.LeadID != 5 {
				t.Errorf("their deal is kept as %+v", d)
			}
			for _, seq := range after {
				y.is(seq, event.Done, "")
				if tx.Body(seq) == nil {
					t.Errorf("event %d, which came after, lost its body", seq)
				}
			}
		})
		if c := y.client(1); c.ContactID == 0 || c.Name != "V1" {
			t.Errorf("the person's new life is not known: %+v", c)
		}
	})
}

func TestForget_OfAVisitorWithoutANumber(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		y.run()
		theirs := y.post(`{"event_name":"chat_accepted","chat_id":"k1","visitor":{"name":"V1","phone":"+79160000001"}}`)
		others := y.post(chat("chat_accepted", 1, "")) // the same chat, but they gave a number
		pass(time.Minute)
		y.forget("chat-k1")
		y.view(func(tx *store.Tx) {
			if tx.HasClient(shop, "chat-k1") || tx.Body(theirs) != nil {
				t.Error("something of the person is left")
			}
			if !tx.HasClient(shop, "1") || tx.Body(others) == nil {
				t.Error("another person was forgotten")
			}
		})
	})
}

// Deals and tasks are read through while others write, and only what is still the
// person's is taken out.
func TestForget_ReadsOutsideTheWriterAndLooksAgainInside(t *testing.T) {
	y := newYard(t, nil)
	last := event.Object{"client": event.Object{"client_id": "1"}}
	y.update(func(tx *store.Tx) error {
		for id, at := range map[string]uint64{"mine": 5, "sold": 5, "later": 7} {
			if err := store.Set(tx, store.Deals, store.Key(shop, id), event.Deal{ID: id, Client: "1", Last: last, At: at}); err != nil {
				return err
			}
			if err := store.Set(tx, store.Tasks, store.Key(shop, id), event.JivoTask{ID: id, Last: last, At: at}); err != nil {
				return err
			}
		}
		return store.Set(tx, store.Tasks, store.Key(shop, "odd"), event.JivoTask{ID: "odd", Last: event.Object{"client": "x"}})
	})
	let, held, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		_ = y.st.Update(context.Background(), func(*store.Tx) error { close(held); <-let; return nil })
	}()
	<-held
	left, err := tracesOf(y.st, shop, "1") // would wait for ever inside the writer
	close(let)
	<-done
	if err != nil {
		t.Fatal(err)
	}
	y.update(func(tx *store.Tx) error {
		elses := event.Object{"client": event.Object{"client_id": "2"}}
		if err := store.Set(tx, store.Deals, store.Key(shop, "sold"), event.Deal{ID: "sold", Client: "2", Last: elses}); err != nil {
			return err
		}
		return store.Set(tx, store.Tasks, store.Key(shop, "sold"), event.JivoTask{ID: "sold", Last: elses})
	})
	y.update(func(tx *store.Tx) error { return left.erase(tx, 6) })
	y.view(func(tx *store.Tx) {
		for id, kept := range map[string]bool{"mine": false, "sold": true, "later": true} {
			d, _, _ := store.Get[event.Deal](tx, store.Deals, store.Key(shop, id))
			k, _, _ := store.Get[event.JivoTask](tx, store.Tasks, store.Key(shop, id))
			if (d.Last != nil) != kept || (k.Last != nil) != kept {
				t.Errorf("%s: deal %+v, task %+v", id, d, k)
			}
		}
	})
}

// Of a chat's transcript, which goes into its note, nothing is kept longer than its
// body is.
func TestRetention_WhatWasSaidGoesWithTheBody(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		y.run()
		seq := y.post(chat("chat_finished", 1, said("my private words", 100)))
		pass(time.Minute)
		kept := func() bool {
			raw, err := json.Marshal(y.is(seq, event.Done, ""))
			if err != nil {
				t.Fatal(err)
			}
			return strings.Contains(string(raw), "my private words")
		}
		equal(t, "kept at first", kept(), true)
		pass(8 * 24 * time.Hour)
		if _, err := y.st.Purge(t.Context(), store.Retention{Events: 30 * 24 * time.Hour, Bodies: 7 * 24 * time.Hour}, time.Now()); err != nil {
			t.Fatal(err)
		}
		equal(t, "kept after its body", kept(), false)
	})
}
