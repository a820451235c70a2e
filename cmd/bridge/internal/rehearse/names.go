package rehearse

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"github.com/jivo-amocrm/bridge/internal/amocrm/dict"
	"github.com/jivo-amocrm/bridge/internal/config"
	"github.com/jivo-amocrm/bridge/internal/event"
)

// Names is the dictionary of an account that has what spec says, every name that
// the connection's config uses, and what every account has.
func Names(conn *config.Connection, spec Account) (*dict.Snapshot, error) {
	n := &namer{next: 101, d: &dict.Snapshot{
		AccountID: 1, Country: cmp.Or(spec.Country, "RU"), Timezone: cmp.Or(spec.Timezone, "Europe/Moscow"), UsersReadable: true,
		FilterEnabled: true, Fields: map[string][]dict.Field{},
	}}
	for _, p := range spec.Pipelines {
		stages, ok := p.Value.([]any)
		if !ok {
			return nil, fmt.Errorf("pipeline %v: its stages must be a list", p.Key)
		}
		for _, s := range stages {
			n.stage(fmt.Sprint(p.Key), fmt.Sprint(s))
		}
	}
	for _, u := range spec.Users {
		n.d.Users = append(n.d.Users, dict.User{ID: cmp.Or(u.ID, n.id("")), Name: u.Name, Email: u.Email, Active: true})
	}
	n.standard(conn.AmoCRM.MarkerField)
	for entity, fields := range spec.Fields {
		for _, f := range fields {
			n.field(entity, f)
		}
	}
	for _, r := range spec.Reasons {
		n.reason(r)
	}
	for _, ref := range conn.References {
		n.refer(ref)
	}
	if len(n.d.Pipelines) == 0 {
		n.stage("Воронка", "Первичный контакт")
	}
	n.d.Pipelines[0].Main = true
	for i := range n.d.Pipelines {
		p := &n.d.Pipelines[i]
		if len(p.Stages) == 1 { // nothing but incoming leads: no account is made so
			n.stage(p.Name, "Первичный контакт")
		}
		p.Stages = append(p.Stages,
			dict.Stage{ID: event.StatusWon, PipelineID: p.ID, Name: "Успешно реализовано", Sort: 10_000},
			dict.Stage{ID: event.StatusLost, PipelineID: p.ID, Name: "Закрыто и не реализовано", Sort: 11_000})
	}
	return n.d, nil
}

// namer gives names ids as they come up.
type namer struct {
	d    *dict.Snapshot
	next int64
}

// id is the next free id; a name that is a number is its own.
func (n *namer) id(name string) int64 {
	if given, err := strconv.ParseInt(name, 10, 64); err == nil && given > 0 {
		return given
	}
	n.next++
	return n.next
}

func (n *namer) pipeline(name string) *dict.Pipeline {
	for i := range n.d.Pipelines {
		p := &n.d.Pipelines[i]
		if name == "" || strings.EqualFold(p.Name, name) || strconv.FormatInt(p.ID, 10) == name {
			return p
		}
	}
	p := dict.Pipeline{ID: n.id(name), Name: cmp.Or(name, "Воронка"), Sort: len(n.d.Pipelines) + 1}
	p.Stages = []dict.Stage{{ID: n.id(""), PipelineID: p.ID, Name: "Неразобранное", Unsorted: true}}
	n.d.Pipelines = append(n.d.Pipelines, p)
	return &n.d.Pipelines[len(n.d.Pipelines)-1]
}

func (n *namer) stage(pipeline, name string) {
	p := n.pipeline(pipeline)
	switch strings.ToLower(name) {
	case "won", "lost", "unsorted", "142", "143":
		return
	}
	for _, s := range p.Stages {
		if strings.EqualFold(s.Name, name) || strconv.FormatInt(s.ID, 10) == name {
			return
		}
	}
	p.Stages = append(p.Stages, dict.Stage{ID: n.id(name), PipelineID: p.ID, Name: name, Sort: 10 * len(p.Stages)})
}

func (n *namer) reason(name string) {
	for _, r := range n.d.LossReasons {
		if strings.EqualFold(r.Name, name) {
			return
		}
	}
	n.d.LossReasons = append(n.d.LossReasons, dict.LossReason{ID: n.id(name), Name: name})
}

func (n *namer) user(name string) {
	for _, u := range n.d.Users {
		if strings.EqualFold(u.Name, name) || strings.EqualFold(u.Email, name) || strconv.FormatInt(u.ID, 10) == name {
			return
		}
	}
	u := dict.User{ID: n.id(name), Name: name, Active: true}
	if strings.Contains(name, "@") {
		u.Email = name
	}
	n.d.Users = append(n.d.Users, u)
}

func (n *namer) field(entity string, f FieldOrName) {
	for _, have := range n.d.Fields[entity] {
		if strings.EqualFold(have.Name, f.Name) || have.Code != "" && strings.EqualFold(have.Code, cmp.Or(f.Code, f.Name)) || strconv.FormatInt(have.ID, 10) == f.Name {
			return
		}
	}
	info := dict.Field{ID: n.id(f.Name), Name: f.Name, Code: f.Code, Type: cmp.Or(f.Type, "text")}
	for i, o := range f.Options {
		info.Enums = append(info.Enums, dict.Enum{ID: n.id(""), Value: o, Sort: i})
	}
	n.d.Fields[entity] = append(n.d.Fields[entity], info)
}

// standard adds the fields that every account has (amocrm-api.md §4.10) and the
// marker fields.
func (n *namer) standard(marker string) {
	n.field("contacts", FieldOrName{Name: "Телефон", Code: "PHONE", Type: "multitext"})
	n.field("contacts", FieldOrName{Name: "Email", Code: "EMAIL", Type: "multitext"})
	n.field("contacts", FieldOrName{Name: "Должность", Code: "POSITION"})
	for _, utm := range []string{"UTM_SOURCE", "UTM_MEDIUM", "UTM_CAMPAIGN", "UTM_CONTENT", "UTM_TERM"} {
		n.field("leads", FieldOrName{Name: strings.ToLower(utm), Code: utm, Type: "tracking_data"})
	}
	for _, entity := range []string{"leads", "contacts"} {
		n.field(entity, FieldOrName{Name: marker})
	}
}

func (n *namer) refer(ref config.Reference) {
	switch ref.Kind {
	case config.RefPipeline:
		n.pipeline(ref.Name)
	case config.RefStage:
		n.stage(ref.Pipeline, ref.Name)
	case config.RefUser:
		n.user(ref.Name)
	case config.RefField:
		n.field(ref.Entity, FieldOrName{Name: ref.Name})
	case config.RefLossReason:
		n.reason(ref.Name)
	}
}
