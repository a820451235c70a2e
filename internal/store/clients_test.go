package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/jivo-amocrm/bridge/internal/event"
)

func TestClient_UnknownIsBlank(t *testing.T) {
	s := open(t, Options{})
	view(t, s, func(tx *Tx) {
		if diff := cmp.Diff(&event.Client{ID: "7"}, tx.Client("shop", "7")); diff != "" {
			t.Error(diff)
		}
		if tx.HasClient("shop", "7") {
			t.Error("known")
		}
	})
	err := s.Update(context.Background(), func(tx *Tx) error { return tx.PutClient("shop", &event.Client{}) })
	if err == nil {
		t.Error("a client without an id was stored")
	}
}

func TestClient_UnreadableRecordFailsTheTransaction(t *testing.T) {
	s := open(t, Options{})
	update(t, s, func(tx *Tx) error {
		return tx.put(bucketClients, Key("shop", "7"), []byte("\x01{\"linked_at\":\"+79991112233\"}"))
	})
	var got *event.Client
	err := s.View(func(tx *Tx) error { got = tx.Client("shop", "7"); return nil })
	if !errors.Is(err, ErrCorrupt) || got == nil {
		t.Errorf("%v, %v", got, err)
	}
	if strings.Contains(fmt.Sprint(err), "7999") {
		t.Errorf("the error quotes the record: %v", err)
	}
	if err := s.Writable(context.Background()); err != nil {
		t.Errorf("one bad record stopped the store: %v", err)
	}
}

// The look-ups by phone, e-mail, contact, lead and chat against the pictures
// themselves, while clients are written, linked anew and forgotten.
func TestClient_LookupsModel(t *testing.T) {
	s := open(t, Options{})
	long := strings.Repeat("long", 100) // beyond what a key holds
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		conn := fmt.Sprint("c", run)
		ids := []string{"7", "77", "a\x00b", long}
		phones := []string{"+7999", "+79991", "x\x01y"}
		chats := []string{"1", "11"}
		model := map[string]*event.Client{}
		draw := func(id string) *event.Client {
			c := &event.Client{
				ID:        id,
				Phones:    rapid.SliceOfNDistinct(rapid.SampledFrom(phones), 0, 2, rapid.ID).Draw(rt, "phones"),
				Emails:    rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a@b", "c@d"}), 0, 2, rapid.ID).Draw(rt, "emails"),
				ContactID: rapid.Int64Range(0, 2).Draw(rt, "contact"),
			}
			for range rapid.IntRange(0, 2).Draw(rt, "leads") {
				l := event.Link{LeadID: rapid.Int64Range(1, 3).Draw(rt, "lead")}
				if id == "7" { // a chat is one client's
					l.Chats = rapid.SliceOfNDistinct(rapid.SampledFrom(chats), 0, 2, rapid.ID).Draw(rt, "chats")
				}
				c.Leads = append(c.Leads, l)
			}
			return c
		}
		for range rapid.IntRange(1, 8).Draw(rt, "steps") {
			id := rapid.SampledFrom(ids).Draw(rt, "id")
			if rapid.IntRange(0, 4).Draw(rt, "op") == 0 {
				update(t, s, func(tx *Tx) error { return tx.Forget(conn, id) })
				delete(model, id)
				continue
			}
			model[id] = draw(id)
			update(t, s, func(tx *Tx) error { return tx.PutClient(conn, model[id]) })
		}
		who := func(has func(*event.Client) bool) []string {
			var found []string
			for id, c := range model {
				if has(c) {
					found = append(found, id)
				}
			}
			slices.Sort(found)
			return found
		}
		same := func(what string, got, want []string) {
			slices.Sort(got)
			if !slices.Equal(got, want) {
				rt.Fatalf("%s: got %q, want %q", what, got, want)
			}
		}
		err := s.View(func(tx *Tx) error {
			for _, p := range phones {
				same("phone "+p, tx.ClientsByPhone(conn, p), who(func(c *event.Client) bool { return slices.Contains(c.Phones, p) }))
			}
			for _, e := range []string{"a@b", "c@d"} {
				same("e-mail "+e, tx.ClientsByEmail(conn, e), who(func(c *event.Client) bool { return slices.Contains(c.Emails, e) }))
			}
			for n := int64(1); n <= 3; n++ {
				same("contact", tx.ClientsByContact(conn, n), who(func(c *event.Client) bool { return c.ContactID == n }))
				same("lead", tx.ClientsByLead(conn, n), who(func(c *event.Client) bool {
					return slices.ContainsFunc(c.Leads, func(l event.Link) bool { return l.LeadID == n })
				}))
			}
			var seen []string
			err := tx.EachClient(conn, func(c *event.Client) bool { seen = append(seen, c.ID); return true })
			same("all", seen, slices.Sorted(maps.Keys(model)))
			return err
		})
		if err != nil {
			rt.Fatal(err)
		}
	})
}

