package rest

import (
	"net/http"
	"slices"
	"strings"

	"github.com/jivo-amocrm/bridge/internal/emulator/answer"
	"github.com/jivo-amocrm/bridge/internal/emulator/body"
	"github.com/jivo-amocrm/bridge/internal/emulator/book"
	"github.com/jivo-amocrm/bridge/internal/emulator/check"
)

// account is GET /account (amocrm-api.md §4.1).
func (c *call) account() answer.Answer {
	b := c.book
	v := obj{
		"id": b.AccountID(), "name": "Demo", "subdomain": c.book.Subdomain, "current_user_id": c.user, "country": b.Country(),
		"currency": "RUB", "customers_mode": "segments", "is_unsorted_on": true, "is_loss_reason_enabled": true,
		"is_helpbot_enabled": false, "is_technical_account": false, "contact_name_display_order": 1,
		"_links": c.self("/api/v4/account"),
	}
	embedded := obj{}
	for _, w := range c.with() {
		switch w {
		case "amojo_id":
			v["amojo_id"] = "5d8a3f0c-0000-4000-8000-00000000a0b1"
		case "version":
			v["version"] = 16
		case "is_api_filter_enabled":
			v["is_api_filter_enabled"] = c.opt.FilterEnabled
		case "task_types":
			embedded["task_types"] = []obj{
				{"id": 1, "name": "Связаться", "color": nil, "icon_id": nil, "code": "FOLLOW_UP"},
				{"id": 2, "name": "Встреча", "color": nil, "icon_id": nil, "code": "MEETING"},
			}
		case "datetime_settings":
			embedded["datetime_settings"] = obj{"date_pattern": "d.m.Y H:i", "timezone": b.Timezone(),
				"timezone_offset": b.Local(c.now).Format("-07:00")}
		case "users_groups", "amojo_rights", "entity_names", "drive_url", "invoices_settings":
		default:
			c.violate("unknown with=%s", w)
		}
	}
	if len(embedded) > 0 {
		v["_embedded"] = embedded
	}
	return answer.HAL(v)
}

func (c *call) pipelines() answer.Answer {
	out := make([]obj, len(c.book.Pipelines))
	for i := range c.book.Pipelines {
		out[i] = c.pipelineJSON(&c.book.Pipelines[i])
	}
	return c.dictionary("pipelines", out)
}

func (c *call) pipeline() answer.Answer {
	p, ok := c.book.Pipeline(c.id())
	if !ok {
		return answer.Problem(http.StatusNotFound, "Pipeline not found")
	}
	return answer.HAL(c.pipelineJSON(p))
}

func (c *call) statuses() answer.Answer {
	p, ok := c.book.Pipeline(c.id())
	if !ok {
		return answer.Problem(http.StatusNotFound, "Pipeline not found")
	}
	return c.dictionary("statuses", c.statusesJSON(p))
}

func (c *call) pipelineJSON(p *book.Pipeline) obj {
	return obj{
		"id": p.ID, "name": p.Name, "sort": slices.IndexFunc(c.book.Pipelines, func(o book.Pipeline) bool { return o.ID == p.ID }) + 1,
		"is_main": p.Main, "is_unsorted_on": true, "is_archive": p.Archived, "account_id": c.book.AccountID(),
		"_links": c.selfOf("leads/pipelines", p.ID), "_embedded": obj{"statuses": c.statusesJSON(p)},
	}
}

func (c *call) statusesJSON(p *book.Pipeline) []obj {
	out := make([]obj, len(p.Statuses))
	for i, s := range p.Statuses {
		sort, color := 10*(i+1), "#99CCFF"
		switch s.ID {
		case book.StatusWon:
			sort, color = 10000, "#CCFF66"
		case book.StatusLost:
			sort, color = 11000, "#D5D8DB"
		}
		out[i] = obj{
			"id": s.ID, "name": s.Name, "sort": sort, "is_editable": s.Type == 0 && s.ID > book.StatusLost, "pipeline_id": p.ID,
			"color": color, "type": s.Type, "account_id": c.book.AccountID(),
			"_links": c.self("/api/v4/leads/pipelines/" + itoa(p.ID) + "/statuses/" + itoa(s.ID)),
		}
	}
	return out
}

func (c *call) lossReasons() answer.Answer {
	out := make([]obj, len(c.book.LossReasons))
	for i, l := range c.book.LossReasons {
		out[i] = obj{"id": l.ID, "name": l.Name, "sort": 10000 * (i + 1), "created_at": 1795000000, "updated_at": 1795000000,
			"_links": c.selfOf("leads/loss_reasons", l.ID)}
	}
	return c.dictionary("loss_reasons", out)
}

func (c *call) users() answer.Answer {
	out := make([]obj, len(c.book.Users))
	for i, u := range c.book.Users {
		out[i] = c.userJSON(u)
	}
	return c.pagedDictionary("users", out)
}

