package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// badInput is one body that nobody in their right mind sends, and what must
// become of it. Kept are all of them: dead, or decoded and worked.
type badInput struct {
	name string
	body string
	ends string // state and reason; two of them: either
	sees func(t *testing.T, w *world)
}

const mebi = 1 << 20

// nest is a JSON list in a list, so many deep.
func nest(depth int) string { return strings.Repeat("[", depth) + strings.Repeat("]", depth) }

// chatOf is a chat_accepted with more keys, before the end of the object.
func chatOf(more string) string {
	return `{"event_name":"chat_accepted","chat_id":9,"visitor":{"number":"9"}` + more + `}`
}

func badJivo() []badInput {
	const dead, nobody = "dead unparsable", "skipped anonymous"
	return []badInput{
		{name: "depth of 64", body: chatOf(`,"odd":` + nest(63)), ends: nobody},
		{name: "depth of 65", body: chatOf(`,"odd":` + nest(64)), ends: dead},
		{name: "depth of 100,000", body: chatOf(`,"odd":` + nest(100_000)), ends: dead},
		{name: "4 MiB of arrays in arrays", body: chatOf(`,"tags":` + nest(2*mebi-100)), ends: dead},
		{name: "4 MiB of brackets never closed", body: `{"event_name":` + strings.Repeat("[", 4*mebi-20), ends: dead},
		{name: "4 MiB of empty arrays", body: chatOf(`,"tags":[` + strings.Repeat("[],", (4*mebi-200)/3) + `[]]`), ends: dead},
		{name: "4 MiB of double braces", body: strings.Repeat("{", 4*mebi-1), ends: dead},
		{name: "4 MiB of one name", body: `{"event_name":"` + strings.Repeat("с", 2*mebi-100) + `"}`, ends: "skipped unknown_event"},
		{name: "4 MiB of contacts", ends: dead + "|skipped not_linked",
			body: `{"event_name":"updated_client","client_id":9,"contacts":[` + repeat(`{"contact_type":"phone","contact":"+7916%07d"},`, (4*mebi-200)/50) + `]}`},
		{name: "invalid UTF-8", body: strings.Replace(string(ivanWith("Им\xff\xfeя")), "Им\ufffd\ufffdя", "Им\xff\xfeя", 1), ends: "done ", sees: namesAreText},
		{name: "lone surrogates", body: strings.Replace(string(ivanWith("SURROGATE")), "SURROGATE", `\ud800\udc00 \ud800 \udc00x\ud83d`, 1), ends: "done ", sees: namesAreText},
		{name: "control characters", body: strings.Replace(string(ivanWith("CONTROL")), "CONTROL", `a\u0000b\u0007\r\nc`, 1), ends: "done ", sees: namesAreText},
		{name: "1e999", body: `{"event_name":"created_deal","deal_id":1e999,"client":{"client_id":1e999},"amount":-1e999,"title":1e999,"created_ts":1e999}`, ends: "done |skipped no_target"},
		{name: "1e999 as the time of a message", ends: "done ",
			body: strings.Replace(string(ivan().finished([]m{{"message": "привет", "type": "visitor", "timestamp": 7777777}})), "7777777", "1e999", 1)},
		{name: "duplicate keys", body: `{"event_name":"deleted_client","event_name":"chat_accepted","chat_id":1,"chat_id":10,` +
			`"visitor":{"number":"1","phone":"+79160000001"},"visitor":{"number":"10","phone":"+79160000010","phone":"+79160000011"}}`, ends: "done ", sees: lastKeyWins},
		{name: "nothing", body: "", ends: dead},
		{name: "null", body: "null", ends: dead},
		{name: "a list", body: `[{"event_name":"chat_accepted"}]`, ends: dead},
		{name: "cut off", body: chatOf(`,"odd":"`)[:60], ends: dead},
		{name: "a form", body: "event_name=chat_accepted&chat_id=1", ends: dead},
		{name: "an empty object", body: "{}", ends: "skipped unknown_event"},
	}
}

func ivanWith(name string) []byte {
	p := ivan()
	p.Name = name
	p.Number, p.Chat = p.Number+len(name), p.Chat+len(name)
	return p.accepted()
}

func namesAreText(t *testing.T, w *world) {
	for _, r := range slices.Concat(w.amo.Contacts(), w.amo.Leads()) {
		if !utf8.ValidString(r.Name) || strings.ContainsAny(r.Name, "\x00\a\r\n") || r.Name == "" {
			t.Errorf("a card is named %q", r.Name)
		}
	}
}

func lastKeyWins(t *testing.T, w *world) {
	for _, c := range w.amo.Contacts() {
		if slices.Contains(c.Values("PHONE"), "+79160000011") {
			return
		}
	}
	t.Error("the last of equal keys did not win")
}

// hookOf is the form of a hook about one lead of some account.
func hookOf(account int64, lead int64, status int64) string {
	return url.Values{
		"account[id]": {fmt.Sprint(account)}, "leads[status][0][id]": {fmt.Sprint(lead)}, "leads[status][0][status_id]": {fmt.Sprint(status)},
		"leads[status][0][pipeline_id]": {fmt.Sprint(pipeSales)}, "leads[status][0][last_modified]": {fmt.Sprint(time.Now().Unix() + 60)},
	}.Encode()
}

