package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/jivo-amocrm/bridge/internal/amocrm/dict"
	"github.com/jivo-amocrm/bridge/internal/config"
)

// references looks up every name of the account that stands in the config.
func (s *section) references(cfg *config.Config, conn *config.Connection, d *dict.Snapshot) {
	missing := 0
	refs := slices.SortedFunc(slices.Values(conn.References), func(a, b config.Reference) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col))
	})
	for _, ref := range refs {
		what, nearest, ok := lookUp(d, ref)
		if ok {
			continue
		}
		missing++
		f := s.add(wrong, "%s%s", what, didYouMean(nearest))
		f.File, f.Line, f.Col, f.Nearest = cfg.File, ref.Line, ref.Col, nearest
	}
	if n := len(conn.References); n > 0 && missing == 0 {
		s.add(fine, "config: all of its %s of pipelines, stages, users, fields and loss reasons exist", plural(n, "name"))
	}
}

// lookUp says whether the account has a name, and if not, what is missing and
// which names look like it.
func lookUp(d *dict.Snapshot, ref config.Reference) (what string, nearest []string, ok bool) {
	switch ref.Kind {
	case config.RefPipeline:
		_, ok = d.Pipeline(ref.Name)
		return fmt.Sprintf("the account has no pipeline %q", ref.Name), d.Nearest(dict.KindPipeline, ref.Name), ok
	case config.RefStage:
		return lookUpStage(d, ref)
	case config.RefUser:
		_, ok = d.User(ref.Name)
		if !ok && !d.UsersReadable {
			return fmt.Sprintf("user %q: users cannot be read with this token, so only ids work", ref.Name), nil, false
		}
		return fmt.Sprintf("the account has no active user %q", ref.Name), d.Nearest(dict.KindUser, ref.Name), ok
	case config.RefField:
		_, ok = d.Field(ref.Entity, ref.Name)
		return fmt.Sprintf("%s have no field %q", ref.Entity, ref.Name), d.Nearest(ref.Entity, ref.Name), ok
	case config.RefLossReason:
		_, ok = d.LossReason(ref.Name)
		return fmt.Sprintf("the account has no loss reason %q", ref.Name), d.Nearest(dict.KindLossReason, ref.Name), ok
	}
	return "", nil, true
}

func lookUpStage(d *dict.Snapshot, ref config.Reference) (what string, nearest []string, ok bool) {
	p, found := d.MainPipeline()
	if ref.Pipeline != "" {
		p, found = d.Pipeline(ref.Pipeline)
	}
	if !found {
		return "", nil, true // the pipeline is a reference of its own
	}
	_, ok = d.Stage(p.ID, ref.Name)
	return fmt.Sprintf("pipeline %q has no stage %q", p.Name, ref.Name), d.NearestStage(p.ID, ref.Name), ok
}

// didYouMean is "; did you mean A, B or C?", "" without names.
func didYouMean(names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = fmt.Sprintf("%q", n)
	}
	switch n := len(quoted); n {
	case 0:
		return ""
	case 1:
		return "; did you mean " + quoted[0] + "?"
	default:
		return "; did you mean " + strings.Join(quoted[:n-1], ", ") + " or " + quoted[n-1] + "?"
	}
}
