package delivery

import (
	"testing"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// What an earlier process left in doubt is looked over once: an update of this one that
// is on its way has nobody read its contact again, however often the store is looked at.
func TestLookOver_IsForWhatAnEarlierProcessLeft(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		let := make(chan struct{})
		y.crm.after = func(w amocrm.Write) error {
			if w.Endpoint == amocrm.PatchContacts {
				<-let
			}
			return nil
		}
		y.run()
		y.post(chat("chat_accepted", 1, ""))
		pass(time.Second)
		seq := y.post(calls("chat_updated", 1, "+79169999999"))
		pass(time.Second)
		y.is(seq, event.Pending, "")
		y.d.Kick()
		pass(time.Second)
		y.view(func(tx *store.Tx) {
			card, ok, err := store.Get[event.ContactCard](tx, store.Cards, store.Key(shop, "contact", id(tx.Client(shop, "1").ContactID)))
			if err != nil || !ok || card.Dirty {
				t.Errorf("%t %v, to be read: %t", ok, err, card.Dirty)
			}
		})
		close(let)
		pass(time.Second)
		y.is(seq, event.Done, "")
	})
}
