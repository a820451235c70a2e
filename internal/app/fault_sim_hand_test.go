package app_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jivo-amocrm/bridge/internal/app"
	"github.com/jivo-amocrm/bridge/internal/event"
)

// hand is somebody who works at the running bridge through its admin listener: replays
// of one event or all, with and without `again`, discards, people forgotten, reloads
// with other rules or another secret, imports of what arrived and of what did not,
// backups, syncs of the contacts.
//
// What must hold then (product.md §4, §8), beside what holds without them:
//
//   - An intent is carried out once, and once more at most for each replay that asked for
//     it (`again`). Without `again` a replay repeats nothing that is settled, and every
//     entity of amoCRM is named by one change of the ledger.
//   - A person who is forgotten loses what waits for them, and nothing else is lost: what
//     they said stands in amoCRM at most once. What had left for amoCRM at that moment,
//     and had no answer, may stand there without anybody knowing; their next chat,
//     or that of somebody with their phone, may then make a second contact and lead.
//     Nothing else of theirs is doubled: the contact is found by phone, the lead by it.
//   - What was discarded, and not replayed since, need not stand.
//   - What arrived is not taken again by an import, unless its person was forgotten; what
//     did not arrive is carried out once, and takes nothing newer back.
//   - Replayed events come out of their order by request; in lines where nothing was
//     replayed or imported the order stands, and of deals nobody replayed the last amount.
//   - Nothing waits for ever; indexes, counts and metrics agree; a backup is a sound store.
type hand struct {
	sent     []sentBody              // what was posted, taken or not, in the order of the plan
	owner    map[string]string       // unique text → client
	gone     map[string]bool         // clients that were forgotten at some time
	again    map[uint64]bool         // events that were replayed so
	doors    int                     // how many secrets there have been
	both     bool                    // the last two of them are let in
	orphan   map[event.Target]int    // what forgotten events had sent
	half     map[string]bool         // clients who were forgotten while their contact or lead was being made
	phones   map[string]bool         // theirs
	told     map[string][]uint64     // unique text → events that tell it
	by       map[made]uint64         // the event that made an entity
	lines    map[string]lineTouched  // by line
	byID     map[uint64]*event.Event // the journal
	replayed map[string]bool         // chats of which an event was replayed
}

type sentBody struct {
	body []byte
	at   time.Time
}

// lineTouched says what happened to events of a line.
type lineTouched struct{ replayed, imported, forgotten bool }

func newHand() *hand {
	return &hand{owner: map[string]string{}, gone: map[string]bool{}, again: map[uint64]bool{}}
}

// owns remembers who says a text.
func (s *sim) owns(text string, p *simPerson) {
	if s.hand != nil {
		s.hand.owner[text] = strconv.Itoa(p.Number)
	}
}

// posts remembers a body that is posted.
func (s *sim) posts(body []byte) {
	if s.hand != nil {
		s.hand.sent = append(s.hand.sent, sentBody{body, time.Now()})
	}
}

// integrate does one thing by hand; often while something is under way.
func (s *sim) integrate() {
	if s.rnd.IntN(2) == 0 {
		s.talk()
		s.rest(time.Duration(s.rnd.ExpFloat64() * float64(time.Second)))
	}
	switch n := s.rnd.IntN(20); {
	case n < 5:
		s.replayOne()
	case n < 7:
		s.replayMany()
	case n < 8:
		s.discard()
	case n < 11:
		s.forgetOne()
	case n < 14:
		s.newRules()
	case n < 15:
		s.newSecret()
	case n < 18:
		s.imports()
	case n < 19:
		s.backup()
	default:
		s.note("contacts sync")
		s.posting.Go(func() { s.ask(http.MethodPost, "/api/v1/contacts/"+e2eName+"/sync", nil) })
	}
}

