package main

import "github.com/jivo-amocrm/bridge/internal/config"

type schemaCmd struct{}

// Run prints the JSON Schema of the config, for editors.
func (schemaCmd) Run(e *env) error {
	text, err := config.Schema(vocabulary())
	if err != nil {
		return err
	}
	_, err = e.stdout.Write(text)
	return err
}
