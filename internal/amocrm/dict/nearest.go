package dict

import (
	"cmp"
	"slices"
	"strings"

	"github.com/jivo-amocrm/bridge/internal/amocrm/spelling"
	"github.com/jivo-amocrm/bridge/internal/nearest"
)

// Kinds of names Nearest can be asked for; leads, contacts and companies ask
// for their custom fields.
const (
	KindPipeline   = "pipeline"
	KindStage      = "stage"
	KindUser       = "user"
	KindLossReason = "loss_reason"
)

const nearestNames = 3

// Nearest returns the names that look most like the one asked for, best first,
// at most three, for "did you mean". kind is one of the Kind constants, or
// leads, contacts, companies for custom fields.
func (d *Snapshot) Nearest(kind, name string) []string {
	return like(name, d.names(kind))
}

// NearestStage is Nearest among the stages of one pipeline.
func (d *Snapshot) NearestStage(pipelineID int64, name string) []string {
	var names []string
	if p := d.pipeline(pipelineID); p != nil {
		for _, s := range p.Stages {
			names = append(names, s.Name)
		}
	}
	return like(name, names)
}

func (d *Snapshot) names(kind string) []string {
	if d == nil {
		return nil
	}
	var names []string
	switch kind {
	case KindPipeline, KindStage:
		for _, p := range d.Pipelines {
			if kind == KindPipeline {
				names = append(names, p.Name)
				continue
			}
			for _, s := range p.Stages {
				names = append(names, s.Name)
			}
		}
	case KindUser:
		for _, u := range d.Users {
			if u.Active {
				names = append(names, u.Name, u.Email)
			}
		}
	case KindLossReason:
		for _, r := range d.LossReasons {
			names = append(names, r.Name)
		}
	default:
		for _, f := range d.Fields[kind] {
			names = append(names, f.Name, f.Code)
		}
	}
	return names
}

// like returns the candidates that look most like a name; one that holds the
// other, or is held by it, looks like it.
func like(name string, candidates []string) []string {
	type scored struct {
		name string
		off  int
	}
	want := []rune(spelling.Fold(name))
	var near []scored
	seen := map[string]bool{"": true}
	for _, c := range candidates {
		folded := spelling.Fold(c)
		if seen[folded] {
			continue
		}
		seen[folded] = true
		got := []rune(folded)
		off := nearest.Slips(want, got)
		inside := len(want) >= 3 && strings.Contains(folded, string(want)) || len(got) >= 3 && strings.Contains(string(want), folded)
		if inside {
			off = 1
		}
		if off <= max(2, len(want)/3) && off < max(len(want), len(got)) {
			near = append(near, scored{c, off})
		}
	}
	slices.SortStableFunc(near, func(a, b scored) int { return cmp.Compare(a.off, b.off) })
	var out []string
	for _, n := range near[:min(len(near), nearestNames)] {
		out = append(out, n.name)
	}
	return out
}
