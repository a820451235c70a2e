package delivery

import (
	"testing"
	"time"

	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// mailed is a chat of a client with this phone and e-mail.
func mailed(kind string, client int, phone, mail string) string {
	return calls(kind, client, phone+`","email":"`+mail)
}

const byHand = "+79169999999"

// addByHand has a manager add a phone to every contact.
func (y *yard) addByHand() {
	y.crm.set(func() {
		for id, c := range y.crm.contacts {
			c.Phones = append(c.Phones, event.Value{Text: byHand})
			c.UpdatedAt = time.Now().Unix()
			y.crm.contacts[id] = c
		}
	})
}

// A contact's phones are written as a whole. What an own write of something else told
// nobody, such as a phone that a manager added, must not be taken away by the next: no
// own write makes what is known of a contact any newer.
func TestFresh_OwnWriteIsNoRead(t *testing.T) {
	const p1, p3 = "+79160000001", "+79160000003"
	for name, story := range map[string]func(y *yard){
		"of this connection": func(y *yard) {
			y.post(calls("chat_accepted", 1, p1))
			pass(10 * time.Minute)
			y.addByHand()
			pass(45 * time.Minute)
			y.post(mailed("chat_updated", 1, p1, "a@example.com"))
			pass(40 * time.Minute) // the last read is older than refresh by now, the last write is not
			y.post(mailed("chat_updated", 1, p3, "a@example.com"))
		},
		"of another of the account": func(y *yard) {
			y.post(calls("chat_accepted", 1, p1))
			y.postTo(other, calls("chat_accepted", 7, p1))
			pass(48 * time.Hour)
			y.addByHand()
			pass(48 * time.Hour)
			y.post(mailed("chat_updated", 1, p1, "a@example.com")) // it reads the contact first
			pass(time.Minute)
			y.postTo(other, calls("chat_updated", 7, p3)) // whose card is four days old
		},
		"never, but a clock that ran a day ahead": func(y *yard) {
			y.post(calls("chat_accepted", 1, p1))
			pass(time.Minute)
			y.update(func(tx *store.Tx) error {
				key := store.Key(shop, "contact", id(y.client(1).ContactID))
				return changeRecord(tx, store.Cards, key, func(c *event.ContactCard) { c.ReadAt = time.Now().Add(24 * time.Hour) })
			})
			y.addByHand()
			pass(20 * time.Hour)
			y.post(calls("chat_updated", 1, p3))
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, nil, func(t *testing.T, y *yard) {
				y.second()
				y.run()
				story(y)
				pass(time.Minute)
				same(t, "phones", y.phones(), []string{p1, p3, byHand})
			})
		})
	}
}
