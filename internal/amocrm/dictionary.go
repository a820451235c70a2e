package amocrm

import (
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/text/unicode/norm"

	"github.com/jivo-amocrm/bridge/internal/event"
)

// Entity families as amoCRM's paths spell them.
const (
	entityLeads     = "leads"
	entityContacts  = "contacts"
	entityCompanies = "companies"
)

// Dictionary is a snapshot of what an account calls things: pipelines, stages,
// users, custom fields, loss reasons (amocrm-api.md §4.1, §4.9, §4.10). It is
// immutable once loaded: do not change its fields after the first look-up.
// Every method may be called from many goroutines, and on a nil or zero
// Dictionary, which knows nothing. Names are compared without regard to case,
// surrounding or doubled space, ё/е and Unicode composition.
type Dictionary struct {
	AccountID      int64  `json:"account_id"`
	Name           string `json:"name,omitempty"`
	Subdomain      string `json:"subdomain,omitempty"`
	Country        string `json:"country,omitempty"`         // ISO 3166, "RU"
	Timezone       string `json:"timezone,omitempty"`        // IANA, "Europe/Moscow"
	TimezoneOffset string `json:"timezone_offset,omitempty"` // "+03:00"
	FilterEnabled  bool   `json:"filter_enabled,omitempty"`  // without it filters are silently ignored (amocrm-api.md §7.14)
	CurrentUserID  int64  `json:"current_user_id,omitempty"` // whose token it is: responsible for what is made without one
	// UsersReadable is false where the token may not read /users: then a user
	// can be named by a numeric id only.
	UsersReadable bool `json:"users_readable,omitempty"`

	Pipelines   []PipelineInfo         `json:"pipelines,omitempty"`
	Users       []UserInfo             `json:"users,omitempty"`
	Fields      map[string][]FieldInfo `json:"fields,omitempty"` // by leads | contacts | companies
	LossReasons []LossReasonInfo       `json:"loss_reasons,omitempty"`
	TaskTypes   []TaskTypeInfo         `json:"task_types,omitempty"`

	once sync.Once
	idx  dictionaryIndex
}

// PipelineInfo is one sales pipeline with its stages in order.
type PipelineInfo struct {
	ID       int64       `json:"id"`
	Name     string      `json:"name"`
	Sort     int         `json:"sort"`
	Main     bool        `json:"main,omitempty"`
	Archived bool        `json:"archived,omitempty"`
	Stages   []StageInfo `json:"stages,omitempty"`
}

// StageInfo is one stage of a pipeline. 142 and 143 stand in every pipeline
// under the same id (amocrm-api.md §4.9).
type StageInfo struct {
	ID         int64  `json:"id"`
	PipelineID int64  `json:"pipeline_id"`
	Name       string `json:"name"`
	Sort       int    `json:"sort"`
	Unsorted   bool   `json:"unsorted,omitempty"` // type 1: incoming leads
}

func (s StageInfo) system() bool { return s.ID == event.StatusWon || s.ID == event.StatusLost }

// UserInfo is one user of the account.
type UserInfo struct {
	ID     int64  `json:"id"`
	Name   string `json:"name"`
	Email  string `json:"email,omitempty"`
	Active bool   `json:"active"`
	Admin  bool   `json:"admin,omitempty"`
}

// FieldInfo is one custom field.
type FieldInfo struct {
	ID       int64      `json:"id"`
	Name     string     `json:"name"`
	Code     string     `json:"code,omitempty"`
	Type     string     `json:"type"` // amocrm-api.md §4.10
	Sort     int        `json:"sort"`
	Computed bool       `json:"computed,omitempty"` // amoCRM fills it; a write is refused
	Enums    []EnumInfo `json:"enums,omitempty"`
}

// EnumInfo is one option of a field.
type EnumInfo struct {
	ID    int64  `json:"id"`
	Value string `json:"value"`
	Code  string `json:"code,omitempty"`
	Sort  int    `json:"sort,omitempty"`
}

