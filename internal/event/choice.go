package event

import "slices"

// Which lead a chat goes to (product.md › Finding the lead). Who works on the lead
// (delivery, which reads what it does not know well enough) and who shows it (card,
// which shows what is known) both ask here, so that the operator sees the lead that the
// chat goes to.

// LeadOfChat is the client's lead that a chat is linked to, nil if there is none that
// counts for a kind of event. card gives a lead, nil if it is gone.
func (c *Client) LeadOfChat(chat, kind string, card func(id int64) (*LeadCard, error)) (*LeadCard, error) {
	anew := kind == "chat_accepted" || kind == "offline_message" // a closed lead of the same chat is no hit
	return c.linked(card, func(l Link) bool { return chat != "" && slices.Contains(l.Chats, chat) },
		func(l Lead) bool { return !l.Closed() || !anew })
}

// BareLead is the client's newest open lead of a deal that was made before anybody had
// described them, nil if there is none that counts: theirs, though no contact says so yet.
func (c *Client) BareLead(card func(id int64) (*LeadCard, error), counts func(Lead) bool) (*LeadCard, error) {
	return c.linked(card, func(l Link) bool { return l.Bare && l.Deal != "" },
		func(l Lead) bool { return !l.Closed() && counts(l) })
}

// linked is the newest of some links whose lead counts.
func (c *Client) linked(card func(int64) (*LeadCard, error), among func(Link) bool, counts func(Lead) bool) (*LeadCard, error) {
	for _, l := range slices.Backward(slices.Clone(c.Leads)) { // card may drop the link to one that is gone
		if !among(l) {
			continue
		}
		if known, err := card(l.LeadID); err != nil || known != nil && counts(known.Lead) {
			return known, err
		}
	}
	return nil, nil
}

// ManyLeads bounds how many of a contact's leads are looked at: it may have hundreds.
const ManyLeads = 50

// NewestLeads are the leads of a contact that are looked at, newest first.
func NewestLeads(ids []int64) []int64 {
	ids = slices.Compact(slices.Sorted(slices.Values(ids)))
	slices.Reverse(ids)
	return ids[:min(len(ids), ManyLeads)]
}

// FirstOf is the first choice among a contact's leads, of those that count; nil if none
// does.
func FirstOf(leads []*LeadCard, counts func(Lead) bool) (best *LeadCard) {
	for _, l := range leads {
		if counts(l.Lead) && (best == nil || l.Lead.before(best.Lead)) {
			best = l
		}
	}
	return best
}

// before: an open lead before a closed one, then the newest, then the highest id.
func (l Lead) before(other Lead) bool {
	if l.Closed() != other.Closed() {
		return other.Closed()
	}
	if l.CreatedAt != other.CreatedAt {
		return l.CreatedAt > other.CreatedAt
	}
	return l.ID > other.ID
}
