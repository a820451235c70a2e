package config

import (
	"encoding/json"
	"fmt"
)

// Schema returns the JSON Schema (draft 2020-12) of the config. It is made
// from the table of keys that drives the reader. What depends on several keys
// at once, or on the account, only the reader and `bridge check` know.
func Schema(v Vocabulary) ([]byte, error) {
	s := newConfig("", v).table().Schema()
	s.Schema = "https://json-schema.org/draft/2020-12/schema"
	s.Title = "config.yaml of the Jivo to amoCRM bridge"
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("writing the config's schema: %w", err)
	}
	return append(text, '\n'), nil
}