// LossReasonInfo is one reason a lead may be lost for.
type LossReasonInfo struct {
	ID   int64  `json:"id"`
	Name string `json:"name"`
	Sort int    `json:"sort,omitempty"`
}

// TaskTypeInfo is one type a task may be of.
type TaskTypeInfo struct {
	ID   int64  `json:"id"`
	Name string `json:"name"`
	Code string `json:"code,omitempty"`
}

// dictionaryIndex holds the look-ups, built at the first question so that a
// Dictionary decoded from JSON or written as a literal works like a loaded one.
type dictionaryIndex struct {
	pipelines  map[int64]*PipelineInfo
	byPipeline map[string]*PipelineInfo
	users      map[int64]*UserInfo
	byEmail    map[string]*UserInfo
	byUser     map[string]*UserInfo // nil: the name is not unique
	fields     map[string]*fieldIndex
	reasons    map[string]*LossReasonInfo
	reasonIDs  map[int64]*LossReasonInfo
}

type fieldIndex struct {
	ids    map[int64]*FieldInfo
	byCode map[string]*FieldInfo
	byName map[string]*FieldInfo
}

func (d *Dictionary) index() *dictionaryIndex {
	d.once.Do(func() {
		d.idx.pipelines, d.idx.byPipeline = indexPipelines(d.Pipelines)
		d.idx.users, d.idx.byEmail, d.idx.byUser = indexUsers(d.Users)
		d.idx.fields = make(map[string]*fieldIndex, len(d.Fields))
		for entity, fields := range d.Fields {
			d.idx.fields[entity] = indexFields(fields)
		}
		d.idx.reasons = make(map[string]*LossReasonInfo, len(d.LossReasons))
		d.idx.reasonIDs = make(map[int64]*LossReasonInfo, len(d.LossReasons))
		for i := range d.LossReasons {
			r := &d.LossReasons[i]
			d.idx.reasonIDs[r.ID] = r
			putFirst(d.idx.reasons, foldName(r.Name), r)
		}
	})
	return &d.idx
}

// indexPipelines prefers a live pipeline to an archived one of the same name,
// then the one that stands first.
func indexPipelines(list []PipelineInfo) (ids map[int64]*PipelineInfo, names map[string]*PipelineInfo) {
	ids, names = make(map[int64]*PipelineInfo, len(list)), make(map[string]*PipelineInfo, len(list))
	order := make([]*PipelineInfo, len(list))
	for i := range list {
		order[i] = &list[i]
		ids[list[i].ID] = &list[i]
	}
	slices.SortStableFunc(order, func(a, b *PipelineInfo) int {
		if a.Archived != b.Archived {
			return boolOrder(a.Archived)
		}
		return a.Sort - b.Sort
	})
	for _, p := range order {
		putFirst(names, foldName(p.Name), p)
	}
	return ids, names
}

func indexUsers(list []UserInfo) (ids map[int64]*UserInfo, emails, names map[string]*UserInfo) {
	ids = make(map[int64]*UserInfo, len(list))
	emails, names = make(map[string]*UserInfo, len(list)), make(map[string]*UserInfo, len(list))
	for i := range list {
		u := &list[i]
		ids[u.ID] = u
		if !u.Active {
			continue
		}
		putFirst(emails, foldName(u.Email), u)
		name := foldName(u.Name)
		if _, taken := names[name]; taken {
			names[name] = nil
			continue
		}
		names[name] = u
	}
	return ids, emails, names
}

// indexFields prefers a field that may be written to a computed one of the
// same name, then the one that stands first.
func indexFields(list []FieldInfo) *fieldIndex {
	x := &fieldIndex{
		ids:    make(map[int64]*FieldInfo, len(list)),
		byCode: make(map[string]*FieldInfo, len(list)),
		byName: make(map[string]*FieldInfo, len(list)),
	}
	order := make([]*FieldInfo, len(list))
	for i := range list {
		order[i] = &list[i]
		x.ids[list[i].ID] = &list[i]
	}
	slices.SortStableFunc(order, func(a, b *FieldInfo) int {
		if a.Computed != b.Computed {
			return boolOrder(a.Computed)
		}
		return a.Sort - b.Sort
	})
	for _, f := range order {
		putFirst(x.byCode, foldName(f.Code), f)
		putFirst(x.byName, foldName(f.Name), f)
	}
	return x
}

