package main

import (
	"fmt"
	"strings"

	"github.com/jivo-amocrm/bridge/internal/amocrm/dict"
	"github.com/jivo-amocrm/bridge/internal/app"
	"github.com/jivo-amocrm/bridge/internal/config"
)

// references looks up every name of the account that stands in the config.
func (s *section) references(cfg *config.Config, conn *config.Connection, d *dict.Snapshot) {
	missing := app.MissingNames(conn, d)
	for _, m := range missing {
		f := s.add(wrong, "%s%s", m.What, didYouMean(m.Nearest))
		f.File, f.Line, f.Col, f.Nearest = cfg.File, m.Line, m.Col, m.Nearest
	}
	if n := len(conn.References); n > 0 && len(missing) == 0 {
		s.add(fine, "config: all of its %s of pipelines, stages, users, fields and loss reasons exist", plural(n, "name"))
	}
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
