package app_test

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/jivo"
	"github.com/jivo-amocrm/bridge/internal/phone"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// looks gathers, before the verdict, what excuses what.
func (h *hand) looks(s *sim, evs []*event.Event) {
	h.orphan, h.half, h.phones = map[event.Target]int{}, map[string]bool{}, map[string]bool{}
	h.told, h.by, h.lines, h.byID = map[string][]uint64{}, map[made]uint64{}, map[string]lineTouched{}, map[uint64]*event.Event{}
	h.replayed = map[string]bool{}
	for _, ev := range evs {
		h.byID[ev.Seq] = ev
		if ev.Replays > 0 {
			h.replayed[ev.Chat] = true
		}
		l := h.lines[ev.Line]
		h.lines[ev.Line] = lineTouched{l.replayed || ev.Replays > 0, l.imported || ev.Imported, l.forgotten || h.gone[ev.Client]}
		for _, ch := range ev.Changes {
			if ch.Op == event.OpCreate && ch.State == event.Settled {
				h.by[made{ch.Target, ch.AmoID}] = ev.Seq
			}
			if ch.State != event.Sent || !h.ended(ev) {
				continue
			}
			if ch.Op == event.OpCreate {
				h.orphan[ch.Target]++
			}
			if ch.Target == event.OnContact || ch.Target == event.OnLead { // found by a deal, it may be named on the lead alone
				h.half[ev.Client] = true
			}
		}
	}
	for _, p := range s.people {
		if h.half[strconv.Itoa(p.Number)] {
			h.phones[phone.Soft(p.Phone, "RU")] = true
		}
	}
	err := s.l.app.Store().View(func(tx *store.Tx) error {
		for _, ev := range evs {
			body := string(tx.Body(ev.Seq))
			for text := range s.once {
				if ev.Reason != event.Duplicate && strings.Contains(body, text) {
					h.told[text] = append(h.told[text], ev.Seq)
				}
			}
		}
		return nil
	})
	if err != nil {
		s.l.t.Fatal(err)
	}
}

// forgot reports whether a client was forgotten at some time.
func (h *hand) forgot(client string) bool { return h != nil && h.gone[client] }

// ended reports whether an event was ended by hand: what it had sent is nobody's.
func (h *hand) ended(ev *event.Event) bool {
	return h != nil && (ev.Reason == event.Forgotten || ev.Reason == event.Discarded || ev.State == event.Dead && h.gone[ev.Client])
}

// orphaned takes one of what ended events had sent.
func (h *hand) orphaned(kind event.Target) bool {
	if h == nil || h.orphan[kind] == 0 {
		return false
	}
	h.orphan[kind]--
	return true
}

// outOfOrder reports whether events of a line were replayed or imported.
func (h *hand) outOfOrder(line string) bool {
	return h != nil && (h.lines[line].replayed || h.lines[line].imported || h.lines[line].forgotten)
}

// repriced reports whether deals of a line were replayed, or are compared with nothing.
func (h *hand) repriced(line string) bool {
	return h != nil && (h.lines[line].replayed || h.lines[line].forgotten)
}

var markedClient = regexp.MustCompile(` jv-([ckd])(\d+)@`)

// asked reports whether two of one thing, as the emulator tells them, were asked for.
func (h *hand) asked(double string) bool {
	if h == nil {
		return false
	}
	if m := markedClient.FindStringSubmatch(double); m != nil {
		n, _ := strconv.Atoi(m[2])
		switch m[1] {
		case "k":
			chat := m[2]
			n /= 100
			if (h.gone[strconv.Itoa(n)] || h.replayed[chat]) && !h.bothMade(double, strconv.Itoa(n)) {
				return true // which lead was the chat's is forgotten, or was another one when it was replayed
			}
		case "d":
			n -= 5000
		}
		return h.half[strconv.Itoa(n)]
	}
	for _, id := range idsOrSmall(double) {
		for _, target := range []event.Target{event.OnNote, event.OnCall} {
			if seq, ok := h.by[made{target, id}]; ok && h.again[seq] {
				return true
			}
		}
	}
	return false
}

// lateTask reports whether a task of a card was replayed: a frozen list goes on, whatever
// stands there by then.
func (h *hand) lateTask(twin string) bool {
	card := idsIn(twin)
	for _, ev := range h.byID {
		for _, ch := range ev.Changes {
			on := ch.EntityID
			if on == 0 && ev.Lead != nil {
				on = ev.Lead.ID
			}
			if ev.Replays > 0 && ch.Op == event.OpCreate && ch.Target == event.OnTask && ch.Jivo == "" && slices.Contains(card, on) {
				return true
			}
		}
	}
	return false
}

// bothMade reports whether two leads were made by chats of one client.
func (h *hand) bothMade(double, client string) bool {
	ids := idsOrSmall(double)
	return len(ids) == 2 && !slices.ContainsFunc(ids, func(id int64) bool {
		ev := h.byID[h.by[made{event.OnLead, id}]]
		return ev == nil || ev.Client != client || strings.HasSuffix(ev.Kind, "_deal")
	})
}

// idsOrSmall are the two ids at the end of a double.
func idsOrSmall(double string) (ids []int64) {
	words := strings.Fields(double)
	for _, at := range []int{len(words) - 3, len(words) - 1} {
		if n, err := strconv.ParseInt(words[max(at, 0)], 10, 64); err == nil {
			ids = append(ids, n)
		}
	}
	return ids
}

// times is how often a unique text must and may stand in amoCRM.
func (h *hand) times(text string) (least, most int) {
	least, most = 1, 1
	if h == nil {
		return least, most
	}
	owner := h.owner[text]
	if h.gone[owner] {
		least = 0
	}
	seqs := h.told[text]
	if len(seqs) == 0 {
		for _, ev := range h.byID {
			if ev.Client == owner {
				seqs = append(seqs, ev.Seq)
			}
		}
	}
	for _, seq := range seqs {
		ev := h.byID[seq]
		if ev.Reason == event.Discarded {
			least = 0
		}
		if h.again[seq] {
			most += ev.Replays
		}
	}
	return least, most
}

// halfMade reports whether somebody with this phone was forgotten while their contact was being made.
func (h *hand) halfMade(number string) bool {
	return h != nil && h.phones[phone.Soft(number, "RU")]
}

func clientOfBody(body string) string {
	m, err := jivo.Decode([]byte(body))
	if err != nil {
		return ""
	}
	return m.Client
}

// extra: what the integrator's own rules write stands once for each event or card, and
// a task that is wanted once stands once, `again` or not.
func (s *sim) extra() {
	h := s.hand
	if h == nil {
		return
	}
	for _, twin := range s.l.amo.TwinTasks() {
		if (strings.Contains(twin, handTask) || strings.Contains(twin, "Ответить на обращение")) && !h.lateTask(twin) && !h.orphaned(event.OnTask) {
			s.l.t.Errorf("twice in amoCRM: %s", twin)
			s.tell(idsIn(twin))
		}
	}
	seen := map[string]int{}
	for _, n := range s.l.amo.AllNotes() {
		if strings.HasPrefix(n.Text(), handNote) {
			seen[n.Text()]++
		}
	}
	for text, n := range seen {
		if n > 1 && len(h.again) == 0 {
			s.l.t.Errorf("%q stands %d times", text, n)
		}
	}
}
