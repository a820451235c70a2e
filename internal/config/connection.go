package config

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/jivo-amocrm/bridge/internal/config/strict"
	"github.com/jivo-amocrm/bridge/internal/duration"
	"github.com/jivo-amocrm/bridge/internal/phone"
)

func (conn *Connection) table(c *Config) strict.Object {
	return strict.Object{
		Keys: []strict.Key{
			strict.May("language", strict.OneOf(&conn.Language, "ru", "en", "pt", "es"), "Language of every built-in text; default: ru for amocrm.ru, else en"),
			strict.May("timezone", conn.timezone(), "IANA time zone; default: the account's"),
			strict.May("region", conn.region(), "Country of phones written without a country code (ISO 3166); default: the account's"),
			strict.Must("jivo", conn.Jivo.table(), "The Jivo side"),
			strict.Must("amocrm", conn.AmoCRM.table(), "The amoCRM side"),
			strict.May("agents", conn.agents(), `Jivo agent (e-mail or id, "*" for any other) to amoCRM user (e-mail, name or id)`),
			strict.May("work_hours", conn.workHours(), "Hours that task due times count inside; absent: always"),
			strict.May("deals", strict.Object{Keys: []strict.Key{
				strict.May("stages", conn.stages(), `Jivo stage id, or "pipeline / stage" titles, to a stage of amoCRM`),
			}}, "How Jivo's deals become leads"),
			strict.May("tables", conn.tables(), "Tables for lookup(table, key) in rules"),
			strict.May("anonymous", strict.OneOf(&conn.Anonymous, "hold", "lead", "ignore"), "What becomes of a visitor without phone and e-mail"),
			strict.May("anonymous_hold", strict.Duration(&conn.AnonymousHold, 0, strict.Longest), "How long a held visitor's first touch is kept"),
			strict.May("park", strict.Duration(&conn.Park, 0, strict.Longest), "How long an event waits for a client nobody has described yet"),
			strict.May("rules", conn.rules(c.vocab), "What events do in amoCRM; absent: the default rules"),
			strict.May("builtin", conn.Builtin.table(), "What the bridge does beside the rules"),
			strict.May("reply", conn.Reply.table(), "What the operator sees"),
		},
	}
}

func (j *Jivo) table() strict.Object {
	return strict.Object{Keys: []strict.Key{
		strict.Must("secret", secrets(&j.Secrets), "Path secret, at least 16 characters; a list while rotating"),
		strict.May("channels", strict.List{
			Want: "widget ids", Least: 1,
			Each: func(int, Pos) strict.Node {
				j.Channels = append(j.Channels, "")
				return strict.Named(&j.Channels[len(j.Channels)-1], "a widget id")
			},
		}, "Widget ids let in; absent: all"),
		strict.Reserve("forward"),
	}}
}

// secrets is one path secret, or a list of them while rotating.
func secrets(dst *[]Secret) strict.Node {
	const rotating = 4
	return strict.ListOrOne(strict.List{
		Want: "secrets", Least: 1, Most: rotating,
		Start: func() { *dst = nil },
		Each: func(int, Pos) strict.Node {
			form := fmt.Sprintf(`^[^\s/\\?#%%]{%d,}$`, minSecret)
			return strict.Confidential("a secret", form, func(s Secret) { *dst = append(*dst, s) }, pathSecret)
		},
	})
}

// tick is the least length of what happens again and again.
const tick = time.Millisecond

func (a *AmoCRM) table() strict.Object {
	sync, setup := "auto", "manual"
	return strict.Object{
		Keys: []strict.Key{
			strict.Must("account", strict.Words(&a.Account, "the account's URL", accountURL), "https://NAME.amocrm.ru, NAME.amocrm.com or NAME.kommo.com; http:// only on loopback"),
			strict.May("webhook_secret", secrets(&a.WebhookSecrets), "Path secret of amoCRM's hooks; a list while rotating; absent: the sweep alone keeps the cards"),
			strict.May("token", bearer(func(s Secret) { a.Token = s }), "Long-lived token; or oauth"),
			strict.May("oauth", a.oauth(), "Integration with consent, instead of a token"),
			strict.May("requests_per_second", strict.Number(&a.RequestsPerSecond, 0.1, 1000), "Budget of the whole account"),
			strict.May("batch", strict.Integer(&a.Batch, 1, 250), "Most items in one request"),
			strict.May("timeout", strict.Duration(&a.Timeout, tick, 10*time.Minute), "How long an answer is waited for"),
			strict.May("backoff", a.Backoff.table(), "Spacing of an event's own retries"),
			strict.May("probe", strict.Duration(&a.Probe, tick, duration.Day), "How often a paused account is tried"),
			strict.May("sweep", strict.Duration(&a.Sweep, tick, duration.Day), "How often missed hooks are looked for"),
			strict.May("refresh", strict.Duration(&a.Refresh, tick, duration.Week), "How long pipelines, users, fields and cards count as known"),
			strict.May("in_doubt_after", strict.Duration(&a.InDoubtAfter, tick, time.Hour), "How long after a lost answer the write is looked up"),
			strict.May("marker_field", strict.Words(&a.MarkerField, "a field's name", nil), "Text field on leads and contacts that carries the Jivo ids"),
			strict.May("contacts_sync", strict.OneOf(&sync, "auto", "off").Then(func(strict.Scalar) { a.ContactsSync = sync == "auto" }), "Whether all contacts are read into the contact directory"),
			strict.May("setup", strict.OneOf(&setup, "auto", "manual").Then(func(strict.Scalar) { a.SetupAuto = setup == "auto" }), "auto: run may create the marker fields and subscribe its own hook"),
		},
		After: a.together,
		Shape: func(s *jsonschema.Schema) {
			s.OneOf = []*jsonschema.Schema{{Required: []string{"token"}}, {Required: []string{"oauth"}}}
		},
	}
}

