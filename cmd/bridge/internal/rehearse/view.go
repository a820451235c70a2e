package rehearse

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jivo-amocrm/bridge/internal/amocrm/dict"
	"github.com/jivo-amocrm/bridge/internal/event"
)

// View is a change in people's words: what it writes, by name. Values are text or
// lists of text; custom fields stand under their names.
func View(d *dict.Snapshot, ch event.Change) map[string]any {
	var item map[string]any
	if json.Unmarshal(ch.Item, &item) != nil {
		item = map[string]any{}
	}
	v := map[string]any{}
	set := func(key, value string) {
		if value != "" {
			v[key] = value
		}
	}
	set("name", text(item["name"]))
	set("price", text(item["price"]))
	set("text", text(item["text"]))
	set("responsible", userName(d, int64(number(item["responsible_user_id"]))))
	made := ch.Op == event.OpCreate && ch.Target == event.OnLead
	if p := int64(number(item["pipeline_id"])); p != 0 || item["status_id"] != nil || made {
		main, _ := d.MainPipeline()
		p = cmp.Or(p, main.ID)
		first, _ := d.FirstStage(p) // where amoCRM puts a lead that says nothing else
		set("pipeline", d.PipelineName(p))
		set("stage", stageName(d, p, cmp.Or(int64(number(item["status_id"])), first.ID)))
	}
	if r, ok := d.LossReason(text(item["loss_reason_id"])); ok {
		set("loss_reason", r.Name)
	}
	if item["is_completed"] == true {
		set("completed", "true")
	}
	result, _ := item["result"].(map[string]any)
	set("result", text(result["text"]))
	params, _ := item["params"].(map[string]any)
	for _, key := range []string{"text", "service", "phone", "link", "duration"} {
		set(key, text(params[key]))
	}
	set("kind", text(item["note_type"]))
	for key, wire := range map[string]string{"tags": "tags_to_add", "tags_remove": "tags_to_delete"} {
		if t := tags(item, wire); len(t) > 0 {
			v[key] = t
		}
	}
	viewFields(d, ch, item, v)
	return v
}

// viewFields adds custom fields: phones and e-mails under those words, everything
// else under its name.
func viewFields(d *dict.Snapshot, ch event.Change, item, v map[string]any) {
	entity := "leads"
	if ch.Target == event.OnContact {
		entity = "contacts"
	}
	for _, f := range fieldsOf(item) {
		known, ok := d.Field(entity, f.key())
		var values []string
		for _, val := range f.values {
			values = append(values, cmp.Or(val.Text, optionName(known, val.EnumID)))
		}
		switch {
		case f.code == "PHONE" || known.Code == "PHONE":
			v["phones"] = values
		case f.code == "EMAIL" || known.Code == "EMAIL":
			v["emails"] = values
		case ok:
			v[known.Name] = one(values)
		default:
			v[f.key()] = one(values)
		}
	}
}

func one(values []string) any {
	if len(values) == 1 {
		return values[0]
	}
	return values
}

func optionName(f dict.Field, id int64) string {
	for _, e := range f.Enums {
		if e.ID == id {
			return e.Value
		}
	}
	return ""
}

func userName(d *dict.Snapshot, id int64) string {
	u, ok := d.UserByID(id)
	if !ok {
		return ""
	}
	return cmp.Or(u.Email, u.Name)
}

// stageName is a stage as a config may spell it: the two that end a lead have a
// word of their own in every pipeline.
func stageName(d *dict.Snapshot, pipeline, status int64) string {
	switch status {
	case event.StatusWon:
		return "won"
	case event.StatusLost:
		return "lost"
	}
	return d.StageName(pipeline, status)
}

// Describe writes a change on one line, for a list of what was written.
func Describe(d *dict.Snapshot, ch event.Change) string {
	v := View(d, ch)
	keys := make([]string, 0, len(v))
	for k := range v {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", ch.Op, ch.Target)
	if ch.EntityID != 0 {
		fmt.Fprintf(&b, " of %s %d", ch.EntityType, ch.EntityID)
	}
	if ch.Rule != "" {
		fmt.Fprintf(&b, " by %q", ch.Rule)
	}
	for i, k := range keys {
		sep := ": "
		if i > 0 {
			sep = ", "
		}
		fmt.Fprintf(&b, "%s%s=%s", sep, k, show(v[k]))
	}
	return b.String()
}

// show writes a value of a view, cut to what fits on a line.
func show(v any) string {
	const most = 80
	if v == nil {
		return "nothing"
	}
	s := fmt.Sprintf("%q", v)
	if t := text(v); t != "" {
		s = strconv.Quote(t)
	}
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}
