package app

import (
	"github.com/jivo-amocrm/bridge/internal/card"
	"github.com/jivo-amocrm/bridge/internal/config"
	"github.com/jivo-amocrm/bridge/internal/jivo"
	"github.com/jivo-amocrm/bridge/internal/mapping"
)

// replyTemplates renders a connection's own card lines, phones read as of a region;
// nil: the default ones.
func replyTemplates(c *config.Connection, region string) func(card.View) []jivo.Item {
	if c.Reply.CustomData == nil {
		return nil
	}
	own := c.Reply.Lines.InRegion(region)
	return func(v card.View) []jivo.Item {
		lines := own.Render(&mapping.Input{Kind: v.Kind, Fields: v.Fields, Client: v.Client, Received: v.Received, Location: v.Location},
			mapping.ReplyView{Lead: v.Lead, Contact: v.Contact, Task: v.Task, Changes: v.Changes})
		items := make([]jivo.Item, len(lines))
		for i, l := range lines {
			items[i] = jivo.Item{Title: l.Title, Content: l.Content, Key: l.Key, Link: l.Link}
		}
		return items
	}
}
