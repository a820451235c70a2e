package delivery

import (
	"testing"
	"time"

	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/jivo"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// What an earlier version kept of a client is compared with as it stands; a chat takes
// nothing of it back; and with the client all of it is forgotten.
func TestTold_RecordsOfEarlierVersionsAndForgetting(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		const same = `{"event_name":"updated_client","client_id":1,"name":"V1","tags":[{"tag_id":7,"title":"VIP"}],"assigned_agent":{"assigned_agent_id":3}}`
		m, err := jivo.Decode([]byte(same))
		if err != nil {
			t.Fatal(err)
		}
		y.update(func(tx *store.Tx) error { return store.Set(tx, store.Last, store.Key(shop, "client", "1"), m.Fields) })
		y.run()
		y.post(chat("chat_accepted", 1, `,"assigned_agent":null,"organization":null,"tags":[]`))
		pass(time.Minute)
		seq := y.post(same)
		pass(time.Minute)
		y.is(seq, event.Done, "")
		equal(t, "changes", len(y.event(seq).Changes), 0)
		y.forget("1")
		y.view(func(tx *store.Tx) {
			_ = store.Each(tx, store.Last, store.Key(shop, ""), func(key string, _ any) bool {
				t.Errorf("%q is kept", key)
				return true
			})
		})
	})
}
