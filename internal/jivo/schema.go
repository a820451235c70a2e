package jivo

import (
	"maps"
	"slices"

	"github.com/jivo-amocrm/bridge/internal/event"
)

// The two webhook streams (jivo-webhooks.md §0).
const (
	channel = "channel"
	crm     = "crm"
)

// kind is what is documented of one event name.
type kind struct {
	stream   string
	category string // event_type of the CRM stream
	shape    *event.Type
}

// kinds is read only after start.
var kinds = documented()

// Kinds returns every known event name, sorted.
func Kinds() []string { return slices.Sorted(maps.Keys(kinds)) }

// Schema returns the documented shape of an event: every field that a table
// or a sample of Jivo's page, its help pages or a receiver in the field has
// for this kind, and `extra`, where fields outside the shape are put. It
// returns nil for a name nobody knows. The shape must not be changed.
func Schema(name string) *event.Type {
	if k := kinds[name]; k != nil {
		return k.shape
	}
	return nil
}

// Stream returns "channel" or "crm", or "" for a name nobody knows.
func Stream(name string) string {
	if k := kinds[name]; k != nil {
		return k.stream
	}
	return ""
}

// fields are the documented fields of an object.
type fields map[string]*event.Type

func basic(b event.Basic) *event.Type { return &event.Type{Basic: b} }

func structOf(parts ...fields) *event.Type {
	t := &event.Type{Basic: event.Struct, Fields: map[string]*event.Type{}}
	for _, p := range parts {
		maps.Copy(t.Fields, p)
	}
	return t
}

func listOf(parts ...fields) *event.Type {
	return &event.Type{Basic: event.List, Elem: structOf(parts...)}
}

// dialect holds the basic types, so that the tables below read like Jivo's.
type dialect struct {
	str, id, num, float, flag, free *event.Type
}

func documented() map[string]*kind {
	d := dialect{
		str: basic(event.String), id: basic(event.ID), num: basic(event.Int),
		float: basic(event.Float), flag: basic(event.Bool), free: basic(event.Map),
	}
	// event_timestamp is in no table, but was seen in live payloads (§d).
	every := fields{"event_name": d.str, "event_type": d.str, "event_timestamp": d.num, "extra": d.free}
	all := map[string]*kind{}
	for name, f := range d.channelEvents() {
		all[name] = &kind{stream: channel, shape: structOf(every, f)}
	}
	for category, events := range d.crmEvents() {
		for name, f := range events {
			all[name] = &kind{stream: crm, category: category, shape: structOf(every, f)}
		}
	}
	return all
}

// join returns the union of field sets.
func join(parts ...fields) fields {
	out := fields{}
	for _, p := range parts {
		maps.Copy(out, p)
	}
	return out
}

// channelEvents are §a.1 to §a.3. Blocks that vanish by event (row 29) belong
// to every dialog event, since the one table of Jivo's page speaks of all.
func (d dialect) channelEvents() map[string]fields {
	agent := fields{"id": d.id, "name": d.str, "email": d.str, "phone": d.str}
	client := fields{
		"widget_id": d.id, "user_token": d.str,
		"visitor": structOf(fields{
			"name": d.str, "email": d.str, "phone": d.str, "description": d.str,
			"number": d.id, "social": d.free, "chats_count": d.num,
		}),
		"organization":   structOf(fields{"id": d.id, "name": d.str}),
		"status":         structOf(fields{"id": d.id, "title": d.str}),
		"assigned_agent": structOf(fields{"id": d.id, "email": d.str, "name": d.str}),
		"tags":           listOf(fields{"id": d.id, "title": d.str}),
	}
	dialog := join(client, fields{
		"chat_id":    d.id,
		"topic":      structOf(fields{"topic_id": d.id, "title": d.str, "parent_id": d.id}),
		"department": structOf(fields{"id": d.id, "name": d.str}),
		"session":    d.session(),
		"page":       structOf(fields{"url": d.str, "title": d.str}),
		"analytics":  structOf(fields{"ga": d.str, "ym": d.str}),
		"agent":      structOf(agent),
	})
	return map[string]fields{
		"call_event": join(dialog, fields{"call": structOf(fields{
			"type": d.str, "phone": d.str, "status": d.str, "reason": d.str, "record_url": d.str,
		})}),
		"chat_accepted":  dialog,
		"chat_updated":   dialog,
		"chat_assigned":  join(dialog, fields{"assign_to": d.str}),
		"client_updated": join(client, fields{"client_id": d.id}),
		"client_attribute_updated": {
			"widget_id": d.id, "user_token": d.str, "client_id": d.id, "attributes": d.free,
		},
		"chat_finished": join(dialog, fields{
			"agents": listOf(agent),
			"chat": structOf(fields{
				"messages":    listOf(fields{"message": d.str, "timestamp": d.num, "type": d.str, "agent_id": d.id}),
				"blacklisted": d.flag, "rate": d.str, "invitation": d.str, "invite_timestamp": d.num,
			}),
			"chat_rate":      d.str,
			"plain_messages": d.str, "html_messages": d.str,
		}),
		"offline_message": join(dialog, fields{"message": d.str, "offline_message_id": d.id}),
	}
}

