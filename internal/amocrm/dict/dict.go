package dict

import (
	"slices"
	"sync"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm/spelling"
	"github.com/jivo-amocrm/bridge/internal/event"
)

// Snapshot is a snapshot of what an account calls things: pipelines, stages,
// users, custom fields, loss reasons (amocrm-api.md §4.1, §4.9, §4.10). It is
// immutable once loaded: do not change its fields after the first look-up.
// Every method may be called from many goroutines, and on a nil or zero
// Snapshot, which knows nothing. Names are compared without regard to case,
// surrounding or doubled space, ё/е and Unicode composition.
type Snapshot struct {
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

	Pipelines   []Pipeline         `json:"pipelines,omitempty"`
	Users       []User             `json:"users,omitempty"`
	Fields      map[string][]Field `json:"fields,omitempty"` // by leads | contacts | companies
	LossReasons []LossReason       `json:"loss_reasons,omitempty"`

	once sync.Once
	idx  index
}

// Pipeline is one sales pipeline with its stages in order.
type Pipeline struct {
	ID       int64   `json:"id"`
	Name     string  `json:"name"`
	Sort     int     `json:"sort"`
	Main     bool    `json:"main,omitempty"`
	Archived bool    `json:"archived,omitempty"`
	Stages   []Stage `json:"stages,omitempty"`
}

// Stage is one stage of a pipeline. 142 and 143 stand in every pipeline
// under the same id (amocrm-api.md §4.9).
type Stage struct {
	ID         int64  `json:"id"`
	PipelineID int64  `json:"pipeline_id"`
	Name       string `json:"name"`
	Sort       int    `json:"sort"`
	Unsorted   bool   `json:"unsorted,omitempty"` // type 1: incoming leads
}

func (s Stage) system() bool { return s.ID == event.StatusWon || s.ID == event.StatusLost }

// User is one user of the account.
type User struct {
	ID     int64  `json:"id"`
	Name   string `json:"name"`
	Email  string `json:"email,omitempty"`
	Active bool   `json:"active"`
	Admin  bool   `json:"admin,omitempty"`
}

// Field is one custom field.
type Field struct {
	ID       int64  `json:"id"`
	Name     string `json:"name"`
	Code     string `json:"code,omitempty"`
	Type     string `json:"type"` // amocrm-api.md §4.10
	Sort     int    `json:"sort"`
	Computed bool   `json:"computed,omitempty"` // amoCRM fills it; a write is refused
	Enums    []Enum `json:"enums,omitempty"`
}

// Enum is one option of a field.
type Enum struct {
	ID    int64  `json:"id"`
	Value string `json:"value"`
	Code  string `json:"code,omitempty"`
	Sort  int    `json:"sort,omitempty"`
}

// LossReason is one reason a lead may be lost for.
type LossReason struct {
	ID   int64  `json:"id"`
	Name string `json:"name"`
	Sort int    `json:"sort,omitempty"`
}

// index holds the look-ups, built at the first question so that a
// Snapshot decoded from JSON or written as a literal works like a loaded one.
type index struct {
	pipelines  map[int64]*Pipeline
	byPipeline map[string]*Pipeline
	users      map[int64]*User
	byEmail    map[string]*User
	byUser     map[string]*User // nil: the name is not unique
	fields     map[string]*fieldIndex
	reasons    map[string]*LossReason
	reasonIDs  map[int64]*LossReason
}

type fieldIndex struct {
	ids    map[int64]*Field
	byCode map[string]*Field
	byName map[string]*Field
}

func (d *Snapshot) index() *index {
	d.once.Do(func() {
		d.idx.pipelines, d.idx.byPipeline = indexPipelines(d.Pipelines)
		d.idx.users, d.idx.byEmail, d.idx.byUser = indexUsers(d.Users)
		d.idx.fields = make(map[string]*fieldIndex, len(d.Fields))
		for entity, fields := range d.Fields {
			d.idx.fields[entity] = indexFields(fields)
		}
		d.idx.reasons = make(map[string]*LossReason, len(d.LossReasons))
		d.idx.reasonIDs = make(map[int64]*LossReason, len(d.LossReasons))
		for i := range d.LossReasons {
			r := &d.LossReasons[i]
			d.idx.reasonIDs[r.ID] = r
			putFirst(d.idx.reasons, spelling.Fold(r.Name), r)
		}
	})
	return &d.idx
}

