package delivery

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/jivo"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// told is what one webhook of a call came to: "" nothing to write, "1" the note
// of call 1, "1+" more of call 1 for the note it has.
type told struct {
	hook string // status, or status=record
	want string
}

// phoneCalls plays webhooks of one chat, a minute apart; every note wanted is made.
func phoneCalls(t *testing.T, hooks []told, twice bool) (calls []*event.Call, logs []event.CallLog) {
	t.Helper()
	chat := &event.Chat{ID: "7"}
	at := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	for i, h := range hooks {
		status, record, _ := strings.Cut(h.hook, "=")
		m, err := jivo.Decode([]byte(fmt.Sprintf(`{"event_name":"call_event","chat_id":7,"visitor":{"number":"1"},"call":{"type":"incoming","phone":"+79160000001","status":%q,"record_url":%q}}`, status, record)))
		if err != nil {
			t.Fatal(err)
		}
		at = at.Add(time.Minute)
		work := func() *event.Call {
			j := &job{c: &Connection{Name: "shop", Region: "RU"}, ev: &event.Event{ReceivedAt: at}, state: state{msg: m, client: &event.Client{ID: "1"}, chat: chat}}
			return j.call()
		}
		got := work()
		if twice { // it was put off before anything of it left
			got = work()
		}
		if s := inShort(got); s != h.want {
			t.Errorf("webhook %d (%s): %q, want %q", i+1, h.hook, s, h.want)
		}
		if got == nil {
			continue
		}
		calls = append(calls, got)
		for k := range chat.Calls {
			if l := &chat.Calls[k]; l.N == got.N && l.NoteID == 0 {
				l.NoteID, l.NoteOn = int64(100+l.N), leads
			}
		}
	}
	return calls, chat.Calls
}

func inShort(c *event.Call) string {
	switch {
	case c == nil:
		return ""
	case c.LateAsset:
		return fmt.Sprint(c.N, "+")
	}
	return fmt.Sprint(c.N)
}

func TestCall_WebhooksAreCountedToCalls(t *testing.T) {
	for name, hooks := range map[string][]told{
		"answered":                       {{"start", ""}, {"agent_connected", ""}, {"client_connected", ""}, {"agent_disconnected", ""}, {"end=a", "1"}},
		"not answered":                   {{"start", ""}, {"error", "1"}},
		"only its end":                   {{"end=a", "1"}},
		"only its middle and end":        {{"agent_connected", ""}, {"end", "1"}},
		"a status nobody knows":          {{"start", ""}, {"ringing_twice", ""}, {"end", "1"}},
		"start told twice":               {{"start", ""}, {"start", ""}, {"end", "1"}},
		"the end told again":             {{"start", ""}, {"end", "1"}, {"end", "1+"}},
		"the end told again with record": {{"start", ""}, {"end=a", "1"}, {"end=a", "1+"}},
		"a record that comes later":      {{"start", ""}, {"end", "1"}, {"end=a", "1+"}},
		"a late record told again":       {{"end", "1"}, {"end=a", "1+"}, {"end=a", "1+"}},
		"two calls":                      {{"start", ""}, {"end=a", "1"}, {"start", ""}, {"agent_connected", ""}, {"end=b", "2"}},
		"two calls without a start":      {{"end=a", "1"}, {"end=b", "2"}},
		"missed, then called back":       {{"start", ""}, {"error", "1"}, {"start", ""}, {"end=b", "2"}},
		"missed, then an end alone":      {{"error", "1"}, {"end=b", "2"}},
		"a record of the first again":    {{"end=a", "1"}, {"end=b", "2"}, {"end=a", "1+"}},
		"a third call's late record":     {{"error", "1"}, {"start", ""}, {"end=b", "2"}, {"start", ""}, {"end", "3"}, {"end=c", "3+"}},
		"missed twice":                   {{"start", ""}, {"error", "1"}, {"start", ""}, {"error", "2"}},
	} {
		t.Run(name, func(t *testing.T) { phoneCalls(t, hooks, false) })
		t.Run(name+", worked twice", func(t *testing.T) { phoneCalls(t, hooks, true) })
	}
}