func (a *AmoCRM) together(r *strict.Reader, at strict.Place, _ bool) {
	token, oauth := r.Seen(at.Path+".token"), r.Seen(at.Path+".oauth")
	switch {
	case token && oauth:
		r.Problem(r.At(at.Path+".oauth"), "either token or oauth, not both")
	case !token && !oauth:
		r.Problem(at.Pos, "%q is missing (or oauth)", at.Path+".token")
	}
	if _, host, ok := strings.Cut(a.Account, "://"); ok {
		a.Host = host
	}
}

func (a *AmoCRM) oauth() strict.Node {
	return strict.Lazy(func() strict.Node {
		a.OAuth = &OAuth{}
		return strict.Object{Keys: []strict.Key{
			strict.Must("client_id", strict.Words(&a.OAuth.ClientID, "the integration's id", nil), "Integration id"),
			strict.Must("client_secret", strict.Confidential("a secret", `^[!-~]+$`, func(s Secret) { a.OAuth.ClientSecret = s }, credential), "Integration secret"),
			strict.May("redirect_url", strict.Words(&a.OAuth.RedirectURL, "a URL", redirectURL), "As registered with the integration; default: {public_url}/oauth/{connection}"),
		}}
	})
}

func (b *Backoff) table() strict.Object {
	return strict.Object{
		Keys: []strict.Key{
			strict.May("first", strict.Duration(&b.First, tick, duration.Day), "Wait before the first retry"),
			strict.May("max", strict.Duration(&b.Max, tick, duration.Week), "Longest wait between retries"),
			strict.May("give_up", strict.Duration(&b.GiveUp, tick, strict.Longest), "Age of the trouble at which the event is dead"),
		},
		After: func(r *strict.Reader, at strict.Place, _ bool) {
			if b.First > b.Max {
				r.Problem(at.Pos, "backoff: first (%s) is longer than max (%s)", duration.Show(b.First), duration.Show(b.Max))
			}
		},
	}
}

func (b *Builtin) table() strict.Object {
	return strict.Object{Keys: []strict.Key{
		strict.May("deals", strict.OnOff(&b.Deals), "Jivo's deals become leads"),
		strict.May("tasks", strict.OnOff(&b.Tasks), "Jivo's tasks become tasks"),
		strict.May("clients", strict.OnOff(&b.Clients), "Jivo's CRM stream fills linked contacts"),
		strict.May("blacklist_tag", strict.OnOff(&b.BlacklistTag), "Tag on the contact of a blacklisted client"),
		strict.May("deleted_tag", strict.OnOff(&b.DeletedTag), "Tag on the contact of a deleted client"),
		strict.May("categories", strict.OnOff(&b.Categories), "Client categories into a contact field"),
	}}
}

func (conn *Connection) timezone() strict.Leaf {
	name := ""
	return strict.Words(&name, "a time zone", func(s strict.Scalar) (string, string) {
		zone, err := time.LoadLocation(s.Text)
		// "" and "Local" load and mean whatever the machine is set to.
		if err != nil || s.Text == "" || s.Text == "Local" {
			return "", fmt.Sprintf("%s is no time zone; write one such as Europe/Moscow%s", s.Show(), s.Mean(commonZones()))
		}
		conn.Location = zone
		return s.Text, ""
	})
}

// commonZones are where the accounts are, for did-you-mean: the time zone
// database cannot be listed.
func commonZones() []string {
	return []string{
		"UTC", "Europe/Kaliningrad", "Europe/Moscow", "Europe/Samara", "Asia/Yekaterinburg", "Asia/Omsk", "Asia/Novosibirsk",
		"Asia/Krasnoyarsk", "Asia/Irkutsk", "Asia/Yakutsk", "Asia/Vladivostok", "Asia/Kamchatka", "Asia/Almaty", "Asia/Tashkent",
		"Europe/Minsk", "Asia/Tbilisi", "Asia/Yerevan", "Asia/Baku", "Europe/London", "Europe/Berlin", "Europe/Madrid", "Europe/Lisbon",
		"America/New_York", "America/Chicago", "America/Denver", "America/Los_Angeles", "America/Sao_Paulo", "America/Mexico_City",
		"America/Bogota", "America/Lima", "America/Santiago", "America/Argentina/Buenos_Aires",
	}
}

