package event

import (
	"testing"
	"time"
)

func TestClient_LapsesEachByItsOwnTime(t *testing.T) {
	const keep = time.Hour
	c := func() *Client {
		return &Client{FirstTouch: &Touch{At: t0}, Held: []Held{{Seq: 1, At: t0}, {Seq: 2, At: t0.Add(30 * time.Minute)}}}
	}
	for name, s := range map[string]struct {
		at     time.Time
		lapses bool
		touch  bool
		held   int
	}{
		"earlier than held": {t0.Add(-time.Minute), false, true, 2},
		"in time":           {t0.Add(keep), false, true, 2},
		"the first have":    {t0.Add(keep + 1), true, false, 1},
		"all have":          {t0.Add(2 * keep), true, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			c := c()
			if got := c.Lapse(s.at, keep); got != s.lapses || (c.FirstTouch != nil) != s.touch || len(c.Held) != s.held {
				t.Errorf("%v, left %+v", got, c)
			}
			if c.Lapse(s.at, keep) {
				t.Error("lapses once more")
			}
		})
	}
}

func TestChatPerson_IsTakenApartAgain(t *testing.T) {
	if chat, ok := ChatOfPerson(ChatPerson("k1")); chat != "k1" || !ok {
		t.Errorf("%q, %v", chat, ok)
	}
	if _, ok := ChatOfPerson("2198"); ok {
		t.Error("a client with a number is known by a chat")
	}
}
