package site

import (
	"fmt"
	"time"
)

// Deal is a Jivo deal.
type Deal struct {
	ID       int
	Title    string
	Text     string
	Amount   *int // nil: null
	Pipeline int
	Stage    int
	Reject   *int // reject reason
	Closed   bool
}

func (v *Visitor) deal(name string, d Deal) []byte {
	m := obj{
		"event_name": name, "deal_id": d.ID, "client": obj{"client_id": v.Number}, "title": d.Title, "text": d.Text, "amount": d.Amount,
		"pipeline": obj{"pipeline_id": d.Pipeline, "pipeline_status": obj{"pipeline_status_id": d.Stage},
			"pipeline_reject_reason": obj{"pipeline_reject_reason_id": d.Reject}},
		"assigned_agent": obj{"assigned_agent_id": v.Agent.ID}, "created_ts": v.Now().Unix(), "closed_ts": nil,
		"creator_agent": obj{"creator_agent_id": v.Agent.ID},
	}
	if d.Closed {
		m["closed_ts"] = v.Now().Unix()
	}
	return body(m)
}

// CreatedDeal is created_deal.
func (v *Visitor) CreatedDeal(d Deal) []byte { return v.deal("created_deal", d) }

// UpdatedDeal is updated_deal.
func (v *Visitor) UpdatedDeal(d Deal) []byte { return v.deal("updated_deal", d) }

// DeletedDeal is deleted_deal.
func (v *Visitor) DeletedDeal(d Deal) []byte { return v.deal("deleted_deal", d) }

// Task is a task in Jivo's CRM.
type Task struct {
	ID   int
	Text string
	Deal int // 0: none
	Due  time.Time
}

// TaskEvent is a crm_task event: created_task, updated_task, completed_task,
// deleted_task, fired_task.
func (v *Visitor) TaskEvent(name string, t Task) []byte {
	now := v.Now().Unix()
	m := obj{
		"event_name": name, "text": t.Text, "status": "active", "task_id": t.ID, "agent": obj{"agent_id": v.Agent.ID},
		"client": obj{"client_id": v.Number}, "notify_ts": t.Due.Unix(), "created_ts": now, "updated_ts": now, "show_notification": 1,
		"creator_agent": obj{"creator_agent_id": v.Agent.ID}, "deal": nil,
	}
	if t.Deal != 0 {
		m["deal"] = obj{"deal_id": t.Deal}
	}
	return body(m)
}

// CreatedTask is created_task.
func (v *Visitor) CreatedTask(t Task) []byte { return v.TaskEvent("created_task", t) }

// CompletedTask is completed_task.
func (v *Visitor) CompletedTask(t Task) []byte { return v.TaskEvent("completed_task", t) }

func (v *Visitor) client() obj {
	list := []obj{}
	if v.Phone != "" {
		list = append(list, obj{"contact_type": "phone", "contact": v.Phone, "channel_type": "widget"})
	}
	if v.Email != "" {
		list = append(list, obj{"contact_type": "email", "contact": v.Email, "channel_type": "agent_app"})
	}
	m := obj{
		"client_id": v.Number, "widget": obj{"widget_id": 488651}, "name": nullable(v.Name), "avatar_url": nil, "description": nil,
		"social": nil, "assigned_agent": obj{"assigned_agent_id": nil}, "crm_link": nil, "chats_count": v.chats, "visits_count": v.chats,
		"custom_data": nil, "status": category(5, "unsuccessful"), "organization": nil, "tags": []obj{}, "has_deal": 1,
		"contacts": list, "blacklist": nil,
	}
	if v.Company != "" {
		m["organization"] = obj{"organization_id": 1 + v.Number%50, "name": v.Company}
	}
	return m
}

func category(id int, title string) obj {
	return obj{"title": title, "color": "76869d", "position": 3, "status_id": id, "new_status_id": nil}
}

// ClientEvent is a crm_client event: assigned_agent_to_client, created_client,
// deleted_client, updated_client, changed_client_company,
// changed_client_blacklist, updated_client_contacts.
func (v *Visitor) ClientEvent(name string) []byte {
	m := v.client()
	m["event_name"] = name
	switch name {
	case "assigned_agent_to_client":
		m["assigned_agent"] = obj{"assigned_agent_id": v.Agent.ID}
	case "changed_client_blacklist":
		now := v.Now().Unix()
		m["blacklist"] = obj{"agent": obj{"agent_id": v.Agent.ID}, "block_datetime_ts": now, "unblock_datetime_ts": now + 86400, "ip_address": "203.0.113.7"}
	}
	return body(m)
}

// AssignedStatus is assigned_status: the client was put into a category.
func (v *Visitor) AssignedStatus(id int, title string) []byte {
	c := v.client()
	c["status"] = category(id, title)
	return body(obj{"event_name": "assigned_status", "status": category(id, title), "client": c})
}

// StatusEvent is created_status, updated_status or deleted_status.
func StatusEvent(name string, id int, title string) []byte {
	m := category(id, title)
	m["event_name"] = name
	return body(m)
}

// TagEvent is created_client_tag, updated_client_tag or deleted_client_tag.
func TagEvent(name string, id int, title string) []byte {
	return body(obj{"event_name": name, "tag_id": id, "title": title})
}

// MergedTags is merged_tag, as Jivo's sample spells merged_client_tag.
func MergedTags(id int, title string, merged ...int) []byte {
	list := make([]obj, len(merged))
	for i, m := range merged {
		list[i] = obj{"tag_id": m, "title": fmt.Sprint("Tag ", m)}
	}
	return body(obj{"event_name": "merged_tag", "tag": obj{"tag_id": id, "title": title}, "merged_tags": list})
}

// CreatedOrganization is created_organization: an id and nothing else.
func CreatedOrganization(id int) []byte {
	return body(obj{"event_name": "created_organization", "organization_id": id})
}