var regionForm = regexp.MustCompile(`^[A-Za-z]{2}$`)

func (conn *Connection) region() strict.Leaf {
	l := strict.Words(&conn.Region, "a country", func(s strict.Scalar) (string, string) {
		if !regionForm.MatchString(s.Text) {
			return "", fmt.Sprintf("a country's two letters such as RU are expected, not %s", s.Show())
		}
		region := strings.ToUpper(s.Text)
		if !phone.IsRegion(region) {
			return "", fmt.Sprintf("no country has the letters %s (ISO 3166: RU, KZ, BR, US…)", s.Show())
		}
		return region, ""
	})
	l.Shape.Pattern = regionForm.String() + "|" + strict.Inserted
	return l
}

func (conn *Connection) agents() strict.Dict {
	conn.Agents = map[string]string{}
	return strict.Dict{
		Want: "Jivo agents to amoCRM users",
		Each: func(agent string, _ Pos) strict.Node {
			user := ""
			return strict.Named(&user, "an amoCRM user (e-mail, name or id)").Then(func(s strict.Scalar) {
				conn.Agents[agent] = user
				conn.refer(Reference{Kind: RefUser, Name: user, Line: s.Content.Line, Col: s.Content.Col})
			})
		},
	}
}

func (conn *Connection) stages() strict.Dict {
	return strict.Dict{
		Want: "Jivo stages to amoCRM stages",
		Each: func(stage string, _ Pos) strict.Node {
			one := &DealStage{Jivo: stage}
			var pipelineAt, stageAt Pos
			return strict.Object{
				Keys: []strict.Key{
					strict.May("pipeline", strict.Named(&one.Pipeline, "a pipeline").Then(func(s strict.Scalar) { pipelineAt = s.Content }), "Pipeline, by name or id; absent: the main one"),
					strict.Must("stage", strict.Named(&one.Stage, "a stage").Then(func(s strict.Scalar) { stageAt = s.Content }), "Stage, by name or id; unsorted, won or lost"),
				},
				After: func(*strict.Reader, strict.Place, bool) {
					conn.Stages = append(conn.Stages, *one)
					conn.referStage(one.Pipeline, pipelineAt, one.Stage, stageAt)
				},
			}
		},
	}
}

func (conn *Connection) tables() strict.Dict {
	conn.Tables = map[string]map[string]string{}
	return strict.Dict{
		Want: "tables by name",
		Each: func(name string, _ Pos) strict.Node {
			table := map[string]string{}
			conn.Tables[name] = table
			return strict.Dict{Want: "keys to texts", Each: func(key string, _ Pos) strict.Node {
				value := ""
				l := strict.Free(&value).Then(func(strict.Scalar) { table[key] = value })
				l.Kinds |= strict.IntegerKind | strict.FloatKind
				l.Shape.Type, l.Shape.Types = "", []string{"string", "number"}
				return l
			}}
		},
	}
}

// lineTitle and lineContent bound a line of the card (product.md §6).
const (
	linesMost   = 10
	lineTitle   = 64
	lineContent = 256
)

func (p *Reply) table() strict.Object {
	return strict.Object{Keys: []strict.Key{
		strict.May("wait", strict.Duration(&p.Wait, 0, 2*time.Second), "How long the reply waits for a new client's own lead"),
		strict.May("crm_link", strict.OneOf(&p.CRMLink, "lead", "contact", "none"), "What the operator's link to the CRM opens"),
		strict.May("contact_info", strict.Flag(&p.ContactInfo), "Whether Jivo is told the contact's name, phone and e-mail"),
		strict.May("enable_assign", strict.AutoOnOff(&p.EnableAssign), "Whether the operator may paste a link; auto: only while no lead is linked"),
		strict.May("custom_data", strict.List{
			Want: "lines", Most: linesMost,
			Start: func() { p.CustomData = []ReplyItem{} },
			Each: func(int, Pos) strict.Node {
				p.CustomData = append(p.CustomData, ReplyItem{})
				return p.CustomData[len(p.CustomData)-1].table()
			},
		}, "Lines of the card; absent: lead, stage, price, responsible, nearest task, what changed. Templates see lead, contact, task, changes and the event"),
	}}
}

func (i *ReplyItem) table() strict.Object {
	return strict.Object{Keys: []strict.Key{
		strict.May("title", phrase(&i.Title).Checked(atMost(lineTitle)), "Title, at most 64 characters"),
		strict.Must("content", phrase(&i.Content).Filled().Checked(atMost(lineContent)), "Content, at most 256 characters"),
		strict.May("link", phrase(&i.Link), "Link of the line"),
		strict.May("key", phrase(&i.Key), "Key of the line"),
	}}
}
