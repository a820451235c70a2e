package delivery

import (
	"slices"
	"testing"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// loseAnswer has the next write land without its answer; then what else happens.
func (y *yard) loseAnswer(then func()) {
	y.crm.set(func() {
		y.crm.after = func(amocrm.Write) error {
			y.crm.set(func() { y.crm.after = nil })
			if then != nil {
				then()
			}
			return &amocrm.InDoubt{Trouble: amocrm.Unreachable, SentAt: time.Now()}
		}
	})
}

// late has everything that stands in amoCRM appear only after d, as when a write
// is carried out late.
func (y *yard) late(d time.Duration) {
	leads, contacts := y.crm.leads, y.crm.contacts
	y.crm.set(func() { y.crm.leads, y.crm.contacts = map[int64]event.Lead{}, map[int64]event.Contact{} })
	time.AfterFunc(d, func() { y.crm.set(func() { y.crm.leads, y.crm.contacts = leads, contacts }) })
}

// The second look is a look of its own: a lead that came with its contact and was
// carried out after the first look is found by the second.
func TestDoubt_TheSecondLookReadsAnew(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		y.dict.Fields = nil
		y.loseAnswer(func() { y.late(y.c.InDoubtAfter + 5*time.Second) })
		y.run()
		seq := y.post(chat("chat_accepted", 1, ""))
		pass(5 * time.Minute)
		y.is(seq, event.Done, "")
		equal(t, "leads", y.crm.made(), 1)
		equal(t, "tries", y.crm.tries(), 1)
		same(t, "doubts", y.obs.doubts, []string{"missing", "found"})
	})
}

// A clock that is set between a write and its look-up, or was wrong when the write
// left, hides nothing from it. A bubble's clock cannot jump: everything that was
// dated before is moved instead.
func TestDoubt_ClockThatIsSetHidesNothing(t *testing.T) {
	const day = 24 * time.Hour
	for name, c := range map[string]struct {
		before, after time.Duration // our clock, less the true time
		unnoticed     bool          // no answer of amoCRM has told yet
	}{
		"set an hour back":                        {0, -time.Hour, false},
		"set a day back":                          {0, -day, false},
		"set a day ahead":                         {0, day, false},
		"an hour behind, set right":               {-time.Hour, 0, false},
		"a day ahead, set right":                  {day, 0, false},
		"a day ahead all the time":                {day, day, false},
		"a day ahead, which shows only later":     {day, day, true},
		"a day ahead unnoticed, set right":        {day, 0, true},
		"an hour behind, which shows only later":  {-time.Hour, -time.Hour, true},
		"an hour behind unnoticed, set right":     {-time.Hour, 0, true},
		"a few seconds ahead, then a few behind":  {4 * time.Second, -4 * time.Second, false},
		"hardly together, then hardly not":        {-4 * time.Second, -6 * time.Second, false},
		"hardly not together, then hardly behind": {6 * time.Second, 4 * time.Second, false},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, nil, func(t *testing.T, y *yard) {
				y.dict.Fields = nil
				y.crm.skew = -c.before
				if c.unnoticed {
					y.crm.told = new(time.Duration)
				}
				y.loseAnswer(nil)
				y.run()
				seq := y.post(chat("chat_accepted", 1, ""))
				pass(2 * time.Second)
				y.setClock(seq, c.before, c.after)
				pass(5 * time.Minute)
				y.is(seq, event.Done, "")
				equal(t, "leads", y.crm.made(), 1)
				equal(t, "tries", y.crm.tries(), 1)
			})
		})
	}
}

// Nor does it when it falls behind while a write is on its way and the look-up comes
// long after, as after a ban: by then nothing seems to lie ahead.
func TestDoubt_ClockThatFellBehindLongAgoHidesNothing(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		y.dict.Fields = nil
		y.crm.skew, y.crm.told = -7*time.Minute, new(time.Duration)
		y.loseAnswer(func() { y.crm.set(func() { y.crm.told = nil }) })
		y.run()
		seq := y.post(chat("chat_accepted", 1, ""))
		pass(2 * time.Second)
		y.update(func(tx *store.Tx) error {
			ev, err := tx.Event(seq)
			if err != nil {
				return err
			}
			ev.NextAt = time.Now().Add(10 * time.Minute)
			return tx.Put(ev)
		})
		pass(15 * time.Minute)
		y.is(seq, event.Done, "")
		equal(t, "leads", y.crm.made(), 1)
		equal(t, "tries", y.crm.tries(), 1)
	})
}

