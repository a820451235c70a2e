package emulator

import (
	"fmt"
	"math/rand/v2"
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

// JivoTask is a task in Jivo's CRM.
type JivoTask struct {
	ID   int
	Text string
	Deal int // 0: none
	Due  time.Time
}

// TaskEvent is a crm_task event: created_task, updated_task, completed_task,
// deleted_task, fired_task.
func (v *Visitor) TaskEvent(name string, t JivoTask) []byte {
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
func (v *Visitor) CreatedTask(t JivoTask) []byte { return v.TaskEvent("created_task", t) }

// CompletedTask is completed_task.
func (v *Visitor) CompletedTask(t JivoTask) []byte { return v.TaskEvent("completed_task", t) }

// The pipeline PipelineEvent tells of, as in Jivo's own sample.
const (
	JivoPipeline = 6
	JivoWon      = 19
	JivoLost     = 20
	JivoNew      = 21
)

// PipelineEvent is created_pipeline, updated_pipeline or deleted_pipeline of
// Jivo's sample pipeline.
func PipelineEvent(name string) []byte {
	stage := func(id int, title string, position int, kind string, final any) obj {
		return obj{"pipeline_status_id": id, "title": title, "position": position, "color": "1fb6fd", "type": kind, "final_status": final}
	}
	reason := func(id int, title string) obj {
		return obj{"pipeline_reject_reason_id": id, "title": title, "position": id - 21}
	}
	return body(obj{
		"event_name": name, "pipeline_id": JivoPipeline, "title": "Gruzly", "currency": "RUB",
		"pipeline_statuses": []obj{stage(JivoWon, "finished", 0, "system", "successful"),
			stage(JivoLost, "unsuccessful", 0, "system", "unsuccessful"), stage(JivoNew, "Новая", 1, "user", nil)},
		"pipeline_reject_reasons": []obj{reason(21, "Слишком дорого"), reason(22, "Пропала потребность"),
			reason(23, "Не устроили условия"), reason(24, "Выбрали других")},
	})
}

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

// Script is one visitor's whole story: what Jivo sends, in order.
type Script struct {
	Visitor *Visitor
	Steps   []Step
}

// Step is one body, sent After the step before it.
type Step struct {
	After time.Duration
	Kind  string
	Body  []byte
}

// Play writes the story of the n-th visitor: which one depends on n, so that
// eight visitors in a row play all of them. Pauses are of the order of pace.
func Play(seed uint64, n int, pace time.Duration) Script {
	v := NewVisitor(seed, n)
	rnd := rand.New(rand.NewPCG(seed, uint64(n)|1<<40))
	s := Script{Visitor: v}
	add := func(kind string, b []byte) {
		s.Steps = append(s.Steps, Step{After: time.Duration(float64(pace) * (0.5 + rnd.Float64())), Kind: kind, Body: b})
	}
	phone, email := v.Contacts()
	switch n % 8 {
	case 1: // knows what they want: contacts at once
		v.Phone, v.Email = phone, email
		add("chat_accepted", v.Accepted())
		add("chat_finished", v.Finished("positive", false))
	case 2: // anonymous first, then a phone
		add("chat_accepted", v.Accepted())
		add("chat_updated", v.Updated(phone, ""))
		add("chat_finished", v.Finished("", false))
	case 3: // nobody was there
		v.Email = email
		add("offline_message", v.Offline(one(rnd, topics)))
	case 4: // called
		v.Phone = phone
		for _, b := range v.Call("incoming", true) {
			add("call_event", b)
		}
	case 5: // a call nobody took, then a pop-up form
		v.Phone = phone
		for _, b := range v.Call("callback", false) {
			add("call_event", b)
		}
		v.Email = email
		add("client_updated", v.ClientUpdated())
	case 6: // a chat that becomes a deal with a task
		v.Phone = phone
		add("chat_accepted", v.Accepted())
		amount := 1000 * (1 + rnd.IntN(50))
		d := Deal{ID: 300000 + n, Title: "Сделка " + v.Name, Text: "Описание сделки", Amount: &amount, Pipeline: JivoPipeline, Stage: JivoNew}
		add("created_deal", v.CreatedDeal(d))
		t := JivoTask{ID: 200000 + n, Text: "Перезвонить", Deal: d.ID, Due: v.Now().Add(time.Hour)}
		add("created_task", v.CreatedTask(t))
		add("chat_finished", v.Finished("", false))
		d.Stage, d.Closed = JivoWon, true
		add("updated_deal", v.UpdatedDeal(d))
		add("completed_task", v.CompletedTask(t))
	case 7: // comes back: two chats of one visitor
		v.Phone, v.Email = phone, email
		add("chat_accepted", v.Accepted())
		add("chat_finished", v.Finished("negative", false))
		add("client_attribute_updated", v.Attributes(map[string]any{"Город": "Казань", "Баллы": 120}))
		v.NewChat()
		add("chat_accepted", v.Accepted())
		add("chat_finished", v.Finished("", false))
	default: // never says who they are
		add("chat_accepted", v.Accepted())
		add("chat_finished", v.Finished("", false))
	}
	return s
}
