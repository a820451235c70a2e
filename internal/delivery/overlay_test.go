package delivery

import (
	"testing"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// leads/complex does not tell when the lead was made. Whatever a robot or a
// manager does to it from its first second on is newer than its card, however long
// the answer takes and whatever our clock says.
func TestNewLead_CardIsOlderThanTheLead(t *testing.T) {
	for name, c := range map[string]struct {
		slow, skew time.Duration
		learned    bool // what the skew is, with the answer
	}{
		"answered at once":         {},
		"answered late":            {slow: 20 * time.Second},
		"our clock runs ahead":     {skew: -4 * time.Second},
		"our clock is far ahead":   {slow: 20 * time.Second, skew: -time.Hour},
		"it turns out to be ahead": {skew: -time.Hour, learned: true},
		"our clock runs behind":    {slow: 20 * time.Second, skew: 4 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, nil, func(t *testing.T, y *yard) {
				y.crm.skew = c.skew
				if c.learned {
					y.crm.told = new(time.Duration)
				}
				y.crm.after = func(amocrm.Write) error {
					time.Sleep(c.slow)
					y.crm.set(func() { y.crm.told = nil })
					return nil
				}
				y.run()
				y.post(chat("chat_accepted", 1, ""))
				pass(time.Minute)
				var made event.Lead
				for _, made = range y.crm.leads {
				}
				var card event.LeadCard
				y.view(func(tx *store.Tx) {
					card, _, _ = store.Get[event.LeadCard](tx, store.Cards, store.Key(shop, "lead", id(made.ID)))
				})
				for what, at := range map[string]int64{"updated": card.Lead.UpdatedAt, "seen": card.SeenTo} {
					if at >= made.CreatedAt || at < made.CreatedAt-10 {
						t.Errorf("%s %d s after the lead was made", what, at-made.CreatedAt)
					}
				}
			})
		})
	}
}