// Location returns the account's time zone, or nil if it is not known. A zone
// this machine's tzdata lacks falls back to the offset of the snapshot.
func (d *Dictionary) Location() *time.Location {
	if d == nil {
		return nil
	}
	if d.Timezone != "" {
		if l, err := time.LoadLocation(d.Timezone); err == nil {
			return l
		}
	}
	if t, err := time.Parse("-07:00", d.TimezoneOffset); err == nil {
		_, offset := t.Zone()
		return time.FixedZone(d.TimezoneOffset, offset)
	}
	return nil
}

// Pipeline finds a pipeline by id or name, live ones before archived ones.
func (d *Dictionary) Pipeline(nameOrID string) (PipelineInfo, bool) {
	if d == nil {
		return PipelineInfo{}, false
	}
	x := d.index()
	if id, ok := parseID(nameOrID); ok {
		if p := x.pipelines[id]; p != nil {
			return *p, true
		}
	}
	if p := x.byPipeline[foldName(nameOrID)]; p != nil {
		return *p, true
	}
	return PipelineInfo{}, false
}

// MainPipeline returns the account's main pipeline, or, if none is marked so,
// the first live one. Archived pipelines never count.
func (d *Dictionary) MainPipeline() (PipelineInfo, bool) {
	if d == nil {
		return PipelineInfo{}, false
	}
	var best *PipelineInfo
	for i := range d.Pipelines {
		p := &d.Pipelines[i]
		switch {
		case p.Archived:
		case p.Main:
			return *p, true
		case best == nil || p.Sort < best.Sort:
			best = p
		}
	}
	if best == nil {
		return PipelineInfo{}, false
	}
	return *best, true
}

// Stage finds a stage of a pipeline by the words won, lost and unsorted, by id
// or by name; the word wins over a stage of that name.
func (d *Dictionary) Stage(pipelineID int64, nameOrID string) (StageInfo, bool) {
	p := d.pipeline(pipelineID)
	if p == nil {
		return StageInfo{}, false
	}
	name := foldName(nameOrID)
	id, numeric := parseID(nameOrID)
	switch name {
	case "":
		return StageInfo{}, false
	case "won":
		id, numeric = event.StatusWon, true
	case "lost":
		id, numeric = event.StatusLost, true
	case "unsorted":
		return p.find(func(s StageInfo) bool { return s.Unsorted })
	}
	if numeric {
		if s, ok := p.find(func(s StageInfo) bool { return s.ID == id }); ok {
			return s, true
		}
	}
	return p.find(func(s StageInfo) bool { return foldName(s.Name) == name })
}

// FirstStage returns the first stage a lead may be worked in: never the
// unsorted one, never won or lost.
func (d *Dictionary) FirstStage(pipelineID int64) (StageInfo, bool) {
	p := d.pipeline(pipelineID)
	if p == nil {
		return StageInfo{}, false
	}
	return p.find(func(s StageInfo) bool { return !s.Unsorted && !s.system() })
}

// find returns the stage with the lowest sort that is wanted.
func (p *PipelineInfo) find(wanted func(StageInfo) bool) (StageInfo, bool) {
	best, found := StageInfo{}, false
	for _, s := range p.Stages {
		if wanted(s) && (!found || s.Sort < best.Sort) {
			best, found = s, true
		}
	}
	if found && best.PipelineID == 0 {
		best.PipelineID = p.ID
	}
	return best, found
}

func (d *Dictionary) pipeline(id int64) *PipelineInfo {
	if d == nil {
		return nil
	}
	return d.index().pipelines[id]
}

