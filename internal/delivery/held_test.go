package delivery

import (
	"fmt"
	"testing"
	"time"

	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/jivo"
	"github.com/jivo-amocrm/bridge/internal/mapping"
)

// nameless is a chat of a visitor who has left neither phone nor e-mail.
func nameless(kind, chat, more string) string {
	return fmt.Sprintf(`{"event_name":%q,"chat_id":%q,"visitor":{"number":"1","name":"V"}%s}`, kind, chat, more)
}

// A chat that is finished, taken up and finished again while nobody knows its visitor
// becomes two notes once somebody does, each written once.
func TestHeld_OneChatFinishedTwiceIsTwoNotes(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		y.run()
		y.post(nameless("chat_finished", "k1", said("first", 100)))
		pass(time.Second)
		y.post(nameless("chat_finished", "k1", `,"chat":{"messages":[{"message":"first","timestamp":100,"type":"visitor"},{"message":"again","timestamp":200,"type":"visitor"}]}`))
		pass(time.Second)
		seq := y.post(chat("chat_accepted", 1, ""))
		pass(5 * time.Second)
		keys := map[string]int{}
		for _, ch := range y.is(seq, event.Done, "").Changes {
			if keys[ch.Key]++; keys[ch.Key] > 1 {
				t.Errorf("two changes have the ledger key %s", ch.Key)
			}
		}
		pass(24 * time.Hour)
		for at, n := range y.crm.notes {
			equal(t, "notes on "+at, len(n), 2)
		}
		equal(t, "held", len(y.client(1).Held), 0)
	})
}

// What is held stays so until it is a note, also when the client has a contact by an
// operator's hand and no rule wants it of the next chat.
func TestHeld_StaysUntilItIsANote(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		rules, problems := mapping.Compile([]mapping.Rule{
			{Name: txt("lead"), On: txts("chat_accepted", "chat_finished"), When: txt(`(has_contact() or known()) and not chat.blacklisted`),
				Contact: &mapping.ContactBlock{Find: txts("client", "phone", "email"), Name: txt("{{ visitor.name }}")},
				Lead:    &mapping.LeadBlock{Find: txts("chat", "open"), Name: txt("x")}},
			{Name: txt("transcript"), On: txts("chat_finished"), When: txt(`has_contact() or known()`), Note: &mapping.NoteBlock{To: txt("lead"), Text: txt("{{ transcript() }}")}},
		}, mapping.Env{Kinds: jivo.Kinds(), Schema: jivo.Schema, Language: "ru", Region: "RU"})
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		y.c.Program = rules
		y.crm.set(func() { y.crm.contacts[500] = event.Contact{ID: 500, Name: "Ivan"} })
		y.run()
		y.post(nameless("chat_finished", "k1", said("the first chat", 100)))
		pass(time.Second)
		y.post(nameless("chat_assigned", "k2", `,"assign_to":"https://`+demoHost+`/contacts/detail/500"`))
		pass(time.Second)
		y.post(nameless("chat_finished", "k2", `,"chat":{"blacklisted":true,"messages":[{"message":"second","timestamp":200,"type":"visitor"}]}`))
		pass(time.Minute)
		equal(t, "contact", y.client(1).ContactID, 500)
		equal(t, "notes of the blacklisted chat", len(y.crm.notes["contacts/500"]), 1)
		equal(t, "held", len(y.client(1).Held), 1)
	})
}
