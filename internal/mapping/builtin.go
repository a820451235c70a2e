package mapping

import (
	"slices"

	"github.com/jivo-amocrm/bridge/internal/event"
)

// native is something done without any rule (product.md §7), in the same two
// phases as rules. Rules add to the same events and never replace it.
type native struct {
	name string // its switch in `builtin`
	find func(p *Program, in *Input) (contact, lead *event.Find)
	want func(s *session) event.Desired
}

// native returns what is done for a kind of event, nil if nothing is or its
// switch is off.
func (p *Program) native(kind string) *native {
	b, on := p.lookupNative(kind)
	if !on {
		return nil
	}
	return b
}

// SwitchedOff reports whether a built-in would have handled this kind of event
// but is switched off in the config.
func (p *Program) SwitchedOff(kind string) bool {
	b, on := p.lookupNative(kind)
	return b != nil && !on
}

func (p *Program) lookupNative(kind string) (b *native, on bool) {
	switches := p.env.Builtin
	switch kind {
	case "created_deal", "updated_deal":
		return &native{"deals", findDeal, (*session).deal}, switches.Deals
	case "deleted_deal":
		return &native{"deals", findDeletedDeal, (*session).deletedDeal}, switches.Deals
	case "created_task", "updated_task", "completed_task", "deleted_task":
		return &native{"tasks", findTask, (*session).task}, switches.Tasks
	case "created_client", "updated_client", "updated_client_contacts", "assigned_agent_to_client", "changed_client_company":
		return &native{"clients", findLinked, (*session).crmClient}, switches.Clients
	case "changed_client_blacklist":
		return &native{"blacklist_tag", findLinked, (*session).blacklist}, switches.BlacklistTag
	case "deleted_client":
		return &native{"deleted_tag", findLinked, (*session).deletedClient}, switches.DeletedTag
	case "assigned_status":
		return &native{"categories", findLinked, (*session).category}, switches.Categories
	case "client_attribute_updated":
		return &native{"attributes", findLinked, (*session).clientAttributes}, true
	}
	return nil, false
}

// Builtins are the built-ins that deal with some of these kinds of event, as traces
// and changes name them.
func Builtins(kinds []string) (names []string) {
	for _, kind := range kinds {
		if b, _ := new(Program).lookupNative(kind); b != nil && !slices.Contains(names, builtinPrefix+b.name) {
			names = append(names, builtinPrefix+b.name)
		}
	}
	return names
}

// Handled says who deals with a kind of event: "rules" (rules and built-ins
// decide), "local" (the bridge only learns from it, unless a rule speaks of
// it: dictionaries, and chat_assigned, whose link is taken up), or "unknown".
func Handled(kind string, known []string) string {
	switch kind {
	case "chat_assigned", "created_organization",
		"created_pipeline", "updated_pipeline", "deleted_pipeline",
		"created_status", "updated_status", "deleted_status", "reordered_status", "changed_require_update_of_status",
		"created_client_tag", "updated_client_tag", "deleted_client_tag", "merged_client_tag",
		"changed_administrator_only_client_tag":
		return "local"
	}
	for _, k := range known {
		if k == kind {
			return "rules"
		}
	}
	return "unknown"
}
