package app

import (
	"os"
	"slices"
	"testing"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm/dict"
	"github.com/jivo-amocrm/bridge/internal/config"
	"github.com/jivo-amocrm/bridge/internal/delivery"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/jivo"
	"github.com/jivo-amocrm/bridge/internal/mapping"
)

// configured is a connection read from a config of this account and these lines.
func configured(t *testing.T, account, amocrm, lines string) *config.Connection {
	t.Helper()
	cfg, problems := config.Parse("c.yaml", []byte(`connections:
  shop:
    jivo: {secret: ["jivo-secret-0123456789", "jivo-before-0123456789"], channels: ["3948"]}
    amocrm:
      account: `+account+`
      webhook_secret: ["hook-secret-0123456789", "hook-before-0123456789"]
      token: tok
`+amocrm+lines), os.LookupEnv, os.ReadFile, config.Vocabulary{Kinds: jivo.Kinds(), Schema: jivo.Schema})
	if problems != nil {
		t.Fatal(problems)
	}
	return cfg.Connections[0]
}

func moscow() *dict.Snapshot {
	return &dict.Snapshot{AccountID: 1, Country: "ru", Timezone: "Europe/Moscow"}
}

// What the account's country and clock are holds for a connection that names none of
// its own: its phones, its times.
func TestConnection_RegionAndZoneAreTheAccountsUnlessNamed(t *testing.T) {
	phone := func(d *delivery.Connection) string {
		m, err := jivo.Decode([]byte(`{"event_name":"chat_accepted","chat_id":1,"visitor":{"number":"7","phone":"8 916 000-00-01"}}`))
		if err != nil {
			t.Fatal(err)
		}
		in := &mapping.Input{Kind: m.Kind, Fields: m.Fields, Client: &event.Client{ID: "7"}, Received: time.Now()}
		plan, err := d.Program.Plan(in)
		if err != nil {
			t.Fatal(err)
		}
		want, err := d.Program.Desired(in, plan, event.CRM{})
		if err != nil || len(want.Contact.Phones) != 1 {
			t.Fatalf("%+v, %v", want.Contact, err)
		}
		return want.Contact.Phones[0]
	}
	for name, c := range map[string]struct {
		lines              string
		dict               *dict.Snapshot
		region, zone, tell string
	}{
		"the account's":       {"", moscow(), "RU", "Europe/Moscow", "+79160000001"},
		"its own":             {"    region: KZ\n    timezone: Asia/Almaty\n", moscow(), "KZ", "Asia/Almaty", "+79160000001"},
		"no dictionary":       {"", nil, "", "UTC", "89160000001"},
		"its own without one": {"    region: RU\n    timezone: Asia/Almaty\n", nil, "RU", "Asia/Almaty", "+79160000001"},
		"an account nowhere":  {"", &dict.Snapshot{AccountID: 1}, "", "UTC", "89160000001"},
	} {
		d := delivered(configured(t, "https://demo.amocrm.ru", "", c.lines), &account{}, c.dict)
		if d.Region != c.region || d.Location.String() != c.zone || phone(d) != c.tell {
			t.Errorf("%s: region %q, zone %v, phone %s", name, d.Region, d.Location, phone(d))
		}
		if s := d.Shaper(c.dict); s.Region != c.region || s.Location.String() != c.zone {
			t.Errorf("%s: items are written with region %q, zone %v", name, s.Region, s.Location)
		}
		if d.Waiting != (c.dict == nil) {
			t.Errorf("%s: waits for the dictionary: %t", name, d.Waiting)
		}
	}
}

// Every key of a connection that delivery goes by reaches it.
func TestConnection_DeliveryKnowsItsSettings(t *testing.T) {
	c := configured(t, "https://demo.amocrm.ru", `      refresh: 2h
      in_doubt_after: 7s
      backoff: {first: 3s, max: 4h, give_up: 5h}
      marker_field: Other ID
`, `    agents: {"1": anna}
    work_hours: {days: "mon,wed", from: "09:00", to: "18:30"}
    anonymous: ignore
    anonymous_hold: 3d
    park: 11m
`)
	d := delivered(c, &account{}, moscow())
	for _, x := range []struct {
		key       string
		got, want any
	}{
		{"name", d.Name, "shop"}, {"refresh", d.Refresh, 2 * time.Hour}, {"in_doubt_after", d.InDoubtAfter, 7 * time.Second},
		{"backoff.first", d.BackoffFirst, 3 * time.Second}, {"backoff.max", d.BackoffMax, 4 * time.Hour}, {"backoff.give_up", d.GiveUp, 5 * time.Hour},
		{"marker_field", d.MarkerField, "Other ID"}, {"anonymous", d.Anonymous, "ignore"}, {"anonymous_hold", d.AnonymousHold, 72 * time.Hour},
		{"park", d.Park, 11 * time.Minute},
		{"work_hours", d.Hours, delivery.Hours{Days: [7]bool{time.Monday: true, time.Wednesday: true}, From: 9 * time.Hour, To: 18*time.Hour + 30*time.Minute}},
	} {
		if x.got != x.want {
			t.Errorf("%s is %v, want %v", x.key, x.got, x.want)
		}
	}
	s := d.Shaper(moscow())
	if s.MarkerField != "Other ID" || s.Agents["1"] != "anna" {
		t.Errorf("items are written with %+v", s)
	}
	if always := delivered(configured(t, "https://demo.amocrm.ru", "", ""), &account{}, moscow()).Hours; always != (delivery.Hours{}) {
		t.Errorf("work_hours absent: %+v", always)
	}
}

// amoCRM's prices are whole; Kommo's may have minor units.
func TestConnection_PricesHaveCentsInKommoAlone(t *testing.T) {
	for url, cents := range map[string]bool{"https://demo.amocrm.ru": false, "https://demo.amocrm.com": false, "https://demo.kommo.com": true} {
		if got := delivered(configured(t, url, "", ""), &account{}, moscow()).Shaper(moscow()).Cents; got != cents {
			t.Errorf("%s: cents %t", url, got)
		}
	}
}

// While secrets are rotated both doors open with each; hooks are subscribed with the
// first, which is the new one.
func TestConnection_DoorsOpenWithEverySecret(t *testing.T) {
	c := configured(t, "https://demo.amocrm.ru", "", "")
	d := door(c)
	if !slices.Equal(d.JivoSecrets, []string{"jivo-secret-0123456789", "jivo-before-0123456789"}) ||
		!slices.Equal(d.AmoSecrets, []string{"hook-secret-0123456789", "hook-before-0123456789"}) || !slices.Equal(d.Channels, []string{"3948"}) || d.OAuth {
		t.Errorf("%+v", d)
	}
	cfg := &config.Config{PublicURL: "https://bridge.example.com"}
	if got := hookURL(cfg, c); got != "https://bridge.example.com/amocrm/shop/hook-secret-0123456789" {
		t.Errorf("hooks are subscribed to %s", got)
	}
	if got := hookURL(&config.Config{}, c); got != "" {
		t.Errorf("hooks are subscribed to %q without a public_url", got)
	}
	c.AmoCRM.WebhookSecrets, c.AmoCRM.OAuth = nil, &config.OAuth{}
	if got := hookURL(cfg, c); got != "" || hookPath(c) != "" || !door(c).OAuth {
		t.Errorf("no webhook_secret: %q, door %+v", got, door(c))
	}
}
