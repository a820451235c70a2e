package store

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/jivo-amocrm/bridge/internal/event"
)

// settledEvent is an event as a finished chat leaves it.
func settledEvent() *event.Event {
	item := json.RawMessage(`{"name":"Чат: Анна Тестова","price":0,"responsible_user_id":7,"custom_fields_values":[{"field_id":12,"values":[{"value":"https://example.com/from"}]},{"field_id":13,"values":[{"value":"yandex"}]}],"_embedded":{"tags":[{"name":"jivo"}]}}`)
	return &event.Event{
		Seq: 77, Connection: "shop", Source: "jivo", Kind: "chat_finished", Client: "4432", Chat: "77123", Line: "shop|4432",
		ReceivedAt: t0, State: event.Done, SettledAt: t0.Add(time.Second), Attempts: 1, Frozen: true, Detached: true, BodySize: 1800,
		Rules:   []event.RuleTrace{{Rule: "new-lead", Matched: true}, {Rule: "transcript", Matched: true}, {Rule: "spam", Why: "chat.messages is 4, not 0"}},
		Contact: &event.Match{ID: 5000021, By: "client", Why: "the client's contact"}, Lead: &event.Match{ID: 5000022, By: "chat", Why: "made for this chat"},
		Changes: []event.Change{
			{Key: "77.contact", Op: "update", Item: item, State: event.Settled, SentAt: t0, EntityID: 5000021},
			{Key: "77.lead", Op: "update", Item: item, State: event.Settled, SentAt: t0, EntityID: 5000022},
			{Key: "77.note", Op: "create", Item: item, State: event.Settled, SentAt: t0, EntityID: 5000023},
		},
		Requests: []event.Request{{At: t0, Method: "PATCH", Path: "/api/v4/leads", Status: 200, Seconds: 0.15}, {At: t0, Method: "POST", Path: "/api/v4/leads/notes", Status: 200, Seconds: 0.15}},
	}
}

func BenchmarkRecord_Encode(b *testing.B) {
	ev := settledEvent()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := encode(ev); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRecord_Decode(b *testing.B) {
	rec, err := encode(settledEvent())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.SetBytes(int64(len(rec)))
	for b.Loop() {
		var ev event.Event
		if err := decode(rec, &ev); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPut_Fifty is one commit over the fifty events of one request to amoCRM.
func BenchmarkPut_Fifty(b *testing.B) {
	s := open(b, Options{})
	const n = 5000
	for i := uint64(0); i < n; i += 250 {
		var group []event.Incoming
		for k := range uint64(250) {
			group = append(group, benchIncoming(i+k))
		}
		for _, in := range group {
			mustAppend(b, s, in)
		}
	}
	from := uint64(1)
	b.ReportAllocs()
	for b.Loop() {
		update(b, s, func(tx *Tx) error {
			for i := range uint64(50) {
				seq := (from+i*7)%n + 1
				ev, err := tx.Event(seq)
				if err != nil {
					return err
				}
				full := settledEvent()
				full.Seq, full.Client, full.Chat, full.Line = seq, ev.Client, ev.Chat, ev.Line
				full.State, full.SettledAt, full.Detached, full.Frozen = event.Pending, time.Time{}, false, !ev.Frozen
				full.NextAt = t0
				if err := tx.Put(full); err != nil {
					return err
				}
			}
			return nil
		})
		from += 350
	}
}