func TestCall_DurationIsFromTheAgentToTheEnd(t *testing.T) {
	for name, c := range map[string]struct {
		hooks    []told
		seconds  int
		answered bool
	}{
		"answered":                        {[]told{{"start", ""}, {"agent_connected", ""}, {"client_connected", ""}, {"end", "1"}}, 120, true},
		"connected twice: from the first": {[]told{{"start", ""}, {"agent_connected", ""}, {"agent_connected", ""}, {"end", "1"}}, 120, true},
		"not answered":                    {[]told{{"start", ""}, {"client_connected", ""}, {"error", "1"}}, 0, false},
		"a late record lengthens nothing": {[]told{{"agent_connected", ""}, {"end", "1"}, {"start", ""}, {"error", "2"}}, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			calls, _ := phoneCalls(t, c.hooks, false)
			last := calls[len(calls)-1]
			if last.Duration != c.seconds || last.Answered != c.answered {
				t.Errorf("%d s, answered %v", last.Duration, last.Answered)
			}
		})
	}
	calls, _ := phoneCalls(t, []told{{"agent_connected", ""}, {"end", "1"}, {"end=a", "1+"}}, false)
	if calls[1].Duration != 60 {
		t.Errorf("a late record made it %d s", calls[1].Duration)
	}
}

func TestCall_TellsOfItsOwnEvent(t *testing.T) {
	calls, logs := phoneCalls(t, []told{{"start", ""}, {"end=https://r/1.mp3", "1"}}, false)
	c := calls[0]
	if c.Chat != "7" || !c.Incoming || c.Phone != "+79160000001" || c.Record != "https://r/1.mp3" || c.Status != "end" {
		t.Errorf("call %+v", c)
	}
	if len(logs) != 1 || logs[0].Record != "https://r/1.mp3" || logs[0].Ended.IsZero() {
		t.Errorf("log %+v", logs)
	}
}

func TestCall_NumberOfTheVisitorWhereTheCallHasNone(t *testing.T) {
	m, err := jivo.Decode([]byte(`{"event_name":"call_event","chat_id":7,"call":{"type":"outgoing","status":"end"}}`))
	if err != nil {
		t.Fatal(err)
	}
	j := &job{c: &Connection{Region: "RU"}, ev: &event.Event{}, state: state{msg: m, client: &event.Client{ID: "1", Phones: []string{"+79160000009"}}, chat: &event.Chat{}}}
	if c := j.call(); c.Phone != "+79160000009" || c.Incoming {
		t.Errorf("call %+v", c)
	}
	j.chat = nil
	if j.call() != nil {
		t.Error("a call of no chat")
	}
}

func TestCall_ReplayMayBeAskedForAnotherNote(t *testing.T) {
	for again, late := range map[bool]bool{false: true, true: false} {
		m, err := jivo.Decode([]byte(`{"event_name":"call_event","chat_id":7,"call":{"status":"end","record_url":"a"}}`))
		if err != nil {
			t.Fatal(err)
		}
		chat := &event.Chat{Calls: []event.CallLog{{N: 1, Status: "end", Record: "a", Ended: time.Now(), NoteID: 5}}}
		j := &job{c: &Connection{}, ev: &event.Event{Again: again}, state: state{msg: m, client: &event.Client{}, chat: chat}}
		if c := j.call(); c.LateAsset != late {
			t.Errorf("again %v: for the note it has: %v", again, c.LateAsset)
		}
	}
}

// What goes on with a call whose event is put off for an hour is tried when that one
// is, not every second; and soon after it is settled.
func TestFollow_WaitsAsLongAsWhatItGoesOnWith(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		tried := map[uint64]int{}
		y.d.OnEnd(func(seq uint64) { y.crm.set(func() { tried[seq]++ }) })
		y.run()
		call := `{"event_name":"call_event","chat_id":"k1","visitor":{"number":"1","phone":"+79160000001"},"call":{"status":"end","type":"incoming","phone":"+79160000001"}}`
		first := y.post(call)
		pass(time.Second)
		y.update(func(tx *store.Tx) error {
			ev, err := tx.Event(first)
			if err != nil {
				return err
			}
			ev.State, ev.Detached, ev.NextAt = event.Pending, true, time.Now().Add(time.Hour)
			return tx.Put(ev)
		})
		second := y.post(call)
		pass(time.Hour - time.Second)
		y.is(second, event.Pending, "")
		y.crm.set(func() { equal(t, "attempts while it waits", tried[second], 1) })
		pass(4 * time.Second)
		for _, seq := range []uint64{first, second} {
			if ev := y.event(seq); !ev.State.Settled() {
				t.Errorf("event %d is %s (%s)", seq, ev.State, ev.Detail)
			}
		}
	})
}