func TestDirectory_KeysAreReplacedAndHashed(t *testing.T) {
	s := open(t, Options{})
	set := func(id int64, keys ...string) {
		t.Helper()
		update(t, s, func(tx *Tx) error { return tx.SetContactKeys("a.amocrm.ru", id, keys) })
	}
	expect := func(key string, want ...int64) {
		t.Helper()
		view(t, s, func(tx *Tx) {
			if got := tx.ContactsBy("a.amocrm.ru", key); !slices.Equal(got, want) {
				t.Errorf("%s: %v, want %v", key, got, want)
			}
			if got := tx.ContactsBy("b.amocrm.ru", key); got != nil {
				t.Errorf("%s is found in another account: %v", key, got)
			}
		})
	}
	set(1, "p:+79991112233", "e:anna@example.com")
	set(2, "p:+79991112233")
	expect("p:+79991112233", 1, 2)
	expect("e:anna@example.com", 1)
	set(1, "e:anna@example.com", "p:+7000")
	expect("p:+79991112233", 2)
	expect("p:+7000", 1)
	if out := dump(t, s); strings.Contains(out, "+7999") || strings.Contains(out, "anna") {
		t.Error("a phone or e-mail is readable in the directory")
	}
	add := func(id int64, keys ...string) {
		t.Helper()
		update(t, s, func(tx *Tx) error { return tx.AddContactKeys("a.amocrm.ru", id, keys) })
	}
	add(1, "p:+7001", "p:+7000") // beside those it has
	add(1)
	expect("e:anna@example.com", 1)
	expect("p:+7000", 1)
	expect("p:+7001", 1)
	set(1)
	set(2)
	set(3)
	expect("p:+7001")
	expect("e:anna@example.com")
	view(t, s, func(tx *Tx) {
		if left := append(tx.keys(bucketDirectory, ""), tx.keys(bucketContactKeys, "")...); left != nil {
			t.Errorf("left over: %q", left)
		}
	})
}

func TestGeneric_RecordsByPrefix(t *testing.T) {
	type rec struct{ N int }
	s := open(t, Options{})
	update(t, s, func(tx *Tx) error {
		for i, key := range []string{Key("shop", "a"), Key("shop", "b"), Key("shop2", "a"), Key("sho", "p")} {
			if err := Set(tx, Cards, key, rec{i}); err != nil {
				return err
			}
		}
		return errors.Join(Delete(tx, Cards, Key("shop", "b")), Delete(tx, Cards, "never there"))
	})
	view(t, s, func(tx *Tx) {
		v, ok, err := Get[rec](tx, Cards, Key("shop", "a"))
		if err != nil || !ok || v.N != 0 {
			t.Errorf("got %v %v %v", v, ok, err)
		}
		if _, ok, err := Get[rec](tx, Cards, Key("shop", "b")); ok || err != nil {
			t.Errorf("deleted: %v %v", ok, err)
		}
		if _, ok, _ := Get[rec](tx, Chats, Key("shop", "a")); ok {
			t.Error("found in another bucket")
		}
		var keys []string
		if err := Each(tx, Cards, Key("shop", ""), func(key string, _ rec) bool { keys = append(keys, key); return true }); err != nil {
			t.Error(err)
		}
		if !slices.Equal(keys, []string{Key("shop", "a")}) {
			t.Errorf("under shop: %q", keys)
		}
		if _, _, err := Get[rec](tx, "meta", "format"); !errors.Is(err, errBucket) {
			t.Errorf("a bucket of the store's own: %v", err)
		}
	})
}

func TestKey_DifferentPartsDifferentKeys(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		letters := rapid.SliceOfN(rapid.StringOfN(rapid.SampledFrom([]rune("a\x00\x01\x02\x03")), 0, 4, -1), 1, 3)
		a, b := letters.Draw(rt, "a"), letters.Draw(rt, "b")
		if (Key(a...) == Key(b...)) != slices.Equal(a, b) {
			rt.Fatalf("%q and %q give %q and %q", a, b, Key(a...), Key(b...))
		}
		if !slices.Equal(Parts(Key(a...)), a) {
			rt.Fatalf("%q comes back as %q", a, Parts(Key(a...)))
		}
		if slices.Equal(a, b[:min(len(a), len(b))]) && len(b) > len(a) && !strings.HasPrefix(Key(b...), Key(append(slices.Clone(a), "")...)) {
			rt.Fatalf("%q is not under %q", b, a)
		}
	})
	huge := strings.Repeat("x", 1<<20)
	if n := len(Key("shop", huge)); n > 1000 {
		t.Errorf("a key of %d bytes", n)
	}
	if Key(huge) == Key(huge+"y") {
		t.Error("overlong parts collide")
	}
}
