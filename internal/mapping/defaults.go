package mapping

import (
	_ "embed"
	"strings"
)

//go:embed defaults.yaml
var defaultsYAML string

// DefaultsYAML returns the default rules (product.md §7) as the YAML of the
// list under `rules:`, with the texts of a language. They name no pipeline,
// stage or custom field that an account might lack; the statistical fields
// carry a leading "?" (see Field).
func DefaultsYAML(lang string) string {
	t := textsIn(lang)
	return strings.NewReplacer(
		"@visitor@", t.visitor, "@chat@", t.chatName, "@form@", t.formName, "@call@", t.callName, "@answer@", t.answer,
	).Replace(defaultsYAML)
}
