package book

// The three kinds of card, spelled as in paths (amocrm-api.md §4.2–4.4).
const (
	Leads     = "leads"
	Contacts  = "contacts"
	Companies = "companies"
)

// Singular is an entity's name in the events feed.
func Singular(kind string) string {
	switch kind {
	case Leads:
		return "lead"
	case Contacts:
		return "contact"
	case Companies:
		return "company"
	}
	return "task"
}
