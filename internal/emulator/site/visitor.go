package site

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// obj is a JSON object in the making.
type obj = map[string]any

// Visitor plays one visitor of a site with a Jivo chat, and the operator who
// talks to them: its methods return bodies as Jivo's web hooks send them, with
// their real variety (ids as string or number, nulls, missing blocks;
// jivo-webhooks.md §b). The same seed and number give the same bodies but for
// times. A Visitor is not safe for concurrent use.
type Visitor struct {
	Number  int // visitor.number and client_id, the same thing per account
	Name    string
	Phone   string // as the visitor types it; "" = not given yet
	Email   string
	Company string
	Widget  string // channel id
	Chat    int64  // the running chat
	Agent   Agent
	Now     func() time.Time // default time.Now

	seed  uint64
	rnd   *rand.Rand
	chats int
	said  []obj
}

// Agent is an operator.
type Agent struct {
	ID    int
	Name  string
	Email string
}

// NewVisitor makes the n-th visitor (from 1). It has no contacts yet: give them
// by Phone and Email or through Updated; Contacts has some to give.
func NewVisitor(seed uint64, n int) *Visitor {
	rnd := rand.New(rand.NewPCG(seed, uint64(n)))
	agents := []Agent{
		{1, "Агент Первый", "agent1@gmail.com"}, {2016, "Thomas Anderson", "agent@jivosite.com"}, {3, "Agent3", "agent3@gmail.com"},
	}
	v := &Visitor{
		Number: n, Name: one(rnd, firstNames) + " " + one(rnd, lastNames), Widget: one(rnd, []string{"3948", "3948", "12345678"}),
		Chat: int64(n)*100 + 1, Agent: agents[rnd.IntN(len(agents))], Now: time.Now, seed: seed, rnd: rnd, chats: 1,
	}
	if rnd.IntN(4) == 0 {
		v.Company = "ООО «" + one(rnd, []string{"Ромашка", "Вектор", "Северный ветер", "Acme"}) + "»"
	}
	return v
}

var (
	firstNames = []string{"Иван", "Мария", "Пётр", "Анна-Мария", "Олег", "John", "Жанна", "O'Brien", "Ёжи", "Ли"}
	lastNames  = []string{"Петров", "Смирнова", "Ким", "Smith", "Оглы & Ко", "Д'Артаньян", "Щукина", "Müller"}
	topics     = []string{"Сколько стоит доставка в Казань?", "Есть ли скидка от 10 штук?", "Не работает оплата <картой>", "Здравствуйте! 🙂", "А можно счёт & договор?"}
	answers    = []string{"Добрый день! Сейчас посмотрю.", "Да, доставим завтра.", "Уточните, пожалуйста, телефон.", "Выставлю счёт."}
)

func one[T any](rnd *rand.Rand, list []T) T { return list[rnd.IntN(len(list))] }

// Contacts are a phone and an e-mail nobody else has; the phone is written in
// one of the ways people write theirs.
func (v *Visitor) Contacts() (phone, email string) {
	n := fmt.Sprintf("%07d", v.Number%10_000_000)
	forms := []string{"+7916" + n, "8916" + n, "+7 (916) " + n[:3] + "-" + n[3:5] + "-" + n[5:], "8 916 " + n[:3] + " " + n[3:]}
	return forms[v.Number%len(forms)], fmt.Sprintf("visitor%d@example.com", v.Number)
}

// NewChat starts another chat of the same visitor.
func (v *Visitor) NewChat() {
	v.chats++
	v.Chat = int64(v.Number)*100 + int64(v.chats)
	v.said = nil
}

// id is an id as Jivo sends it: sometimes a number, sometimes a string.
func (v *Visitor) id(n int) any {
	if v.rnd.IntN(2) == 0 {
		return n
	}
	return fmt.Sprint(n)
}