// ask makes a request to the admin listener; status 0: no answer.
func (s *sim) ask(method, path string, body []byte) (status int, answer []byte) {
	l, life := s.l, s.l.which()
	ctx, cancel := context.WithTimeout(l.t.Context(), 5*time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://127.0.0.1"+path, bytes.NewReader(body))
	if err != nil {
		l.t.Error(err)
		return 0, nil
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := (&http.Transport{DialContext: l.desk.dial, DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		return 0, nil
	}
	defer res.Body.Close()
	answer, err = io.ReadAll(res.Body)
	if err != nil || life != l.which() {
		return 0, nil
	}
	if known := []int{http.StatusOK, http.StatusNotFound, http.StatusConflict, http.StatusBadGateway}; !slices.Contains(known, res.StatusCode) {
		l.t.Errorf("%s %s: %s %s", method, path, res.Status, answer)
	}
	return res.StatusCode, answer
}

// do is ask, half of the time beside what follows.
func (s *sim) do(method, path string, body []byte) {
	if s.rnd.IntN(2) == 0 {
		s.ask(method, path, body)
		return
	}
	s.posting.Go(func() { s.ask(method, path, body) })
}

// journal lists events of Jivo as the API does.
func (s *sim) journal(query string) (seqs []uint64) {
	_, raw := s.ask(http.MethodGet, "/api/v1/events?connection="+e2eName+"&source=jivo&limit=500"+query, nil)
	var page struct{ Events []struct{ Seq uint64 } }
	_ = json.Unmarshal(raw, &page) // no answer: none
	for _, ev := range page.Events {
		seqs = append(seqs, ev.Seq)
	}
	return seqs
}

func (s *sim) replayOne() {
	query := []string{"&state=dead", "&state=done", "&state=done", "&state=skipped", ""}[s.rnd.IntN(5)]
	n, again, times := s.rnd.IntN(1<<20), s.rnd.IntN(3) == 0, 1+s.rnd.IntN(2)
	seqs := s.journal(query)
	if len(seqs) == 0 {
		return
	}
	if n%2 == 0 {
		seqs = seqs[:min(len(seqs), 4)] // of what is new more may be under way
	}
	seq := seqs[n/2%len(seqs)]
	if again {
		s.hand.again[seq] = true
	}
	s.note("replay of %d, again %v, ×%d", seq, again, times)
	for range times {
		s.do(http.MethodPost, fmt.Sprintf("/api/v1/events/%d/replay", seq), fmt.Appendf(nil, `{"again":%v}`, again))
	}
}

func (s *sim) replayMany() {
	what := []string{`"state":"dead"`, `"state":"dead","reason":"refused"`, `"state":"done"`, `"state":"skipped"`}[s.rnd.IntN(4)]
	again := s.rnd.IntN(4) == 0
	if again {
		for _, seq := range s.journal("") {
			s.hand.again[seq] = true
		}
	}
	s.note("replay of all %s, again %v", what, again)
	s.do(http.MethodPost, "/api/v1/replay", fmt.Appendf(nil, `{"connection":%q,%s,"again":%v}`, e2eName, what, again))
}

func (s *sim) discard() {
	n, seqs := s.rnd.IntN(1<<20), s.journal("&state=dead")
	if len(seqs) == 0 {
		return
	}
	seq := seqs[n%len(seqs)]
	s.note("discard of %d", seq)
	s.do(http.MethodPost, fmt.Sprintf("/api/v1/events/%d/discard", seq), nil)
}

func (s *sim) forgetOne() {
	if len(s.people) == 0 {
		return
	}
	p := s.people[s.rnd.IntN(len(s.people))]
	if s.rnd.IntN(2) == 0 { // of whom something may be under way
		p = s.people[len(s.people)-1]
	}
	s.note("client %d is forgotten", p.Number)
	s.mu.Lock()
	p.met = false
	s.hand.gone[strconv.Itoa(p.Number)] = true
	s.mu.Unlock()
	s.do(http.MethodDelete, fmt.Sprintf("/api/v1/clients/%s/%d", e2eName, p.Number), nil)
}

// handRules stands before the rules in the config, so that they can be replaced.
const handRules = "    # by hand\n"

// handNote and handTask begin what the integrator's own rules write.
const handNote, handTask = "Замечено:", "Проверить по правилу"

// newRules reloads with other rules: the built-in ones, some of it changed, or more.
func (s *sim) newRules() {
	stage := []string{"", "Переговоры", "Принимают решение"}[s.rnd.IntN(3)]
	lead := []string{"fill", "fill", "overwrite", "never"}[s.rnd.IntN(4)]
	contact := []string{"fill", "fill", "overwrite"}[s.rnd.IntN(3)]
	more, asBuilt := s.rnd.IntN(4), s.rnd.IntN(4) == 0
	text, _, _ := strings.Cut(s.l.text, handRules)
	s.note("reload: stage %q, contact %s, lead %s, more %d, as built in %v", stage, contact, lead, more, asBuilt)
	if !asBuilt {
		rules := exampleRules()
		chat, rest, _ := strings.Cut(rules, "      - name: a new client is a lead\n")
		toContact, toLead, _ := strings.Cut(chat, "        lead:\n")
		toContact = strings.Replace(toContact, "update: fill", "update: "+contact, 1)
		toLead = strings.Replace(toLead, "update: fill", "update: "+lead, 1)
		if stage != "" {
			toLead = strings.Replace(toLead, "          create: true\n", "          create: true\n          stage: "+stage+"\n", 1)
		}
		text += handRules + toContact + "        lead:\n" + toLead + "      - name: a new client is a lead\n" + rest
		if more&1 != 0 {
			text += "      - name: noticed\n        on: [chat_finished, offline_message]\n        note: {to: lead, text: '" + handNote + " {{ chat_id }}'}\n"
		}
		if more&2 != 0 {
			text += "      - name: to look at\n        on: [chat_finished, chat_accepted]\n        task: {to: lead, text: '" + handTask + "', due: 1h, once: true}\n"
		}
	}
	s.takeOver(text)
}

// takeOver reloads with a config, which must be a good one.
func (s *sim) takeOver(text string) {
	if _, err := parse(text); err != nil {
		s.l.t.Fatalf("%v\n%s", err, text)
	}
	s.l.text = text
	s.l.app.Reload()
}

// exampleRules are those of config.example.yaml, which a test keeps equal to the built-in ones.
var exampleRules = sync.OnceValue(func() string {
	raw, err := os.ReadFile("../../config.example.yaml")
	if err != nil {
		panic(err) // of the repository
	}
	_, rules, _ := strings.Cut(string(raw), "    rules:\n")
	rules, _, _ = strings.Cut(rules, "    builtin:")
	return "    rules:\n" + rules
})

var secretLine = regexp.MustCompile(`jivo: \{secret: [^}]*\}`)

// newSecret rotates the secret of Jivo's door: first both are let in, then the new one alone.
func (s *sim) newSecret() {
	name := func(n int) string {
		if n == 0 {
			return e2eSecret
		}
		return fmt.Sprintf("jivo-secret-no-%02d-of-many", n)
	}
	h := s.hand
	let := name(h.doors)
	if h.both = !h.both; h.both {
		h.doors++
		let = "[" + name(h.doors) + ", " + let + "]"
		s.l.setSecret(name(h.doors - s.rnd.IntN(2)))
	} else {
		s.l.setSecret(name(h.doors))
	}
	s.note("reload: secrets %d, both %v", h.doors, h.both)
	s.takeOver(secretLine.ReplaceAllString(s.l.text, "jivo: {secret: "+let+"}"))
}

// imports feeds bodies that arrived before, or some that did not.
func (s *sim) imports() {
	if s.rnd.IntN(2) == 0 {
		s.importOld()
		return
	}
	p := s.someone()
	at := time.Now().Add(-time.Duration(s.rnd.ExpFloat64() * float64(20*time.Minute)))
	raw := s.rnd.IntN(3) == 0
	put := func(body []byte, text, what string) {
		line := app.ImportLine{Body: string(body), At: at}
		if raw {
			line.File, line.At = time.Now(), time.Now()
		}
		at = at.Add(time.Second)
		s.hand.sent = append(s.hand.sent, sentBody{body, at})
		if n, ok := s.feed(line); ok && text != "" && n.Taken == 1 {
			s.mu.Lock()
			s.once[text] = what
			s.taken[string(body)] = true
			s.mu.Unlock()
		}
	}
	kind := s.rnd.IntN(5)
	s.note("import of news of client %d, kind %d, raw %v", p.Number, kind, raw)
	switch kind {
	case 0:
		p.NewChat()
		text := s.unique("Перезвоните, из файла")
		s.owns(text, p)
		put(p.Offline(text), text, "message")
		p.NewChat()
	case 1:
		p.NewChat()
		text := s.unique("Вопрос из файла")
		s.owns(text, p)
		put(p.Accepted(), "", "")
		p.Say(text, "Отвечаю")
		put(p.Finished("", false), text, "transcript")
		p.NewChat()
	case 2:
		if p.deal.ID != 0 {
			amount, d := 1+s.rnd.IntN(100000), p.deal
			d.Amount = &amount
			put(p.UpdatedDeal(d), "", "")
		}
	case 3:
		p.NewChat()
		for _, b := range p.Call("incoming", s.rnd.IntN(2) == 0) {
			put(b, "", "")
		}
		p.NewChat()
	default:
		put(p.ClientUpdated(), "", "")
	}
}

// importOld feeds what was posted before: what arrived is not taken again.
func (s *sim) importOld() {
	if len(s.hand.sent) == 0 {
		return
	}
	var lines []app.ImportLine
	from := s.rnd.IntN(len(s.hand.sent))
	raw, file, arrived := s.rnd.IntN(2) == 0, time.Now(), true
	s.mu.Lock()
	for i, b := range s.hand.sent[from:min(len(s.hand.sent), from+1+s.rnd.IntN(8))] {
		line := app.ImportLine{Body: string(b.body), At: b.at}
		if raw {
			line.File, line.At = file, file.Add(time.Duration(i))
		}
		arrived = arrived && s.taken[string(b.body)] && !s.hand.gone[clientOfBody(string(b.body))]
		lines = append(lines, line)
	}
	s.mu.Unlock()
	s.note("import of %d that were posted, raw %v, arrived %v", len(lines), raw, arrived)
	if n, ok := s.feed(lines...); ok && arrived && n.Taken > 0 {
		s.l.t.Errorf("an import took what had arrived: %+v", n)
		for _, l := range lines {
			s.l.t.Logf("%v %v %s\n%s", l.At, l.File, l.Body, s.story(l.Body))
		}
	}
}

// feed imports lines as the command does.
func (s *sim) feed(lines ...app.ImportLine) (n app.ImportCounts, ok bool) {
	var zip bytes.Buffer
	w := gzip.NewWriter(&zip)
	for _, l := range lines {
		if err := json.NewEncoder(w).Encode(l); err != nil {
			s.l.t.Fatal(err)
		}
		s.l.seen.Learn([]byte(l.Body))
	}
	if err := w.Close(); err != nil {
		s.l.t.Fatal(err)
	}
	status, raw := s.ask(http.MethodPost, "/api/v1/import/"+e2eName, zip.Bytes())
	return n, status == http.StatusOK && json.Unmarshal(raw, &n) == nil
}

// backup takes a copy of the running store, which must be a sound one.
func (s *sim) backup() {
	s.note("backup")
	status, raw := s.ask(http.MethodPost, "/api/v1/backup", nil)
	if status != http.StatusOK {
		return
	}
	path := filepath.Join(filepath.Dir(s.l.dir), "copy.db")
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		s.l.t.Error(err)
		return
	}
	defer os.Remove(path)
	s.file(path)
}
