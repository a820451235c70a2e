package emulator

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// account is GET /account (amocrm-api.md §4.1).
func (c *call) account() answer {
	o := c.a.opt
	v := obj{
		"id": o.AccountID, "name": "Demo", "subdomain": c.a.st.Subdomain, "current_user_id": c.user, "country": o.Country,
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
			v["is_api_filter_enabled"] = o.FilterEnabled
		case "task_types":
			embedded["task_types"] = []obj{
				{"id": 1, "name": "Связаться", "color": nil, "icon_id": nil, "code": "FOLLOW_UP"},
				{"id": 2, "name": "Встреча", "color": nil, "icon_id": nil, "code": "MEETING"},
			}
		case "datetime_settings":
			embedded["datetime_settings"] = obj{"date_pattern": "d.m.Y H:i", "timezone": o.Timezone,
				"timezone_offset": time.Unix(c.now, 0).In(c.a.loc).Format("-07:00")}
		case "users_groups", "amojo_rights", "entity_names", "drive_url", "invoices_settings":
		default:
			c.violate("unknown with=%s", w)
		}
	}
	if len(embedded) > 0 {
		v["_embedded"] = embedded
	}
	return hal(v)
}

func (c *call) pipelines() answer {
	out := make([]obj, len(c.a.st.Pipelines))
	for i := range c.a.st.Pipelines {
		out[i] = c.pipelineJSON(&c.a.st.Pipelines[i])
	}
	return c.dictionary("pipelines", out)
}

func (c *call) pipeline() answer {
	p, ok := c.a.st.pipeline(c.id())
	if !ok {
		return problem(http.StatusNotFound, "Pipeline not found")
	}
	return hal(c.pipelineJSON(p))
}

func (c *call) statuses() answer {
	p, ok := c.a.st.pipeline(c.id())
	if !ok {
		return problem(http.StatusNotFound, "Pipeline not found")
	}
	return c.dictionary("statuses", c.statusesJSON(p))
}

func (c *call) pipelineJSON(p *Pipeline) obj {
	return obj{
		"id": p.ID, "name": p.Name, "sort": slices.IndexFunc(c.a.st.Pipelines, func(o Pipeline) bool { return o.ID == p.ID }) + 1,
		"is_main": p.Main, "is_unsorted_on": true, "is_archive": p.Archived, "account_id": c.a.opt.AccountID,
		"_links": c.selfOf("leads/pipelines", p.ID), "_embedded": obj{"statuses": c.statusesJSON(p)},
	}
}

func (c *call) statusesJSON(p *Pipeline) []obj {
	out := make([]obj, len(p.Statuses))
	for i, s := range p.Statuses {
		sort, color := 10*(i+1), "#99CCFF"
		switch s.ID {
		case StatusWon:
			sort, color = 10000, "#CCFF66"
		case StatusLost:
			sort, color = 11000, "#D5D8DB"
		}
		out[i] = obj{
			"id": s.ID, "name": s.Name, "sort": sort, "is_editable": s.Type == 0 && s.ID > StatusLost, "pipeline_id": p.ID,
			"color": color, "type": s.Type, "account_id": c.a.opt.AccountID,
			"_links": c.self("/api/v4/leads/pipelines/" + itoa(p.ID) + "/statuses/" + itoa(s.ID)),
		}
	}
	return out
}

func (c *call) lossReasons() answer {
	out := make([]obj, len(c.a.st.LossReasons))
	for i, l := range c.a.st.LossReasons {
		out[i] = obj{"id": l.ID, "name": l.Name, "sort": 10000 * (i + 1), "created_at": 1795000000, "updated_at": 1795000000,
			"_links": c.selfOf("leads/loss_reasons", l.ID)}
	}
	return c.dictionary("loss_reasons", out)
}

func (c *call) users() answer {
	out := make([]obj, len(c.a.st.Users))
	for i, u := range c.a.st.Users {
		out[i] = c.userJSON(u)
	}
	return c.pagedDictionary("users", out)
}

func (c *call) userByID() answer {
	u, ok := c.a.st.user(c.id())
	if !ok {
		return problem(http.StatusNotFound, "User not found")
	}
	return hal(c.userJSON(u))
}