// User finds an active user by id, e-mail or unique name; a name two active
// users bear finds nobody. Where users cannot be read, a numeric id is taken
// on trust.
func (d *Dictionary) User(emailNameOrID string) (UserInfo, bool) {
	id, numeric := parseID(emailNameOrID)
	if !d.readsUsers() {
		return UserInfo{ID: id, Active: true}, numeric
	}
	x := d.index()
	if u := x.users[id]; numeric && u != nil && u.Active {
		return *u, true
	}
	key := foldName(emailNameOrID)
	for _, by := range []map[string]*UserInfo{x.byEmail, x.byUser} {
		if u := by[key]; u != nil && key != "" {
			return *u, true
		}
	}
	return UserInfo{}, false
}

func (d *Dictionary) readsUsers() bool { return d != nil && d.UsersReadable }

// UserByID finds a user, active or not.
func (d *Dictionary) UserByID(id int64) (UserInfo, bool) {
	if d == nil {
		return UserInfo{}, false
	}
	if u := d.index().users[id]; u != nil {
		return *u, true
	}
	return UserInfo{}, false
}

// Field finds a custom field of leads, contacts or companies by id, code or name.
func (d *Dictionary) Field(entity, nameCodeOrID string) (FieldInfo, bool) {
	if d == nil {
		return FieldInfo{}, false
	}
	x := d.index().fields[entity]
	if x == nil {
		return FieldInfo{}, false
	}
	if id, ok := parseID(nameCodeOrID); ok {
		if f := x.ids[id]; f != nil {
			return *f, true
		}
	}
	key := foldName(nameCodeOrID)
	for _, by := range []map[string]*FieldInfo{x.byCode, x.byName} {
		if f := by[key]; f != nil {
			return *f, true
		}
	}
	return FieldInfo{}, false
}

// LossReason finds a loss reason by id or name.
func (d *Dictionary) LossReason(nameOrID string) (LossReasonInfo, bool) {
	if d == nil {
		return LossReasonInfo{}, false
	}
	x := d.index()
	if id, ok := parseID(nameOrID); ok {
		if r := x.reasonIDs[id]; r != nil {
			return *r, true
		}
	}
	if r := x.reasons[foldName(nameOrID)]; r != nil {
		return *r, true
	}
	return LossReasonInfo{}, false
}

// PipelineName returns the name people know a pipeline by, or "".
func (d *Dictionary) PipelineName(id int64) string {
	if p := d.pipeline(id); p != nil {
		return p.Name
	}
	return ""
}

// StageName returns the name people know a stage by, or "". A stage whose
// pipeline is not known is looked for in the main one, then in all.
func (d *Dictionary) StageName(pipelineID, statusID int64) string {
	is := func(s StageInfo) bool { return s.ID == statusID }
	p := d.pipeline(pipelineID)
	if p == nil {
		if main, ok := d.MainPipeline(); ok {
			p = &main
		}
	}
	if p != nil {
		if s, ok := p.find(is); ok {
			return s.Name
		}
	}
	if p, ok := d.pipelineOf(statusID); ok {
		s, _ := p.find(is)
		return s.Name
	}
	return ""
}

// pipelineOf returns the pipeline a stage stands in; 142 and 143 stand in all.
func (d *Dictionary) pipelineOf(statusID int64) (PipelineInfo, bool) {
	if d == nil || statusID == event.StatusWon || statusID == event.StatusLost {
		return PipelineInfo{}, false
	}
	for _, p := range d.Pipelines {
		if _, ok := p.find(func(s StageInfo) bool { return s.ID == statusID }); ok {
			return p, true
		}
	}
	return PipelineInfo{}, false
}

// UserName returns the name of a user, active or not, or "".
func (d *Dictionary) UserName(id int64) string {
	u, _ := d.UserByID(id)
	return u.Name
}

// foldName brings a name to the form names are compared in.
func foldName(s string) string {
	s = strings.ToLower(strings.Join(strings.Fields(norm.NFC.String(s)), " "))
	return strings.ReplaceAll(s, "ё", "е")
}

func parseID(s string) (int64, bool) {
	id, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64)
	return id, err == nil && id > 0
}

func putFirst[V any](m map[string]V, key string, v V) {
	if _, taken := m[key]; !taken && key != "" {
		m[key] = v
	}
}

func boolOrder(last bool) int {
	if last {
		return 1
	}
	return -1
}
