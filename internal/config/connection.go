package config

import (
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/jsonschema-go/jsonschema"
)

func (conn *Connection) table(c *Config) object {
	return object{
		keys: []key{
			may("language", oneOf(&conn.Language, "ru", "en", "pt", "es"), "Language of every built-in text; default: ru for amocrm.ru, else en"),
			may("timezone", conn.timezone(), "IANA time zone; default: the account's"),
			may("region", conn.region(), "Country of phones written without a country code (ISO 3166); default: the account's"),
			must("jivo", conn.Jivo.table(), "The Jivo side"),
			must("amocrm", conn.AmoCRM.table(), "The amoCRM side"),
			may("agents", conn.agents(), `Jivo agent (e-mail or id, "*" for any other) to amoCRM user (e-mail, name or id)`),
			may("work_hours", conn.workHours(), "Hours that task due times count inside; absent: always"),
			may("deals", object{keys: []key{
				may("stages", conn.stages(), `Jivo stage id, or "pipeline / stage" titles, to a stage of amoCRM`),
			}}, "How Jivo's deals become leads"),
			may("tables", conn.tables(), "Tables for lookup(table, key) in rules"),
			may("anonymous", oneOf(&conn.Anonymous, "hold", "lead", "ignore"), "What becomes of a visitor without phone and e-mail"),
			may("anonymous_hold", duration(&conn.AnonymousHold, 0, longest), "How long a held visitor's first touch is kept"),
			may("park", duration(&conn.Park, 0, longest), "How long an event waits for a client nobody has described yet"),
			may("rules", conn.rules(c), "What events do in amoCRM; absent: the default rules"),
			may("builtin", conn.Builtin.table(), "What the bridge does beside the rules"),
			may("reply", conn.Reply.table(), "What the operator sees"),
		},
	}
}

func (j *Jivo) table() object {
	return object{keys: []key{
		must("secret", secrets(&j.Secrets), "Path secret, at least 16 characters; a list while rotating"),
		may("channels", list{
			want: "widget ids", least: 1,
			each: func(int, Pos) node {
				j.Channels = append(j.Channels, "")
				return named(&j.Channels[len(j.Channels)-1], "a widget id")
			},
		}, "Widget ids let in; absent: all"),
		reserve("forward"),
	}}
}

// secrets is one path secret, or a list of them while rotating.
func secrets(dst *[]Secret) either {
	const rotating = 4
	return either{list{
		want: "secrets", least: 1, most: rotating,
		start: func() { *dst = nil },
		each: func(int, Pos) node {
			form := fmt.Sprintf(`^[^\s/\\?#%%]{%d,}$`, minSecret)
			return hush("a secret", form, func(s Secret) { *dst = append(*dst, s) }, pathSecret)
		},
	}}
}

// tick is the least length of what happens again and again.
const tick = time.Millisecond

func (a *AmoCRM) table() object {
	sync, setup := "auto", "manual"
	return object{
		keys: []key{
			must("account", words(&a.Account, "the account's URL", accountURL), "https://NAME.amocrm.ru, NAME.amocrm.com or NAME.kommo.com; http:// only on loopback"),
			may("webhook_secret", secrets(&a.WebhookSecrets), "Path secret of amoCRM's hooks; a list while rotating; absent: the sweep alone keeps the cards"),
			may("token", bearer(func(s Secret) { a.Token = s }), "Long-lived token; or oauth"),
			may("oauth", a.oauth(), "Integration with consent, instead of a token"),
			may("requests_per_second", number(&a.RequestsPerSecond, 0.1, 1000), "Budget of the whole account"),
			may("batch", integer(&a.Batch, 1, 250), "Most items in one request"),
			may("timeout", duration(&a.Timeout, tick, 10*time.Minute), "How long an answer is waited for"),
			may("backoff", a.Backoff.table(), "Spacing of an event's own retries"),
			may("probe", duration(&a.Probe, tick, day), "How often a paused account is tried"),
			may("sweep", duration(&a.Sweep, tick, day), "How often missed hooks are looked for"),
			may("refresh", duration(&a.Refresh, tick, week), "How long pipelines, users, fields and cards count as known"),
			may("in_doubt_after", duration(&a.InDoubtAfter, tick, time.Hour), "How long after a lost answer the write is looked up"),
			may("marker_field", words(&a.MarkerField, "a field's name", nil), "Text field on leads and contacts that carries the Jivo ids"),
			may("contacts_sync", oneOf(&sync, "auto", "off").then(func(scalar) { a.ContactsSync = sync == "auto" }), "Whether all contacts are read into the contact directory"),
			may("setup", oneOf(&setup, "auto", "manual").then(func(scalar) { a.SetupAuto = setup == "auto" }), "auto: run may create the marker fields and subscribe its own hook"),
		},
		after: a.together,
		shape: func(s *jsonschema.Schema) {
			s.OneOf = []*jsonschema.Schema{{Required: []string{"token"}}, {Required: []string{"oauth"}}}
		},
	}
}

