package app

import (
	"github.com/jivo-amocrm/bridge/internal/card"
	"github.com/jivo-amocrm/bridge/internal/config"
	"github.com/jivo-amocrm/bridge/internal/jivo"
)

// replyTemplates renders a connection's own card lines; nil: the default ones.
func replyTemplates(c *config.Connection) func(card.View) []jivo.Item {
	if c.Reply.CustomData == nil {
		return nil
	}
	return func(card.View) []jivo.Item { return nil }
}