func (d dialect) session() *event.Type {
	return structOf(fields{
		"geoip": structOf(fields{
			"region_code": d.str, "country": d.str, "country_code": d.str, "region": d.str, "city": d.str,
			"latitude": d.str, "longitude": d.str, "organization": d.str, "isp": d.str,
		}),
		"utm": d.str,
		"utm_json": structOf(fields{
			"source": d.str, "campaign": d.str, "content": d.str, "medium": d.str, "term": d.str,
		}),
		"ip_addr": d.str, "user_agent": d.str,
	})
}

// crmEvents are §a.4 by category.
func (d dialect) crmEvents() map[string]map[string]fields {
	status := fields{"title": d.str, "color": d.str, "position": d.num, "status_id": d.id, "new_status_id": d.id}
	tag := fields{"tag_id": d.id, "title": d.str}
	enabled := fields{"enabled": d.flag}
	client := d.crmClient(status, tag)
	pipeline, deal, task := d.pipeline(), d.deal(), d.task()
	return map[string]map[string]fields{
		"crm_pipeline": {"created_pipeline": pipeline, "updated_pipeline": pipeline, "deleted_pipeline": pipeline},
		"crm_status": {
			"created_status": status, "updated_status": status, "deleted_status": status,
			"reordered_status":                 status,
			"changed_require_update_of_status": enabled,
			"assigned_status":                  {"status": structOf(status), "client": structOf(client)},
		},
		"crm_client_tag": {
			"created_client_tag": tag, "updated_client_tag": tag, "deleted_client_tag": tag,
			"merged_client_tag":                     {"tag": structOf(tag), "merged_tags": listOf(tag)},
			"changed_administrator_only_client_tag": enabled,
		},
		"crm_deal": {"created_deal": deal, "updated_deal": deal, "deleted_deal": deal},
		"crm_task": {
			"created_task": task, "updated_task": task, "deleted_task": task, "completed_task": task, "fired_task": task,
		},
		"crm_organization": {"created_organization": {"organization_id": d.id}},
		"crm_client": {
			"assigned_agent_to_client": client, "created_client": client, "deleted_client": client,
			"updated_client": client, "changed_client_company": client, "changed_client_blacklist": client,
			"updated_client_contacts": client,
		},
	}
}

func (d dialect) pipeline() fields {
	return fields{
		"pipeline_id": d.id, "title": d.str, "currency": d.str,
		"pipeline_statuses": listOf(fields{
			"pipeline_status_id": d.id, "title": d.str, "position": d.num, "color": d.str, "type": d.str, "final_status": d.str,
		}),
		"pipeline_reject_reasons": listOf(fields{"pipeline_reject_reason_id": d.id, "title": d.str, "position": d.num}),
	}
}

func (d dialect) deal() fields {
	return fields{
		"deal_id": d.id, "client": structOf(fields{"client_id": d.id}),
		"title": d.str, "text": d.str, "amount": d.float,
		"pipeline": structOf(fields{
			"pipeline_id":            d.id,
			"pipeline_status":        structOf(fields{"pipeline_status_id": d.id}),
			"pipeline_reject_reason": structOf(fields{"pipeline_reject_reason_id": d.id}),
		}),
		"assigned_agent": structOf(fields{"assigned_agent_id": d.id}),
		"created_ts":     d.num, "closed_ts": d.num,
		"creator_agent": structOf(fields{"creator_agent_id": d.id}),
	}
}

func (d dialect) task() fields {
	return fields{
		"text": d.str, "status": d.str, "task_id": d.id,
		"agent":     structOf(fields{"agent_id": d.id}),
		"client":    structOf(fields{"client_id": d.id}),
		"notify_ts": d.num, "created_ts": d.num, "updated_ts": d.num, "show_notification": d.flag,
		"creator_agent": structOf(fields{"creator_agent_id": d.id}),
		"deal":          structOf(fields{"deal_id": d.id}),
	}
}

func (d dialect) crmClient(status, tag fields) fields {
	return fields{
		"client_id": d.id, "widget": structOf(fields{"widget_id": d.id}),
		"name": d.str, "avatar_url": d.str, "description": d.str, "social": d.free,
		"assigned_agent": structOf(fields{"assigned_agent_id": d.id}),
		"crm_link":       d.str, "chats_count": d.num, "visits_count": d.num,
		// What the page passed to setCustomData; null in every sample (row 11).
		"custom_data":  listOf(fields{"title": d.str, "content": d.str, "key": d.str, "link": d.str}),
		"status":       structOf(status),
		"organization": structOf(fields{"organization_id": d.id, "name": d.str}),
		"tags":         listOf(tag),
		"has_deal":     d.flag,
		"contacts":     listOf(fields{"contact_type": d.str, "contact": d.str, "channel_type": d.str}),
		"blacklist": structOf(fields{
			"agent":             structOf(fields{"agent_id": d.id}),
			"block_datetime_ts": d.num, "unblock_datetime_ts": d.num, "ip_address": d.str,
		}),
	}
}
