package event

import (
	"slices"
	"testing"
)

func TestFirstOf_OrderOfLeads(t *testing.T) {
	for name, c := range map[string]struct{ first, then Lead }{
		"open before closed":        {Lead{ID: 1, CreatedAt: 1}, Lead{ID: 2, CreatedAt: 9, StatusID: StatusWon}},
		"newest created":            {Lead{ID: 1, CreatedAt: 9}, Lead{ID: 2, CreatedAt: 1}},
		"highest id":                {Lead{ID: 2, CreatedAt: 1}, Lead{ID: 1, CreatedAt: 1}},
		"newest of the closed ones": {Lead{ID: 1, CreatedAt: 9, StatusID: StatusWon}, Lead{ID: 2, CreatedAt: 1, StatusID: StatusLost}},
	} {
		all := func(Lead) bool { return true }
		a, b := &LeadCard{Lead: c.first}, &LeadCard{Lead: c.then}
		if FirstOf([]*LeadCard{a, b}, all) != a || FirstOf([]*LeadCard{b, a}, all) != a {
			t.Errorf("%s: wrong", name)
		}
		if FirstOf([]*LeadCard{a}, func(Lead) bool { return false }) != nil {
			t.Errorf("%s: one that does not count was taken", name)
		}
	}
}

// TestLeadOfChat_AClosedOneCountsForWhatGoesOn: a chat that begins opens a new lead.
func TestLeadOfChat_AClosedOneCountsForWhatGoesOn(t *testing.T) {
	c := &Client{Leads: []Link{{LeadID: 1, Chats: []string{"k"}}, {LeadID: 2}}}
	card := func(id int64) (*LeadCard, error) { return &LeadCard{Lead: Lead{ID: id, StatusID: StatusWon}}, nil }
	for kind, want := range map[string]int64{"chat_accepted": 0, "offline_message": 0, "chat_updated": 1, "chat_finished": 1} {
		got, err := c.LeadOfChat("k", kind, card)
		if err != nil || (got != nil) != (want != 0) || got != nil && got.Lead.ID != want {
			t.Errorf("%s: %+v, %v; want lead %d", kind, got, err, want)
		}
	}
	if got, _ := c.LeadOfChat("", "chat_updated", card); got != nil {
		t.Errorf("no chat: lead %d", got.Lead.ID)
	}
}

func TestNewestLeads_OnceEachNewestFirst(t *testing.T) {
	if got := NewestLeads([]int64{3, 9, 3, 1}); !slices.Equal(got, []int64{9, 3, 1}) {
		t.Errorf("%v", got)
	}
	var many []int64
	for i := range 300 {
		many = append(many, int64(i))
	}
	if got := NewestLeads(many); len(got) != 50 || got[0] != 299 {
		t.Errorf("%d leads from %d on", len(got), got[0])
	}
}