func badHooks(lead int64) []badInput {
	const dead, foreign = "dead unparsable", "skipped foreign_account"
	const ours = "account[id]=31000001&"
	const either = dead + "|skipped ignored|skipped not_ours"
	return []badInput{
		{name: "another account", body: hookOf(999, lead, stageDeciding), ends: foreign},
		{name: "another account, JSON", body: fmt.Sprintf(`{"account":{"id":"999"},"leads":{"delete":[{"id":%d}]}}`, lead), ends: foreign},
		{name: "index of 501", body: ours + "leads[update][501][id]=1", ends: either},
		{name: "index of 4 billion", body: ours + "leads[update][4294967296][id]=1", ends: either},
		{name: "10,000 entities", body: ours + repeat("leads[update][%d][id]=1&", 10_000), ends: either},
		{name: "4 MiB of keys", body: ours + repeat("leads[update][%d][id]=1&", 4*mebi/28), ends: either},
		{name: "4 MiB of appended values", body: ours + strings.Repeat("leads[]=1&", (4*mebi-100)/10), ends: either},
		{name: "depth of 100,000", body: ours + "leads" + strings.Repeat("[a]", 100_000) + "=1", ends: either},
		{name: "4 MiB of brackets", body: ours + strings.Repeat("[", 4*mebi-100), ends: either},
		{name: "deep JSON", body: `{"account":{"id":31000001},"leads":` + nest(100_000) + `}`, ends: either},
		{name: "4 MiB of nested JSON", body: `{"leads":` + nest(2*mebi-100) + `}`, ends: either},
		{name: "invalid UTF-8", body: ours + "leads[update][0][id]=1&leads[update][0][name]=%ff%fe&%ff[a]=1", ends: either},
		{name: "broken escapes", body: ours + "leads[update][0][id]=%zz&leads[update][0][name]=%", ends: either},
		{name: "lone surrogates and 1e999", body: `{"account":{"id":31000001},"leads":{"update":[{"id":1e999,"name":"\ud800","price":1e999}]}}`, ends: either},
		{name: "duplicate keys", body: ours + "leads[update][0][id]=1&leads[update][0][id]=2&leads=3", ends: either},
		{name: "nothing", body: "", ends: dead},
		{name: "Jivo's", body: string(ivan().accepted()), ends: dead},
	}
}

// repeat prints 0, 1, 2… n times over, without the last separator.
func repeat(format string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return strings.TrimRight(b.String(), "&,")
}

// badInputWithin bounds each of the bodies, answer and settlement together; it
// is a hundred times what the slowest takes.
const badInputWithin = 15 * time.Second

// TestBadInput_IsKeptAndEndsSoon throws bodies at both doors that break parsers:
// each is answered 200 and kept, ends dead or decoded within its time, and the
// bridge works on (issue on every event › Bad input).
func TestBadInput_IsKeptAndEndsSoon(t *testing.T) {
	w := newWorld(t, setup{})
	w.closeBridge()
	w.text = strings.Replace(w.text, "body: 256KiB", "body: 4MiB", 1)
	w.start()
	p := maria()
	w.tell(p.accepted())
	lead := w.oneLead().ID

	for _, door := range []struct {
		source, url, kind string
		inputs            []badInput
	}{
		{"jivo", w.pub + "/jivo/" + e2eName + "/" + e2eSecret, "application/json", badJivo()},
		{"amocrm", w.hookURL(), "application/x-www-form-urlencoded", badHooks(lead)},
	} {
		for _, in := range door.inputs {
			t.Run(door.source+"/"+in.name, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), badInputWithin)
				defer cancel()
				w.throw(t, ctx, door.source, door.url, door.kind, in)
				if in.sees != nil {
					in.sees(t, w)
				}
			})
		}
	}
	if got := w.lead(lead).StatusID; got != stageFirst {
		t.Errorf("the lead stands at %d", got)
	}
	again := w.tell(p.updated())
	holds(t, "the card", again.item("Этап"), "Первичный контакт") // no other account's hook touched it
	w.counted("bridge_events_settled_total", `source="amocrm"`, `state="skipped"`)
	w.counted("bridge_events_received_total", `kind="leads.status"`)
	w.set.dead = w.app.Store().Counts(e2eName).Dead // each was asserted above
}

// throw posts a body, requires 200, and waits for its end.
func (w *world) throw(t *testing.T, ctx context.Context, source, to, kind string, in badInput) {
	t.Helper()
	newest := w.events("limit=1&source=" + source)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, strings.NewReader(in.body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", kind)
	res, err := w.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("answered %s, %q (%v)", res.Status, answer, err)
	}
	if source == "jivo" && !json.Valid(answer) || source == "amocrm" && len(bytes.TrimSpace(answer)) > 0 {
		t.Errorf("answered %q", answer)
	}
	tick := time.NewTicker(3 * time.Millisecond)
	defer tick.Stop()
	for {
		got := w.events("limit=1&source=" + source)
		if len(got) == 1 && (len(newest) == 0 || got[0].Seq > newest[0].Seq) && got[0].State != "pending" {
			if end := got[0].State + " " + got[0].Reason; !slices.Contains(strings.Split(in.ends, "|"), end) {
				t.Errorf("it is %s, want %s", end, in.ends)
			}
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("it was not settled in time: %+v", got)
		case <-tick.C:
		}
	}
}

// counted requires that some line of a metric with these labels is not zero.
func (w *world) counted(metric string, labels ...string) {
	w.t.Helper()
	for line := range strings.Lines(w.raw("GET", w.admin+"/metrics", "")) {
		with := strings.HasPrefix(line, metric+"{") && !strings.HasSuffix(strings.TrimSpace(line), " 0")
		for _, l := range labels {
			with = with && strings.Contains(line, l)
		}
		if with {
			return
		}
	}
	w.t.Errorf("no %s with %s", metric, labels)
}
