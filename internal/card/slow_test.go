package card

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jivo-amocrm/bridge/internal/store"
)

// Composing ends with its time, however long the disk takes: what cannot be noted down
// as told is not told, and a later reply of the chat tells it.
func TestReply_ContactInfoWaitsForTheDiskNoLongerThanAllowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const allowed, disk = 2 * time.Second, 5 * time.Second
		d := newDesk(t)
		d.known()
		busy := make(chan struct{})
		go func() { // the sleep is the bubble's
			_ = d.st.Update(context.Background(), func(*store.Tx) error { close(busy); time.Sleep(disk); return nil })
		}()
		<-busy
		began := time.Now()
		reply, cancel := context.WithTimeout(context.Background(), allowed)
		defer cancel()
		r := d.composer().Reply(reply, shop, message(t, "chat_updated", chat1, ""), 9, false)
		if took := time.Since(began); took > allowed {
			t.Errorf("composing took %v", took)
		}
		equal(t, "told, though it is not noted down", r.ContactInfo != nil, false)
		equal(t, "the rest is", r.CRMLink != "", true)
		time.Sleep(disk)
		equal(t, "told later", d.reply("chat_updated", chat1, "").ContactInfo != nil, true)
	})
}
