package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jivo-amocrm/bridge/internal/event"
)

var updateGolden = flag.Bool("update", false, "write the golden files of the current version")

// goldenEvent has every field of an event set.
func goldenEvent() *event.Event {
	return &event.Event{
		Seq: 1, Connection: "shop", Source: event.Jivo, Kind: "chat_finished", Client: "7", Chat: "c1", Line: "7", ReceivedAt: t0,
		State: event.Pending, Reason: event.GaveUp, Detail: "detail", NextAt: t0.Add(time.Minute), SettledAt: t0.Add(time.Hour),
		Attempts: 3, Waited: time.Second, Overdue: true, Detached: true, Frozen: true,
		Coercions: []string{"agent.id: string for number"}, Warnings: []string{"ambiguous_contact"},
		Rules:   []event.RuleTrace{{Rule: "transcript", Matched: true, Why: "why"}},
		Contact: &event.Match{ID: 5, By: "phone", Why: "why", Created: true}, Lead: &event.Match{ID: 6, By: "chat"},
		Changes: []event.Change{{
			Key: "1 create lead", Op: event.OpCreate, Target: event.OnLead, Rule: "r", State: event.Sent, AmoID: 6,
			EntityType: "leads", EntityID: 6, Item: json.RawMessage(`{"name":"Чат"}`), Marker: "jv-c7@shop", Jivo: "t1",
			SentAt: t0, LookedAt: t0, Looks: 1, Error: "error",
		}},
		Requests: []event.Request{{At: t0, Method: "POST", Path: "/api/v4/leads/complex", Status: 200, Seconds: 0.25, Answer: "no"}},
		Again:    true, Replays: 1, BodySize: 29,
	}
}

func goldenClient() *event.Client {
	return &event.Client{
		ID: "7", Name: "Иван", Phones: []string{"+79991112233"}, Emails: []string{"ivan@example.com"}, Description: "d", Company: "c",
		Tags: []string{"vip"}, Responsible: event.Agent{ID: "1", Email: "a@example.com", Name: "Анна"}, Category: "new",
		Attributes: map[string]string{"k": "v"}, Widget: "3948", Described: true, Blacklisted: true,
		FirstTouch: &event.Touch{At: t0, UTM: map[string]string{"source": "s"}, Page: "p", Title: "t", City: "Москва", Country: "RU"},
		Held:       []event.Held{{Chat: "c0", Seq: 1, Text: "text", At: t0}}, ContactID: 5, LinkedAt: t0,
		Leads:    []event.Link{{LeadID: 6, Made: "chat", At: t0, Chats: []string{"c1"}, Deal: "d1"}},
		InfoChat: "c1", CompanyID: 8, Accepted: t0, UpdatedAt: t0, ReceivedAt: t0,
	}
}

func goldenSighting() sighting {
	return sighting{at: t0.Unix(), seq: 1, value: hash("value")}
}

