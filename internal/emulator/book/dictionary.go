package book

import (
	"slices"
	"strings"
)

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
		Contacts: {
			phone(101), email(103),
			{ID: 105, Name: "Должность", Code: "POSITION", Type: "text"},
			{ID: 109, Name: "Категория Jivo", Type: "select", Enums: []Enum{{41, "new", ""}, {42, "contact_later", ""}, {43, "unsuccessful", ""}, {44, "VIP", ""}}},
			{ID: 111, Name: "День рождения", Type: "birthday"},
			{ID: 113, Name: "Город", Type: "text"},
			{ID: 115, Name: "Заметка", Type: "textarea"},
		},
		Companies: {
			phone(151), email(153),
			{ID: 155, Name: "Web", Code: "WEB", Type: "url"},
			{ID: 157, Name: "Адрес", Code: "ADDRESS", Type: "textarea"},
		},
		Leads: {
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
		f[Leads] = append(f[Leads], FieldDef{ID: int64(1201 + i), Name: strings.ToLower(code), Code: code, Type: "tracking_data"})
	}
	if noMarker {
		return f
	}
	f[Leads] = append(f[Leads], FieldDef{ID: 1301, Name: "Jivo ID", Type: "text"})
	f[Contacts] = append(f[Contacts], FieldDef{ID: 107, Name: "Jivo ID", Type: "text"})
	return f
}

// Has says whether a stage is one of the pipeline's.
func (p *Pipeline) Has(status int64) bool {
	return slices.ContainsFunc(p.Statuses, func(s Status) bool { return s.ID == status })
}

// First is the stage a lead gets when none is named.
func (p *Pipeline) First() int64 {
	for _, s := range p.Statuses {
		if s.Type == 0 {
			return s.ID
		}
	}
	return 0
}

// Unsorted is the pipeline's unsorted stage, 0 if it has none.
func (p *Pipeline) Unsorted() int64 {
	for _, s := range p.Statuses {
		if s.Type == 1 {
			return s.ID
		}
	}
	return 0
}

// Tag finds a tag of the kind's own dictionary or makes it.
func (b *Book) Tag(kind string, id int64, name string) (Tag, bool) {
	for _, t := range b.Tags[kind] {
		if id != 0 && t.ID == id || name != "" && t.Name == name {
			return t, true
		}
	}
	if name == "" {
		return Tag{}, false
	}
	t := Tag{ID: b.NextID("tags"), Name: name}
	b.Tags[kind] = append(b.Tags[kind], t)
	return t, true
}