func (c *call) userJSON(u User) obj {
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

func (c *call) customFields() answer {
	defs := c.a.st.Fields[c.vars["kind"]]
	if want := c.filter("type"); want != nil {
		defs = slices.DeleteFunc(slices.Clone(defs), func(f FieldDef) bool { return !slices.Contains(want, f.Type) })
	}
	out := make([]obj, len(defs))
	for i, f := range defs {
		out[i] = c.fieldJSON(f, i)
	}
	return c.pagedDictionary("custom_fields", out)
}

func (c *call) customField() answer {
	f, ok := c.a.st.field(c.vars["kind"], c.id(), "")
	if !ok {
		return problem(http.StatusNotFound, "Custom field not found")
	}
	return hal(c.fieldJSON(f, 0))
}

func (c *call) fieldJSON(f FieldDef, i int) obj {
	var enums any
	if len(f.Enums) > 0 {
		list := make([]obj, len(f.Enums))
		for j, e := range f.Enums {
			list[j] = obj{"id": e.ID, "value": e.Value, "sort": 500 + j, "code": codeOrNull(e.Code)}
		}
		enums = list
	}
	kind := c.vars["kind"]
	return obj{
		"id": f.ID, "name": f.Name, "code": codeOrNull(f.Code), "sort": 500 + i, "type": f.Type, "entity_type": kind,
		"is_api_only": f.APIOnly, "is_deletable": f.Code == "", "is_predefined": f.Code != "", "is_computed": false,
		"group_id": nil, "required_statuses": []obj{}, "enums": enums, "account_id": c.a.opt.AccountID,
		"_links": c.selfOf(kind+"/custom_fields", f.ID),
	}
}

// fieldTypes are the types of amocrm-api.md §4.10 a field can be made with here.
var fieldTypes = []string{
	"text", "numeric", "checkbox", "select", "multiselect", "date", "url", "textarea", "radiobutton", "streetaddress",
	"birthday", "date_time", "price", "monetary", "tracking_data",
}

func (c *call) customFieldsCreate() answer {
	kind := c.vars["kind"]
	items, bad := c.items(250)
	if bad == nil {
		bad = c.validate(kind, true, items, schema{
			"name": {kind: text, required: true}, "code": {kind: text, null: true}, "sort": {kind: integer},
			"type": {kind: text, required: true, check: func(ck *checker, path string, v any) {
				if !slices.Contains(fieldTypes, str(obj{"v": v}, "v")) || v == "tracking_data" && kind != leads {
					ck.choice(path)
				}
			}},
			"group_id": {kind: text, null: true}, "is_api_only": {kind: boolean, null: true}, "is_required": {kind: boolean},
			"enums": {kind: list, null: true, keys: schema{
				"value": {kind: text, required: true}, "sort": {kind: integer}, "code": {kind: text, null: true}}},
			"required_statuses": {kind: list, null: true}, "remind": {kind: text, null: true}, "request_id": {kind: text},
		}, func(ck *checker, item obj) {
			if code := str(item, "code"); code != "" {
				if _, taken := c.a.st.field(kind, 0, code); taken {
					ck.add("NotUnique", "code", "This value is already used.")
				}
			}
		})
	}
	if bad != nil {
		return *bad
	}
	out := make([]obj, len(items))
	for i, item := range items {
		f := FieldDef{ID: c.a.st.id("fields"), Name: str(item, "name"), Code: str(item, "code"), Type: str(item, "type"), APIOnly: item["is_api_only"] == true}
		for _, e := range asList(item["enums"]) {
			f.Enums = append(f.Enums, Enum{c.a.st.id("enums"), str(asObj(e), "value"), str(asObj(e), "code")})
		}
		c.a.st.Fields[kind] = append(c.a.st.Fields[kind], f)
		out[i] = c.fieldJSON(f, len(c.a.st.Fields[kind])-1)
		out[i]["request_id"] = requestID(item, i)
	}
	return hal(obj{"_total_items": len(out), "_links": c.self(c.r.URL.Path), "_embedded": obj{"custom_fields": out}})
}

func (c *call) tags() answer {
	names, query := c.filter("name"), lower(c.q.Get("query"))
	var found []Tag
	for _, t := range c.a.st.Tags[c.vars["kind"]] {
		if (names == nil || slices.Contains(names, t.Name)) && strings.Contains(lower(t.Name), query) {
			found = append(found, t)
		}
	}
	return c.page("tags", len(found), 250, func(i int) obj {
		return obj{"id": found[i].ID, "name": found[i].Name, "color": nil}
	})
}

// tagsCreate: a name that exists gives its id (amocrm-api.md §4.8).
func (c *call) tagsCreate() answer {
	kind := c.vars["kind"]
	items, bad := c.items(250)
	if bad == nil {
		s := schema{"name": {kind: text, required: true}, "request_id": {kind: text}}
		if kind == leads {
			s["color"] = spec{kind: text, null: true}
		}
		bad = c.validate(kind, true, items, s, nil)
	}
	if bad != nil {
		return *bad
	}
	out := make([]obj, len(items))
	for i, item := range items {
		t, _ := c.a.tag(kind, 0, str(item, "name"))
		out[i] = obj{"id": t.ID, "name": t.Name, "color": nil, "request_id": requestID(item, i)}
	}
	return hal(obj{"_links": c.self(c.r.URL.Path), "_embedded": obj{"tags": out}})
}