// golden compares b with a file of testdata, which -update writes.
func golden(t *testing.T, name string, b []byte) []byte {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *updateGolden && b != nil {
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, b, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return want
}

func TestRecord_V1StaysReadable(t *testing.T) {
	dir := fmt.Sprintf("records/v%d/", recordVersion)
	for name, want := range map[string]any{"event": goldenEvent(), "client": goldenClient()} {
		rec, err := encode(want)
		if err != nil {
			t.Fatal(err)
		}
		file := golden(t, dir+name, rec)
		if !bytes.Equal(file, rec) {
			t.Errorf("%s is written otherwise than version 1 was:\n%s\n%s", name, rec, file)
		}
		got := any(new(event.Event))
		if name == "client" {
			got = new(event.Client)
		}
		if err := decode(file, got); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	file := golden(t, "records/v2/sighting", goldenSighting().encode())
	if got, err := decodeSighting(file); err != nil || got != goldenSighting() {
		t.Errorf("sighting: %+v, %v", got, err)
	}
}

// A digest that came out differently would make every known key new.
func TestHash_StaysTheSame(t *testing.T) {
	if got := fmt.Sprintf("%x", hash("shop", "accepted|7|anna")); got != string(golden(t, "records/v1/hash", []byte(got))) {
		t.Errorf("hash is %s", got)
	}
}

func TestRecord_OfAnotherVersionIsRefused(t *testing.T) {
	for _, rec := range [][]byte{nil, {}, {0}, {recordVersion + 1, '{', '}'}, []byte("{}")} {
		if err := decode(rec, new(event.Event)); !errors.Is(err, errRecord) {
			t.Errorf("%q: %v", rec, err)
		}
		if _, err := decodeSighting(rec); !errors.Is(err, errRecord) {
			t.Errorf("sighting %q: %v", rec, err)
		}
	}
}

// The store file of every version opens, is brought up to date and works.
func TestStore_FilesOfEveryVersion(t *testing.T) {
	if *updateGolden {
		golden(t, fmt.Sprintf("stores/v%d.db", fileVersion), goldenStore(t))
	}
	for v := 1; v <= fileVersion; v++ {
		path := filepath.Join(t.TempDir(), "bridge.db")
		if err := os.WriteFile(path, golden(t, fmt.Sprintf("stores/v%d.db", v), nil), 0o600); err != nil {
			t.Fatal(err)
		}
		s := open(t, Options{Path: path})
		verifyIndexes(t, s)
		want := goldenEvent()
		want.Seq = 2
		if diff := cmp.Diff(want, read(t, s, 2)); diff != "" {
			t.Errorf("v%d: event (-want +got):\n%s", v, diff)
		}
		view(t, s, func(tx *Tx) {
			if diff := cmp.Diff(goldenClient(), tx.Client("shop", "7")); diff != "" {
				t.Errorf("v%d: client (-want +got):\n%s", v, diff)
			}
			if tx.Body(1) == nil || len(tx.ClientsByPhone("shop", "+79991112233")) != 1 || len(tx.ContactsBy("a.amocrm.ru", "p:+7")) != 1 {
				t.Errorf("v%d: something is not found", v)
			}
			if card, ok, err := Get[event.LeadCard](tx, Cards, Key("shop", "lead", "6")); !ok || err != nil || card.Lead.ID != 6 {
				t.Errorf("v%d: card %+v %v", v, card, err)
			}
		})
		if a := mustAppend(t, s, deduped("task|1", "x", "")); !a.Repeat || a.Of != 1 || a.Seq != 3 {
			t.Errorf("v%d: append %+v", v, a)
		}
		mustAppend(t, s, deduped("other", "", "task|"))
		if mustAppend(t, s, deduped("task|1", "x", "")).Repeat {
			t.Errorf("v%d: the part of the key it can be cleared by was lost", v)
		}
		if got := purgeAt(t, s, Retention{Dedup: time.Hour}, time.Now().Add(40*24*time.Hour)); got.Dedup != 2 {
			t.Errorf("v%d: %+v: the day of a key was lost", v, got)
		}
	}
}

// goldenStore makes the file of the current version.
func goldenStore(t *testing.T) []byte {
	s := open(t, Options{Now: func() time.Time { return t0 }})
	mustAppend(t, s, deduped("task|1", "x", ""))
	ev := goldenEvent()
	mustAppend(t, s, event.Incoming{Event: *ev, Body: make([]byte, ev.BodySize)})
	update(t, s, func(tx *Tx) error {
		return errors.Join(
			tx.PutClient("shop", goldenClient()),
			tx.SetContactKeys("a.amocrm.ru", 5, []string{"p:+7"}),
			Set(tx, Cards, Key("shop", "lead", "6"), event.LeadCard{Lead: event.Lead{ID: 6}}))
	})
	var b bytes.Buffer
	if _, err := s.Backup(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func FuzzRecord(f *testing.F) {
	rec, err := encode(goldenEvent())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(rec)
	f.Add(goldenSighting().encode())
	f.Add([]byte{recordVersion})
	f.Fuzz(func(t *testing.T, rec []byte) {
		if s, err := decodeSighting(rec); err == nil && !bytes.Equal(s.encode(), rec) {
			t.Errorf("%x is read as %+v", rec, s)
		}
		ev := new(event.Event)
		if decode(rec, ev) != nil {
			return
		}
		again, err := encode(ev)
		if err != nil {
			return // what JSON lets in, e.g. years beyond 9999, need not go out again
		}
		back := new(event.Event)
		if err := decode(again, back); err != nil {
			t.Errorf("%q does not come back: %v", again, err)
		}
		third, err := encode(back)
		if err != nil || !bytes.Equal(again, third) {
			t.Errorf("not stable: %q, %q, %v", again, third, err)
		}
	})
}

func FuzzPages(f *testing.F) {
	whole := func() []byte {
		dir := f.TempDir()
		s, err := Open(Options{Path: filepath.Join(dir, "bridge.db")})
		if err != nil {
			f.Fatal(err)
		}
		fill(f, s, 40, func(int, *event.Incoming) {})
		var b bytes.Buffer
		if _, err := s.Backup(&b); err != nil {
			f.Fatal(err)
		}
		_ = s.Close()
		return b.Bytes()
	}()
	if err := checkPages(bytes.NewReader(whole), int64(len(whole))); err != nil {
		f.Fatal(err)
	}
	f.Add(uint32(3*4096), []byte{1, 2, 3, 4})
	f.Add(uint32(16), []byte{0xff})
	f.Fuzz(func(t *testing.T, at uint32, patch []byte) {
		b := bytes.Clone(whole)
		copy(b[int(at)%len(b):], patch)
		_ = checkPages(bytes.NewReader(b), int64(len(b))) // neither panics nor hangs
	})
}