func nullable(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func (v *Visitor) visitor() obj {
	m := obj{"name": nullable(v.Name), "email": nullable(v.Email), "phone": nullable(v.Phone), "description": "", "number": fmt.Sprint(v.Number), "chats_count": v.chats}
	if v.rnd.IntN(3) == 0 {
		m["social"] = obj{}
	}
	if v.Phone == "" && v.rnd.IntN(2) == 0 {
		delete(m, "phone")
	}
	return m
}

// person are the keys that describe the client in every channel event.
func (v *Visitor) person(name string) obj {
	m := obj{
		"event_name": name, "widget_id": v.Widget, "user_token": nil, "visitor": v.visitor(),
		"organization": nil, "status": nil, "assigned_agent": nil, "tags": []obj{},
	}
	if v.Company != "" {
		m["organization"] = obj{"id": v.id(1 + v.Number%50), "name": v.Company}
	}
	if v.rnd.IntN(2) == 0 {
		m["status"] = obj{"id": v.id(4), "title": "contact_later"}
		m["tags"] = []obj{{"id": v.id(17), "title": "Tag example"}}
	}
	return m
}

// chat are the keys of everything that happens in a dialog.
func (v *Visitor) chat(name string) obj {
	m := v.person(name)
	m["chat_id"] = v.Chat
	m["topic"] = obj{"topic_id": 3, "title": "Topic_1", "parent_id": 1}
	m["page"] = obj{"url": "https://shop.example/catalog/" + fmt.Sprint(v.Number%7), "title": "Каталог"}
	m["analytics"] = obj{}
	m["session"] = v.session()
	return m
}

func (v *Visitor) session() obj {
	// The first visit decides: the same visitor comes from the same place.
	src := [][2]string{{"google", "cpc"}, {"yandex", "cpc"}, {"(direct)", "(none)"}, {"telegram", "social"}}[v.Number%4]
	utm := obj{"source": src[0], "medium": src[1], "campaign": "osen%20" + fmt.Sprint(v.Number%3)}
	return obj{
		"geoip": obj{"region_code": "MOW", "country": "Russia", "country_code": "RU", "region": "Moscow", "city": "Москва",
			"latitude": "55.7522", "longitude": "37.6156", "organization": "Example Telecom"},
		"utm":      "source=" + src[0] + "|medium=" + src[1] + "|campaign=osen%20" + fmt.Sprint(v.Number%3),
		"utm_json": utm, "ip_addr": "203.0.113.7", "user_agent": "Mozilla/5.0 (X11; Linux x86_64)",
	}
}

func (v *Visitor) agent() obj {
	return obj{"id": v.id(v.Agent.ID), "name": v.Agent.Name, "email": v.Agent.Email, "phone": "+14083682346"}
}

func body(m obj) []byte {
	b, err := json.Marshal(m)
	if err != nil {
		panic("emulator: visitor's body: " + err.Error()) // our own value: a bug here
	}
	return b
}

// Accepted is chat_accepted.
func (v *Visitor) Accepted() []byte {
	m := v.chat("chat_accepted")
	m["agent"], m["department"] = v.agent(), obj{"id": 281, "name": "Продажи"}
	return body(m)
}

// Updated is chat_updated after the visitor left a phone or e-mail; "" leaves
// what was known.
func (v *Visitor) Updated(phone, email string) []byte {
	if phone != "" {
		v.Phone = phone
	}
	if email != "" {
		v.Email = email
	}
	m := v.chat("chat_updated")
	m["agent"], m["department"] = v.agent(), obj{"id": 281, "name": "Продажи"}
	delete(m["visitor"].(obj), "social")
	return body(m)
}

// Say puts words into the running chat, the visitor's and the operator's in
// turn; without any, a short dialog is made up.
func (v *Visitor) Say(lines ...string) {
	if len(lines) == 0 {
		lines = []string{one(v.rnd, topics), one(v.rnd, answers), one(v.rnd, topics), one(v.rnd, answers)}
	}
	at := v.Now().Unix() - int64(20*len(lines))
	for i, text := range lines {
		msg := obj{"message": text, "timestamp": at + int64(20*i), "type": "visitor"}
		if i%2 == 1 {
			msg["type"], msg["agent_id"] = "agent", v.Agent.ID
		}
		v.said = append(v.said, msg)
	}
}

// Finished is chat_finished with all that was said. Rate is "positive",
// "negative" or "" for none.
func (v *Visitor) Finished(rate string, blacklisted bool) []byte {
	if v.said == nil {
		v.Say()
	}
	m := v.chat("chat_finished")
	delete(m, "user_token")
	m["analytics"] = nil
	m["agents"] = []obj{v.agent()}
	m["chat"] = obj{"messages": v.said, "blacklisted": blacklisted, "rate": nullable(rate)}
	var plain strings.Builder
	for _, msg := range v.said {
		fmt.Fprintf(&plain, "%s: %s\n", msg["type"], msg["message"])
	}
	m["plain_messages"], m["html_messages"] = plain.String(), ""
	return body(m)
}

// Offline is offline_message; its id is unix milliseconds.
func (v *Visitor) Offline(text string) []byte {
	m := v.chat("offline_message")
	m["message"], m["offline_message_id"] = text, v.Now().UnixMilli()+int64(v.Number)
	return body(m)
}

// Call is the sequence of call_event of one call; kind is incoming, outgoing
// or callback. One that was answered ends with a record link, another with an
// error.
func (v *Visitor) Call(kind string, answered bool) [][]byte {
	phone := v.Phone
	if phone == "" {
		phone, _ = v.Contacts()
	}
	states := []obj{{"status": "start"}, {"status": "error", "reason": "all_busy"}}
	if answered {
		states = []obj{{"status": "start"}, {"status": "agent_connected"}, {"status": "client_connected"},
			{"status": "end", "record_url": fmt.Sprintf("https://records.example/%d.mp3", v.Chat)}}
	}
	out := make([][]byte, len(states))
	for i, call := range states {
		m := v.chat("call_event")
		for _, key := range []string{"user_token", "organization", "status", "assigned_agent", "tags"} {
			delete(m, key)
		}
		call["type"], call["phone"] = kind, phone
		m["call"], m["agent"], m["department"] = call, v.agent(), obj{"id": 181, "name": "Продажи"}
		out[i] = body(m)
	}
	return out
}

// ClientUpdated is client_updated: number as a number here, client_id as a string.
func (v *Visitor) ClientUpdated() []byte {
	m := v.person("client_updated")
	m["visitor"].(obj)["number"] = v.Number
	m["client_id"] = fmt.Sprint(v.Number)
	m["assigned_agent"] = obj{"id": v.Agent.ID, "email": v.Agent.Email, "name": v.Agent.Name}
	return body(m)
}

// Attributes is client_attribute_updated.
func (v *Visitor) Attributes(attributes map[string]any) []byte {
	return body(obj{"event_name": "client_attribute_updated", "widget_id": v.Widget, "user_token": nil, "client_id": v.Number, "attributes": attributes})
}

// ChatAssigned is chat_assigned: the operator pasted a link to a card.
func (v *Visitor) ChatAssigned(link string) []byte {
	m := v.chat("chat_assigned")
	m["agent"], m["assign_to"] = v.agent(), link
	return body(m)
}