func (c *call) userByID() answer.Answer {
	u, ok := c.book.User(c.id())
	if !ok {
		return answer.Problem(http.StatusNotFound, "User not found")
	}
	return answer.HAL(c.userJSON(u))
}

func (c *call) userJSON(u book.User) obj {
	all := obj{"view": "A", "edit": "A", "add": "A", "delete": "A", "export": "A"}
	return obj{
		"id": u.ID, "name": u.Name, "email": u.Email, "lang": "ru", "_links": c.selfOf("users", u.ID),
		"rights": obj{
			"leads": all, "contacts": all, "companies": all, "tasks": obj{"edit": "A", "delete": "A"},
			"mail_access": false, "catalog_access": false, "status_rights": []obj{},
			"is_admin": u.Admin, "is_free": false, "is_active": u.Active, "group_id": nil, "role_id": nil,
		},
	}
}

func (c *call) customFields() answer.Answer {
	defs := c.book.Fields[c.vars["kind"]]
	if want := c.filter("type"); want != nil {
		defs = slices.DeleteFunc(slices.Clone(defs), func(f book.FieldDef) bool { return !slices.Contains(want, f.Type) })
	}
	out := make([]obj, len(defs))
	for i, f := range defs {
		out[i] = c.fieldJSON(f, i)
	}
	return c.pagedDictionary("custom_fields", out)
}

func (c *call) customField() answer.Answer {
	f, ok := c.book.Field(c.vars["kind"], c.id(), "")
	if !ok {
		return answer.Problem(http.StatusNotFound, "Custom field not found")
	}
	return answer.HAL(c.fieldJSON(f, 0))
}

func (c *call) fieldJSON(f book.FieldDef, i int) obj {
	var enums any
	if len(f.Enums) > 0 {
		list := make([]obj, len(f.Enums))
		for j, e := range f.Enums {
			list[j] = obj{"id": e.ID, "value": e.Value, "sort": 500 + j, "code": body.TextOrNull(e.Code)}
		}
		enums = list
	}
	kind := c.vars["kind"]
	return obj{
		"id": f.ID, "name": f.Name, "code": body.TextOrNull(f.Code), "sort": 500 + i, "type": f.Type, "entity_type": kind,
		"is_api_only": f.APIOnly, "is_deletable": f.Code == "", "is_predefined": f.Code != "", "is_computed": false,
		"group_id": nil, "required_statuses": []obj{}, "enums": enums, "account_id": c.book.AccountID(),
		"_links": c.selfOf(kind+"/custom_fields", f.ID),
	}
}

func (c *call) customFieldsCreate() answer.Answer {
	kind := c.vars["kind"]
	items, bad := c.items(250)
	if bad == nil {
		bad = c.validate(items, check.Field(kind))
	}
	if bad != nil {
		return *bad
	}
	out := make([]obj, len(items))
	for i, item := range items {
		f := book.FieldDef{ID: c.book.NextID("fields"), Name: body.Text(item, "name"), Code: body.Text(item, "code"), Type: body.Text(item, "type"), APIOnly: item["is_api_only"] == true}
		for _, e := range body.List(item["enums"]) {
			f.Enums = append(f.Enums, book.Enum{ID: c.book.NextID("enums"), Value: body.Text(body.Object(e), "value"), Code: body.Text(body.Object(e), "code")})
		}
		c.book.Fields[kind] = append(c.book.Fields[kind], f)
		out[i] = c.fieldJSON(f, len(c.book.Fields[kind])-1)
		out[i]["request_id"] = body.RequestID(item, i)
	}
	return answer.HAL(obj{"_total_items": len(out), "_links": c.self(c.r.URL.Path), "_embedded": obj{"custom_fields": out}})
}

func (c *call) tags() answer.Answer {
	names, query := c.filter("name"), strings.ToLower(c.q.Get("query"))
	var found []book.Tag
	for _, t := range c.book.Tags[c.vars["kind"]] {
		if (names == nil || slices.Contains(names, t.Name)) && strings.Contains(strings.ToLower(t.Name), query) {
			found = append(found, t)
		}
	}
	return c.page("tags", len(found), 250, func(i int) obj {
		return obj{"id": found[i].ID, "name": found[i].Name, "color": nil}
	})
}

// tagsCreate: a name that exists gives its id (amocrm-api.md §4.8).
func (c *call) tagsCreate() answer.Answer {
	kind := c.vars["kind"]
	items, bad := c.items(250)
	if bad == nil {
		bad = c.validate(items, check.Tag(kind))
	}
	if bad != nil {
		return *bad
	}
	out := make([]obj, len(items))
	for i, item := range items {
		t, _ := c.book.Tag(kind, 0, body.Text(item, "name"))
		out[i] = obj{"id": t.ID, "name": t.Name, "color": nil, "request_id": body.RequestID(item, i)}
	}
	return answer.HAL(obj{"_links": c.self(c.r.URL.Path), "_embedded": obj{"tags": out}})
}