// Nor when it is the look-up's own answer that tells.
func TestDoubt_ClockThatFallsBehindMeanwhileHidesNothing(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		y.dict.Fields = nil
		y.loseAnswer(func() {
			y.crm.set(func() { // what came late comes after the first look, by another clock
				late := y.crm.leads
				y.crm.leads = map[int64]event.Lead{}
				time.AfterFunc(y.c.InDoubtAfter+5*time.Second, func() {
					y.crm.set(func() {
						for id, l := range late {
							l.CreatedAt -= int64(7 * time.Minute / time.Second)
							late[id] = l
						}
						y.crm.leads, y.crm.skew, y.crm.told = late, -7*time.Minute, new(time.Duration)
					})
				})
			})
		})
		y.run()
		seq := y.post(chat("chat_accepted", 1, ""))
		pass(15 * time.Minute)
		y.is(seq, event.Done, "")
		equal(t, "leads", y.crm.made(), 1)
		equal(t, "tries", y.crm.tries(), 1)
	})
}

// setClock sets our clock, which was so much ahead of the true time, to be so much
// ahead of it from now on.
func (y *yard) setClock(seq uint64, before, after time.Duration) {
	jump := after - before
	y.crm.set(func() {
		y.crm.skew, y.crm.told = -after, nil
		for id, l := range y.crm.leads {
			l.CreatedAt -= int64(jump / time.Second)
			y.crm.leads[id] = l
		}
	})
	y.update(func(tx *store.Tx) error {
		ev, err := tx.Event(seq)
		if err != nil {
			return err
		}
		for i := range ev.Changes {
			ev.Changes[i].SentAt = ev.Changes[i].SentAt.Add(-jump)
		}
		return tx.Put(ev) // when it is due is what pullBack sees to
	})
}

// A list of the newest leads that may not go back far enough is not believed: the
// lead is sought through its contact, and a miss counts only when the search has
// surely caught up.
func TestDoubt_ListThatIsCutShortIsNotBelieved(t *testing.T) {
	foreign := slices.Repeat([]event.Lead{{ID: 1, Name: "Foreign", CreatedAt: 1 << 40}}, manyNewest)
	t.Run("found through its contact", func(t *testing.T) {
		inBubble(t, nil, func(t *testing.T, y *yard) {
			y.dict.Fields = nil
			y.crm.newest = foreign
			y.loseAnswer(nil)
			y.run()
			seq := y.post(chat("chat_accepted", 1, ""))
			pass(time.Minute)
			y.is(seq, event.Done, "")
			equal(t, "leads", y.crm.made(), 1)
			equal(t, "tries", y.crm.tries(), 1)
		})
	})
	t.Run("the search is late", func(t *testing.T) {
		inBubble(t, nil, func(t *testing.T, y *yard) {
			y.dict.Fields = nil
			y.crm.newest = foreign
			y.loseAnswer(func() { y.late(20 * time.Minute) })
			y.run()
			seq := y.post(chat("chat_accepted", 1, ""))
			pass(19 * time.Minute)
			y.is(seq, event.Pending, "")
			pass(3 * time.Minute)
			y.is(seq, event.Done, "")
			equal(t, "leads", y.crm.made(), 1)
			equal(t, "tries", y.crm.tries(), 1)
		})
	})
	t.Run("it is not there", func(t *testing.T) {
		inBubble(t, nil, func(t *testing.T, y *yard) {
			y.dict.Fields = nil
			y.crm.newest = foreign
			y.loseAnswer(func() { y.crm.set(func() { clear(y.crm.leads); clear(y.crm.contacts) }) })
			y.run()
			seq := y.post(chat("chat_accepted", 1, ""))
			pass(indexed - time.Minute)
			y.is(seq, event.Pending, "")
			equal(t, "tries", y.crm.tries(), 1)
			pass(5 * time.Minute)
			if ev := y.is(seq, event.Done, ""); ev.Attempts != 0 {
				t.Errorf("%d attempts burnt", ev.Attempts)
			}
			equal(t, "leads", y.crm.made(), 1)
		})
	})
}
