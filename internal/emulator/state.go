package emulator

import (
	"slices"
	"time"
)

// state is everything an account remembers; Save writes it whole.
type state struct {
	Subdomain string
	TokenUser int64 // who granted the integration
	Unpaid    int   // 0 paid, 1 writes refused, 2 everything refused
	Next      map[string]int64

	Users       []User
	Pipelines   []Pipeline
	LossReasons []LossReason
	Fields      map[string][]FieldDef
	Tags        map[string][]Tag

	Cards    map[string]*table
	Notes    []*Note
	Tasks    []*Task
	Unsorted []*Unsorted
	Events   []*Event
	Hooks    []*Subscription
	DPHooks  []DPHook

	Access  map[string]int64 // access token → unix expiry; 0: never
	Refresh map[string]int64
	Spent   map[string]bool  // refresh tokens and codes used up
	Codes   map[string]int64 // authorisation code → unix expiry
}

// table keeps the cards of one kind in order of their ids.
type table struct {
	ByID map[int64]*Record
	IDs  []int64
}

func newTable() *table { return &table{ByID: map[int64]*Record{}} }

func (t *table) add(r *Record) {
	t.ByID[r.ID] = r
	t.IDs = append(t.IDs, r.ID)
}

// live returns the record if it exists and a reader may see it.
func (t *table) live(id int64) (*Record, bool) {
	r, ok := t.ByID[id]
	if !ok || r.Deleted || r.Hidden {
		return nil, false
	}
	return r, true
}

// User is an amoCRM user (amocrm-api.md §4.9).
type User struct {
	ID     int64
	Name   string
	Email  string
	Admin  bool
	Active bool
}

// Pipeline is a sales pipeline with its stages, the unsorted one first.
type Pipeline struct {
	ID       int64
	Name     string
	Main     bool
	Archived bool
	Statuses []Status
}

// Status is a stage. Type 1 is the unsorted stage; 142 is won, 143 lost, in
// every pipeline (amocrm-api.md §4.9).
type Status struct {
	ID   int64
	Name string
	Type int
}

// The two stage ids all pipelines share.
const (
	StatusWon  int64 = 142
	StatusLost int64 = 143
)

// LossReason says why a lead was lost.
type LossReason struct {
	ID   int64
	Name string
}

// FieldDef is a custom field of leads, contacts or companies.
type FieldDef struct {
	ID      int64
	Name    string
	Code    string
	Type    string
	Enums   []Enum
	APIOnly bool
}

// Enum is one option of a field.
type Enum struct {
	ID    int64
	Value string
	Code  string
}