func (a *AmoCRM) together(r *reader, at place) {
	token, oauth := r.seen[at.path+".token"], r.seen[at.path+".oauth"]
	switch {
	case token && oauth:
		r.problem(r.places[at.path+".oauth"], "either token or oauth, not both")
	case !token && !oauth:
		r.problem(at.Pos, "%q is missing (or oauth)", at.path+".token")
	}
	if _, host, ok := strings.Cut(a.Account, "://"); ok {
		a.Host = host
	}
}

func (a *AmoCRM) oauth() made {
	return made{func() node {
		a.OAuth = &OAuth{}
		return object{keys: []key{
			must("client_id", words(&a.OAuth.ClientID, "the integration's id", nil), "Integration id"),
			must("client_secret", hush("a secret", `^[!-~]+$`, func(s Secret) { a.OAuth.ClientSecret = s }, credential), "Integration secret"),
			may("redirect_url", words(&a.OAuth.RedirectURL, "a URL", redirectURL), "As registered with the integration; default: {public_url}/oauth/{connection}"),
		}}
	}}
}

func (b *Backoff) table() object {
	return object{
		keys: []key{
			may("first", duration(&b.First, tick, day), "Wait before the first retry"),
			may("max", duration(&b.Max, tick, week), "Longest wait between retries"),
			may("give_up", duration(&b.GiveUp, tick, longest), "Age of the trouble at which the event is dead"),
		},
		after: func(r *reader, at place) {
			if b.First > b.Max {
				r.problem(at.Pos, "backoff: first (%s) is longer than max (%s)", showDuration(b.First), showDuration(b.Max))
			}
		},
	}
}

func (b *Builtin) table() object {
	return object{keys: []key{
		may("deals", onOff(&b.Deals), "Jivo's deals become leads"),
		may("tasks", onOff(&b.Tasks), "Jivo's tasks become tasks"),
		may("clients", onOff(&b.Clients), "Jivo's CRM stream fills linked contacts"),
		may("blacklist_tag", onOff(&b.BlacklistTag), "Tag on the contact of a blacklisted client"),
		may("deleted_tag", onOff(&b.DeletedTag), "Tag on the contact of a deleted client"),
		may("categories", onOff(&b.Categories), "Client categories into a contact field"),
	}}
}