// indexPipelines prefers a live pipeline to an archived one of the same name,
// then the one that stands first.
func indexPipelines(list []Pipeline) (ids map[int64]*Pipeline, names map[string]*Pipeline) {
	ids, names = make(map[int64]*Pipeline, len(list)), make(map[string]*Pipeline, len(list))
	order := make([]*Pipeline, len(list))
	for i := range list {
		order[i] = &list[i]
		ids[list[i].ID] = &list[i]
	}
	slices.SortStableFunc(order, func(a, b *Pipeline) int {
		if a.Archived != b.Archived {
			return boolOrder(a.Archived)
		}
		return a.Sort - b.Sort
	})
	for _, p := range order {
		putFirst(names, spelling.Fold(p.Name), p)
	}
	return ids, names
}

func indexUsers(list []User) (ids map[int64]*User, emails, names map[string]*User) {
	ids = make(map[int64]*User, len(list))
	emails, names = make(map[string]*User, len(list)), make(map[string]*User, len(list))
	for i := range list {
		u := &list[i]
		ids[u.ID] = u
		if !u.Active {
			continue
		}
		putFirst(emails, spelling.Fold(u.Email), u)
		name := spelling.Fold(u.Name)
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
func indexFields(list []Field) *fieldIndex {
	x := &fieldIndex{
		ids:    make(map[int64]*Field, len(list)),
		byCode: make(map[string]*Field, len(list)),
		byName: make(map[string]*Field, len(list)),
	}
	order := make([]*Field, len(list))
	for i := range list {
		order[i] = &list[i]
		x.ids[list[i].ID] = &list[i]
	}
	slices.SortStableFunc(order, func(a, b *Field) int {
		if a.Computed != b.Computed {
			return boolOrder(a.Computed)
		}
		return a.Sort - b.Sort
	})
	for _, f := range order {
		putFirst(x.byCode, spelling.Fold(f.Code), f)
		putFirst(x.byName, spelling.Fold(f.Name), f)
	}
	return x
}

// Location returns the account's time zone, or nil if it is not known. A zone
// this machine's tzdata lacks falls back to the offset of the snapshot.
func (d *Snapshot) Location() *time.Location {
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
func (d *Snapshot) Pipeline(nameOrID string) (Pipeline, bool) {
	if d == nil {
		return Pipeline{}, false
	}
	x := d.index()
	if id, ok := spelling.ID(nameOrID); ok {
		if p := x.pipelines[id]; p != nil {
			return *p, true
		}
	}
	if p := x.byPipeline[spelling.Fold(nameOrID)]; p != nil {
		return *p, true
	}
	return Pipeline{}, false
}

// PipelineByID finds a pipeline, archived or not.
func (d *Snapshot) PipelineByID(id int64) (Pipeline, bool) {
	if p := d.pipeline(id); p != nil {
		return *p, true
	}
	return Pipeline{}, false
}

// MainPipeline returns the account's main pipeline, or, if none is marked so,
// the first live one. Archived pipelines never count.
func (d *Snapshot) MainPipeline() (Pipeline, bool) {
	if d == nil {
		return Pipeline{}, false
	}
	var best *Pipeline
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
		return Pipeline{}, false
	}
	return *best, true
}

// Stage finds a stage of a pipeline by the words won, lost and unsorted, by id
// or by name; the word wins over a stage of that name.
func (d *Snapshot) Stage(pipelineID int64, nameOrID string) (Stage, bool) {
	p := d.pipeline(pipelineID)
	if p == nil {
		return Stage{}, false
	}
	name := spelling.Fold(nameOrID)
	id, numeric := spelling.ID(nameOrID)
	switch name {
	case "":
		return Stage{}, false
	case "won":
		id, numeric = event.StatusWon, true
	case "lost":
		id, numeric = event.StatusLost, true
	case "unsorted":
		return p.find(func(s Stage) bool { return s.Unsorted })
	}
	if numeric {
		if s, ok := p.find(func(s Stage) bool { return s.ID == id }); ok {
			return s, true
		}
	}
	return p.find(func(s Stage) bool { return spelling.Fold(s.Name) == name })
}

// FirstStage returns the first stage a lead may be worked in: never the
// unsorted one, never won or lost.
func (d *Snapshot) FirstStage(pipelineID int64) (Stage, bool) {
	p := d.pipeline(pipelineID)
	if p == nil {
		return Stage{}, false
	}
	return p.find(func(s Stage) bool { return !s.Unsorted && !s.system() })
}

// find returns the stage with the lowest sort that is wanted.
func (p *Pipeline) find(wanted func(Stage) bool) (Stage, bool) {
	best, found := Stage{}, false
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

func (d *Snapshot) pipeline(id int64) *Pipeline {
	if d == nil {
		return nil
	}
	return d.index().pipelines[id]
}

// User finds an active user by id, e-mail or unique name; a name two active
// users bear finds nobody. Where users cannot be read, a numeric id is taken
// on trust.
func (d *Snapshot) User(emailNameOrID string) (User, bool) {
	id, numeric := spelling.ID(emailNameOrID)
	if !d.ReadsUsers() {
		return User{ID: id, Active: true}, numeric
	}
	x := d.index()
	if u := x.users[id]; numeric && u != nil && u.Active {
		return *u, true
	}
	key := spelling.Fold(emailNameOrID)
	for _, by := range []map[string]*User{x.byEmail, x.byUser} {
		if u := by[key]; u != nil && key != "" {
			return *u, true
		}
	}
	return User{}, false
}

// ReadsUsers reports whether users are known by more than their ids.
func (d *Snapshot) ReadsUsers() bool { return d != nil && d.UsersReadable }

// UserByID finds a user, active or not.
func (d *Snapshot) UserByID(id int64) (User, bool) {
	if d == nil {
		return User{}, false
	}
	if u := d.index().users[id]; u != nil {
		return *u, true
	}
	return User{}, false
}

// Field finds a custom field of leads, contacts or companies by id, code or name.
func (d *Snapshot) Field(entity, nameCodeOrID string) (Field, bool) {
	if d == nil {
		return Field{}, false
	}
	x := d.index().fields[entity]
	if x == nil {
		return Field{}, false
	}
	if id, ok := spelling.ID(nameCodeOrID); ok {
		if f := x.ids[id]; f != nil {
			return *f, true
		}
	}
	key := spelling.Fold(nameCodeOrID)
	for _, by := range []map[string]*Field{x.byCode, x.byName} {
		if f := by[key]; f != nil {
			return *f, true
		}
	}
	return Field{}, false
}

// LossReason finds a loss reason by id or name.
func (d *Snapshot) LossReason(nameOrID string) (LossReason, bool) {
	if d == nil {
		return LossReason{}, false
	}
	x := d.index()
	if id, ok := spelling.ID(nameOrID); ok {
		if r := x.reasonIDs[id]; r != nil {
			return *r, true
		}
	}
	if r := x.reasons[spelling.Fold(nameOrID)]; r != nil {
		return *r, true
	}
	return LossReason{}, false
}

// PipelineName returns the name people know a pipeline by, or "".
func (d *Snapshot) PipelineName(id int64) string {
	if p := d.pipeline(id); p != nil {
		return p.Name
	}
	return ""
}

// StageName returns the name people know a stage by, or "". A stage whose
// pipeline is not known is looked for in the main one, then in all.
func (d *Snapshot) StageName(pipelineID, statusID int64) string {
	is := func(s Stage) bool { return s.ID == statusID }
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
	if p, ok := d.PipelineOf(statusID); ok {
		s, _ := p.find(is)
		return s.Name
	}
	return ""
}

// PipelineOf returns the pipeline a stage stands in; 142 and 143 stand in all.
func (d *Snapshot) PipelineOf(statusID int64) (Pipeline, bool) {
	if d == nil || statusID == event.StatusWon || statusID == event.StatusLost {
		return Pipeline{}, false
	}
	for _, p := range d.Pipelines {
		if _, ok := p.find(func(s Stage) bool { return s.ID == statusID }); ok {
			return p, true
		}
	}
	return Pipeline{}, false
}

// UserName returns the name of a user, active or not, or "".
func (d *Snapshot) UserName(id int64) string {
	u, _ := d.UserByID(id)
	return u.Name
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