func (o Options) withDefaults() Options {
	def := func(p *string, v string) {
		if *p == "" {
			*p = v
		}
	}
	def(&o.Subdomain, "demo")
	def(&o.Country, "RU")
	def(&o.Timezone, "Europe/Moscow")
	def(&o.ClientID, "0a1b2c3d-0000-4000-8000-00000000c1d1")
	def(&o.ClientSecret, "emulated-client-secret")
	def(&o.RedirectURI, "https://bridge.example/oauth/amo")
	if o.AccountID == 0 {
		o.AccountID = 31000001
	}
	if o.RPS == 0 {
		o.RPS = 7
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Users == nil {
		o.Users = DefaultUsers()
	}
	if o.Pipelines == nil {
		o.Pipelines = DefaultPipelines()
	}
	return o
}

// DefaultUsers are an admin, an owner and somebody who was switched off.
func DefaultUsers() []User {
	return []User{
		{ID: 9001, Name: "Анна Смирнова", Email: "anna@example.com", Admin: true, Active: true},
		{ID: 9002, Name: "Олег Владельцев", Email: "owner@example.com", Active: true},
		{ID: 9003, Name: "Виктор Бывший", Email: "victor@example.com"},
	}
}

// DefaultPipelines are the main pipeline "Продажи" and "Опт".
func DefaultPipelines() []Pipeline {
	end := []Status{{ID: StatusWon, Name: "Успешно реализовано"}, {ID: StatusLost, Name: "Закрыто и не реализовано"}}
	return []Pipeline{
		{ID: 700001, Name: "Продажи", Main: true, Statuses: append([]Status{
			{ID: 70000001, Name: "Неразобранное", Type: 1},
			{ID: 70000002, Name: "Первичный контакт"},
			{ID: 70000003, Name: "Переговоры"},
			{ID: 70000004, Name: "Принимают решение"},
		}, end...)},
		{ID: 700002, Name: "Опт", Statuses: append([]Status{
			{ID: 70000011, Name: "Неразобранное", Type: 1},
			{ID: 70000012, Name: "Новая заявка"},
			{ID: 70000013, Name: "Согласование"},
		}, end...)},
	}
}

func newState(o Options) *state {
	s := &state{
		Subdomain: o.Subdomain,
		Next: map[string]int64{
			leads: 5000001, contacts: 8000001, "notes": 9900001, "tasks": 7000001,
			"tags": 31, "fields": 2001, "enums": 5001, "webhooks": 1, "calls": 1, "events": 1,
		},
		Users:     slices.Clone(o.Users),
		Pipelines: clonePipelines(o.Pipelines),
		LossReasons: []LossReason{
			{1, "Слишком дорого"}, {2, "Пропала потребность"}, {3, "Не устроили условия"}, {4, "Выбрали других"},
		},
		Fields:  defaultFields(o.NoMarker),
		Tags:    map[string][]Tag{},
		Cards:   map[string]*table{leads: newTable(), contacts: newTable(), companies: newTable()},
		Access:  map[string]int64{},
		Refresh: map[string]int64{},
		Spent:   map[string]bool{},
		Codes:   map[string]int64{},
	}
	for _, u := range s.Users {
		if u.Active && (u.Admin || s.TokenUser == 0) {
			s.TokenUser = u.ID
			break
		}
	}
	if o.Token != "" {
		s.Access[o.Token] = 0
	}
	return s
}

func clonePipelines(list []Pipeline) []Pipeline {
	out := slices.Clone(list)
	for i := range out {
		out[i].Statuses = slices.Clone(out[i].Statuses)
	}
	return out
}

func defaultFields(noMarker bool) map[string][]FieldDef {
	phone := func(id int64) FieldDef {
		return FieldDef{ID: id, Name: "Телефон", Code: "PHONE", Type: "multitext", Enums: []Enum{
			{11, "WORK", "WORK"}, {12, "WORKDD", "WORKDD"}, {13, "MOB", "MOB"}, {14, "FAX", "FAX"}, {15, "HOME", "HOME"}, {16, "OTHER", "OTHER"}}}
	}
	email := func(id int64) FieldDef {
		return FieldDef{ID: id, Name: "Email", Code: "EMAIL", Type: "multitext", Enums: []Enum{
			{21, "WORK", "WORK"}, {22, "PRIV", "PRIV"}, {23, "OTHER", "OTHER"}}}
	}
	f := map[string][]FieldDef{
		contacts: {
			phone(101), email(103),
			{ID: 105, Name: "Должность", Code: "POSITION", Type: "text"},
			{ID: 109, Name: "Категория Jivo", Type: "select", Enums: []Enum{{41, "new", ""}, {42, "contact_later", ""}, {43, "unsuccessful", ""}, {44, "VIP", ""}}},
			{ID: 111, Name: "День рождения", Type: "birthday"},
			{ID: 113, Name: "Город", Type: "text"},
			{ID: 115, Name: "Заметка", Type: "textarea"},
		},
		companies: {
			phone(151), email(153),
			{ID: 155, Name: "Web", Code: "WEB", Type: "url"},
			{ID: 157, Name: "Адрес", Code: "ADDRESS", Type: "textarea"},
		},
		leads: {
			{ID: 1303, Name: "Тип клиента", Type: "select", Enums: []Enum{{51, "Розница", ""}, {52, "Опт", ""}}},
			{ID: 1305, Name: "Количество", Type: "numeric"},
			{ID: 1307, Name: "Доставка", Type: "checkbox"},
			{ID: 1309, Name: "Дата встречи", Type: "date"},
			{ID: 1311, Name: "Оплата", Type: "radiobutton", Enums: []Enum{{61, "Наличные", ""}, {62, "Карта", ""}}},
			{ID: 1313, Name: "Интересы", Type: "multiselect", Enums: []Enum{{71, "Мебель", ""}, {72, "Свет", ""}, {73, "Текстиль", ""}}},
			{ID: 1315, Name: "Сайт", Type: "url"},
			{ID: 1317, Name: "Комментарий", Type: "textarea"},
			{ID: 1319, Name: "Город", Type: "text"},
		},
	}
	for i, code := range []string{"UTM_SOURCE", "UTM_MEDIUM", "UTM_CAMPAIGN", "UTM_CONTENT", "UTM_TERM", "REFERRER", "GCLID", "YCLID", "FBCLID", "_YM_UID", "ROISTAT"} {
		f[leads] = append(f[leads], FieldDef{ID: int64(1201 + i), Name: lower(code), Code: code, Type: "tracking_data"})
	}
	if noMarker {
		return f
	}
	f[leads] = append(f[leads], FieldDef{ID: 1301, Name: "Jivo ID", Type: "text"})
	f[contacts] = append(f[contacts], FieldDef{ID: 107, Name: "Jivo ID", Type: "text"})
	return f
}

// id hands out the next id of a sequence. Contacts and companies share one.
func (s *state) id(seq string) int64 {
	if seq == companies {
		seq = contacts
	}
	n := s.Next[seq]
	s.Next[seq] = n + 1
	return n
}

func (s *state) user(id int64) (User, bool) {
	for _, u := range s.Users {
		if u.ID == id {
			return u, true
		}
	}
	return User{}, false
}

func (s *state) pipeline(id int64) (*Pipeline, bool) {
	for i := range s.Pipelines {
		if s.Pipelines[i].ID == id {
			return &s.Pipelines[i], true
		}
	}
	return nil, false
}

func (s *state) mainPipeline() *Pipeline {
	for i := range s.Pipelines {
		if s.Pipelines[i].Main {
			return &s.Pipelines[i]
		}
	}
	return &s.Pipelines[0]
}

// pipelineOf finds the pipeline of an own (not shared) stage.
func (s *state) pipelineOf(status int64) (*Pipeline, bool) {
	if status == StatusWon || status == StatusLost {
		return nil, false
	}
	for i := range s.Pipelines {
		if s.Pipelines[i].has(status) {
			return &s.Pipelines[i], true
		}
	}
	return nil, false
}

func (p *Pipeline) has(status int64) bool {
	return slices.ContainsFunc(p.Statuses, func(s Status) bool { return s.ID == status })
}

// first is the stage a lead gets when none is named.
func (p *Pipeline) first() int64 {
	for _, s := range p.Statuses {
		if s.Type == 0 {
			return s.ID
		}
	}
	return 0
}

func (p *Pipeline) unsorted() int64 {
	for _, s := range p.Statuses {
		if s.Type == 1 {
			return s.ID
		}
	}
	return 0
}

func (s *state) lossReason(id int64) (LossReason, bool) {
	for _, l := range s.LossReasons {
		if l.ID == id {
			return l, true
		}
	}
	return LossReason{}, false
}

func (s *state) field(kind string, id int64, code string) (FieldDef, bool) {
	for _, f := range s.Fields[kind] {
		if f.ID == id || id == 0 && code != "" && f.Code == code {
			return f, true
		}
	}
	return FieldDef{}, false
}

func location(name string) *time.Location {
	if loc, err := time.LoadLocation(name); err == nil {
		return loc
	}
	// Machines without a zone database still get the default account right.
	return time.FixedZone("MSK", 3*60*60)
}
