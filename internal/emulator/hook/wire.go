package hook

import (
	"encoding/json"
	"net/url"
	"strconv"
	"strings"

	"github.com/jivo-amocrm/bridge/internal/emulator/body"
	"github.com/jivo-amocrm/bridge/internal/emulator/book"
)

// pair is one key and value of a hook, keys without the entity's prefix.
type pair struct{ key, value string }

// item is one thing to tell, in order of happening.
type item struct {
	settings string // any of these, comma separated, lets it through
	entity   string // leads | contacts | task | unsorted
	action   string
	pairs    []pair
}

// entityOf: companies come under contacts (amocrm-api.md §6.3).
func entityOf(kind string) string {
	if kind == book.Companies {
		return book.Contacts
	}
	return kind
}

// cardPairs are a card's keys; before tells what it was, nil for a new card.
func (o *Outbox) cardPairs(r, before *book.Record) []pair {
	if r.Kind == book.Leads {
		return o.leadPairs(r, before)
	}
	return o.contactPairs(r, before)
}

// leadPairs are the keys of amocrm-api.md §6.2 in that order.
func (o *Outbox) leadPairs(r, before *book.Record) []pair {
	out := []pair{{"[id]", itoa(r.ID)}, {"[name]", r.Name}, {"[status_id]", itoa(r.StatusID)}}
	if before != nil && before.StatusID != r.StatusID {
		out = append(out, pair{"[old_status_id]", itoa(before.StatusID)})
	}
	out = append(out, pair{"[price]", strconv.FormatFloat(r.Price, 'f', -1, 64)}, pair{"[responsible_user_id]", itoa(r.ResponsibleID)})
	if before != nil && before.ResponsibleID != r.ResponsibleID {
		out = append(out, pair{"[old_responsible_user_id]", itoa(before.ResponsibleID)})
	}
	out = append(out, pair{"[last_modified]", itoa(r.UpdatedAt)}, pair{"[modified_user_id]", o.modifier(r)},
		pair{"[created_user_id]", itoa(r.CreatedBy)}, pair{"[date_create]", itoa(r.CreatedAt)}, pair{"[pipeline_id]", itoa(r.PipelineID)})
	out = append(out, tagPairs(r)...)
	out = append(out, pair{"[account_id]", itoa(o.book.AccountID())})
	out = append(out, o.fieldPairs(r)...)
	return append(out, pair{"[created_at]", itoa(r.CreatedAt)}, pair{"[updated_at]", itoa(r.UpdatedAt)})
}

// contactPairs are the keys of amocrm-api.md §6.3, for companies as well.
func (o *Outbox) contactPairs(r, before *book.Record) []pair {
	out := []pair{
		{"[id]", itoa(r.ID)}, {"[name]", r.Name}, {"[responsible_user_id]", itoa(r.ResponsibleID)}, {"[date_create]", itoa(r.CreatedAt)},
		{"[last_modified]", itoa(r.UpdatedAt)}, {"[created_user_id]", itoa(r.CreatedBy)}, {"[modified_user_id]", o.modifier(r)},
	}
	if co, ok := o.book.Cards[book.Companies].Live(r.CompanyID); ok {
		out = append(out, pair{"[company_name]", co.Name}, pair{"[linked_company_id]", itoa(co.ID)})
	}
	out = append(out, pair{"[account_id]", itoa(o.book.AccountID())})
	out = append(out, tagPairs(r)...)
	out = append(out, o.fieldPairs(r)...)
	for _, id := range r.Leads {
		out = append(out, pair{"[linked_leads_id][" + itoa(id) + "][ID]", itoa(id)})
	}
	if before != nil { // present, and equal, in ordinary updates too (CAP25)
		out = append(out, pair{"[old_responsible_user_id]", itoa(before.ResponsibleID)})
	}
	return append(out, pair{"[created_at]", itoa(r.CreatedAt)}, pair{"[updated_at]", itoa(r.UpdatedAt)}, pair{"[type]", book.Singular(r.Kind)})
}

func tagPairs(r *book.Record) []pair {
	var out []pair
	for i, t := range r.Tags {
		out = append(out, pair{"[tags]" + index(i) + "[id]", itoa(t.ID)}, pair{"[tags]" + index(i) + "[name]", t.Name})
	}
	return out
}

// modifier is who changed it; at times a 0 that means nothing (amocrm-api.md §7.1).
func (o *Outbox) modifier(r *book.Record) string {
	if o.luck.Chance(o.opt.ZeroUser) {
		return "0"
	}
	return itoa(r.UpdatedBy)
}

// noteTypes are the numbers of amocrm-api.md §6.2; those beyond 4, 5, 10 and
// 11 come from old pages.
var noteTypes = map[string]string{
	"common": "4", "attachment": "5", "call_in": "10", "call_out": "11", "service_message": "25",
	"extended_service_message": "25", "message_cashier": "17", "geolocation": "27", "sms_in": "102", "sms_out": "103",
}

var escaped = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;")

// notePairs nests the note one level deeper and spells attachement as amoCRM does.
func (o *Outbox) notePairs(n *book.Note) []pair {
	text := escaped.Replace(n.Text())
	if strings.HasPrefix(n.Type, "call_") {
		text = callText(n)
	}
	u, _ := o.book.User(n.CreatedBy)
	who, _ := json.Marshal(eventSource{source{u.ID, u.Name, 1}})
	at := o.local(n.CreatedAt)
	pairs := []pair{
		{"text", text}, {"attachement", body.Text(n.Params, "file_name")}, {"date_create", at}, {"note_type", noteTypes[n.Type]},
		{"element_type", elementType(n.EntityType)}, {"element_id", itoa(n.EntityID)}, {"catalog_id", "0"}, {"group_id", "0"},
		{"timestamp_x", o.local(n.UpdatedAt)}, {"account_id", itoa(o.book.AccountID())}, {"metadata", string(who)},
		{"created_by", itoa(n.CreatedBy)}, {"modified_by", itoa(n.UpdatedBy)}, {"main_user_id", itoa(n.ResponsibleID)},
		{"id", itoa(n.ID)}, {"created_at", itoa(n.CreatedAt)}, {"updated_at", itoa(n.UpdatedAt)},
	}
	for i := range pairs {
		pairs[i].key = "[note][" + pairs[i].key + "]"
	}
	return pairs
}