func (conn *Connection) timezone() leaf {
	name := ""
	return words(&name, "a time zone", func(s scalar) (string, string) {
		zone, err := time.LoadLocation(s.text)
		// "" and "Local" load and mean whatever the machine is set to.
		if err != nil || s.text == "" || s.text == "Local" {
			return "", fmt.Sprintf("%s is no time zone; write one such as Europe/Moscow%s", s.show(), s.mean(commonZones()))
		}
		conn.Location = zone
		return s.text, ""
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

func (conn *Connection) region() leaf {
	l := words(&conn.Region, "a country", func(s scalar) (string, string) {
		if !regionForm.MatchString(s.text) {
			return "", fmt.Sprintf("a country's two letters such as RU are expected, not %s", s.show())
		}
		return strings.ToUpper(s.text), ""
	})
	l.shape.Pattern = regionForm.String() + "|" + inserted
	return l
}

func (conn *Connection) agents() dict {
	conn.Agents = map[string]string{}
	return dict{
		want: "Jivo agents to amoCRM users",
		each: func(agent string, _ Pos) node {
			user := ""
			return named(&user, "an amoCRM user (e-mail, name or id)").then(func(s scalar) {
				conn.Agents[agent] = user
				conn.refer(Reference{Kind: RefUser, Name: user, Line: s.content.Line, Col: s.content.Col})
			})
		},
	}
}

func (conn *Connection) stages() dict {
	return dict{
		want: "Jivo stages to amoCRM stages",
		each: func(stage string, _ Pos) node {
			one := &DealStage{Jivo: stage}
			var pipelineAt, stageAt Pos
			return object{
				keys: []key{
					may("pipeline", named(&one.Pipeline, "a pipeline").then(func(s scalar) { pipelineAt = s.content }), "Pipeline, by name or id; absent: the main one"),
					must("stage", named(&one.Stage, "a stage").then(func(s scalar) { stageAt = s.content }), "Stage, by name or id; unsorted, won or lost"),
				},
				after: func(*reader, place) {
					conn.Stages = append(conn.Stages, *one)
					conn.referStage(one.Pipeline, pipelineAt, one.Stage, stageAt)
				},
			}
		},
	}
}

func (conn *Connection) tables() dict {
	conn.Tables = map[string]map[string]string{}
	return dict{
		want: "tables by name",
		each: func(name string, _ Pos) node {
			table := map[string]string{}
			conn.Tables[name] = table
			return dict{want: "keys to texts", each: func(key string, _ Pos) node {
				value := ""
				l := free(&value).then(func(scalar) { table[key] = value })
				l.kinds |= isInteger | isFloat
				l.shape.Type, l.shape.Types = "", []string{"string", "number"}
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

func (p *Reply) table() object {
	return object{keys: []key{
		may("wait", duration(&p.Wait, 0, 2*time.Second), "How long the reply waits for a new client's own lead"),
		may("crm_link", oneOf(&p.CRMLink, "lead", "contact", "none"), "What the operator's link to the CRM opens"),
		may("contact_info", flag(&p.ContactInfo), "Whether Jivo is told the contact's name, phone and e-mail"),
		may("enable_assign", autoOnOff(&p.EnableAssign), "Whether the operator may paste a link; auto: only while no lead is linked"),
		may("custom_data", list{
			want: "lines", most: linesMost,
			start: func() { p.CustomData = []ReplyItem{} },
			each: func(int, Pos) node {
				p.CustomData = append(p.CustomData, ReplyItem{})
				return p.CustomData[len(p.CustomData)-1].table()
			},
		}, "Lines of the card; absent: lead, stage, price, responsible, nearest task, what changed"),
	}}
}

func (i *ReplyItem) table() object {
	return object{keys: []key{
		may("title", phrase(&i.Title).checked(atMost(lineTitle)), "Title, at most 64 characters"),
		must("content", phrase(&i.Content).filled().checked(atMost(lineContent)), "Content, at most 256 characters"),
		may("link", phrase(&i.Link), "Link of the line"),
		may("key", phrase(&i.Key), "Key of the line"),
	}}
}

// atMost bounds the letters of a text that is no template; a template's are
// only known, and cut, when it is evaluated.
func atMost(most int) func(s scalar) string {
	return func(s scalar) string {
		if n := utf8.RuneCountInString(s.text); n > most && !strings.Contains(s.text, "{{") {
			return fmt.Sprintf("at most %d characters are allowed, not %d", most, n)
		}
		return ""
	}
}