type eventSource struct {
	Source source `json:"event_source"`
}

type source struct {
	ID     int64  `json:"id"`
	Author string `json:"author_name"`
	Type   int    `json:"type"`
}

// callText is a call note's text: JSON with upper-case keys.
func callText(n *book.Note) string {
	b, _ := json.Marshal(map[string]any{
		"UNIQ": body.Text(n.Params, "uniq"), "LINK": body.Text(n.Params, "link"), "PHONE": body.Text(n.Params, "phone"),
		"DURATION": n.Params["duration"], "SRC": body.Text(n.Params, "source"),
	})
	return string(b)
}

// taskPairs are the keys of amocrm-api.md §6.5, times as local strings.
func (o *Outbox) taskPairs(t, before *book.Task) []pair {
	out := []pair{
		{"[id]", itoa(t.ID)}, {"[element_id]", itoa(t.EntityID)}, {"[element_type]", elementType(t.EntityType)}, {"[task_type]", itoa(t.TypeID)},
		{"[date_create]", o.local(t.CreatedAt)}, {"[text]", escaped.Replace(t.Text)},
		{"[status]", map[bool]string{true: "1", false: "0"}[t.Completed]}, {"[account_id]", itoa(o.book.AccountID())},
		{"[created_user_id]", itoa(t.CreatedBy)}, {"[last_modified]", o.local(t.UpdatedAt)},
		{"[responsible_user_id]", itoa(t.ResponsibleID)}, {"[complete_till]", o.local(t.CompleteTill)},
	}
	if before != nil {
		closed := map[bool]string{true: "1", false: "0"}[t.Completed && !before.Completed]
		out = append(out, pair{"[action_close]", closed}, pair{"[old_text]", escaped.Replace(before.Text)})
		if t.Result != "" {
			out = append(out, pair{"[result][id]", itoa(t.ID)}, pair{"[result][text]", escaped.Replace(t.Result)})
		}
		if before.ResponsibleID != t.ResponsibleID {
			out = append(out, pair{"[main_user]", itoa(t.ResponsibleID)}, pair{"[modified_by]", itoa(t.UpdatedBy)},
				pair{"[old_responsible_user_id]", itoa(before.ResponsibleID)})
		}
	}
	return append(out, pair{"[created_at]", itoa(t.CreatedAt)}, pair{"[updated_at]", itoa(t.UpdatedAt)}, pair{"[complete_before]", itoa(t.CompleteTill)})
}

// local is a moment as hooks spell it (amocrm-api.md §6.5).
func (o *Outbox) local(unix int64) string { return o.book.Local(unix).Format("2006-01-02 15:04:05") }

// decided are the keys of an unsorted lead that was accepted or declined (amocrm-api.md §6.5).
func decided(u *book.Unsorted, action string, by int64) []pair {
	return []pair{{"[uid]", u.UID}, {"[action]", action}, {"[category]", u.Category}, {"[lead_id]", itoa(u.LeadID)}, {"[user_id]", itoa(by)}}
}

// form joins hook items into one body; the account footer stands before or
// after them (amocrm-api.md §6.1). All items share entity and action.
func (o *Outbox) form(items []item) string {
	var body []pair
	for i, it := range items {
		for _, p := range it.pairs {
			body = append(body, pair{it.entity + "[" + it.action + "]" + index(i) + p.key, p.value})
		}
	}
	footer := []pair{
		{"account[subdomain]", o.book.Subdomain}, {"account[id]", itoa(o.book.AccountID())}, {"account[_links][self]", "https://" + o.book.Host()},
	}
	if o.luck.Coin() {
		return encode(append(footer, body...))
	}
	return encode(append(body, footer...))
}

// encode writes form pairs in the given order, brackets escaped.
func encode(pairs []pair) string {
	var b strings.Builder
	for i, p := range pairs {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(url.QueryEscape(p.key))
		b.WriteByte('=')
		b.WriteString(url.QueryEscape(p.value))
	}
	return b.String()
}

// thinForm is the body of a digital-pipeline hook: ids only (amocrm-api.md §6.6).
func (o *Outbox) thinForm(r *book.Record, action string, before *book.Record) string {
	at := "leads[" + action + "][0]"
	pairs := []pair{{at + "[id]", itoa(r.ID)}, {at + "[status_id]", itoa(r.StatusID)}, {at + "[pipeline_id]", itoa(r.PipelineID)}}
	if before != nil {
		pairs = append(pairs, pair{at + "[old_status_id]", itoa(before.StatusID)}, pair{at + "[old_pipeline_id]", itoa(before.PipelineID)})
	}
	return encode(append(pairs, pair{"account[id]", itoa(o.book.AccountID())}, pair{"account[subdomain]", o.book.Subdomain}))
}

// elementType is the number old interfaces use for a kind (amocrm-api.md §6.3).
func elementType(kind string) string {
	return map[string]string{book.Contacts: "1", book.Leads: "2", book.Companies: "3"}[kind]
}

func index(i int) string { return "[" + strconv.Itoa(i) + "]" }

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
