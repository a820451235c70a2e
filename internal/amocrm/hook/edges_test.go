package hook

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/jivo-amocrm/bridge/internal/event"
)

// one decodes pairs, one a line, of the tests' account.
func one(t *testing.T, pairs string) (*Post, Item) {
	t.Helper()
	h, err := Decoder{Location: moscow}.Decode("", encodeForm(strings.TrimSpace(pairs)+"\naccount[id]=31000001"))
	if err != nil || len(h.Items) != 1 {
		t.Fatalf("%+v, %v", h, err)
	}
	return h, h.Items[0]
}

// A lead's own words for its times and its loss, in the new spelling and the old.
func TestDecodeHook_LeadIsRead(t *testing.T) {
	for name, pairs := range map[string]string{
		"new": "leads[update][0][updated_at]=200\nleads[update][0][created_at]=100\nleads[update][0][closed_at]=300",
		"old": "leads[update][0][last_modified]=200\nleads[update][0][date_create]=100\nleads[update][0][date_close]=300",
	} {
		_, it := one(t, "leads[update][0][id]=501\nleads[update][0][name]=N\nleads[update][0][status_id]=143\nleads[update][0][loss_reason_id]=71\n"+pairs)
		want := &event.Lead{ID: 501, Name: "N", StatusID: 143, LossReasonID: 71, CreatedAt: 100, UpdatedAt: 200, ClosedAt: 300, Partial: true}
		if diff := cmp.Diff(want, it.Lead); diff != "" || it.Thin {
			t.Errorf("%s: thin %t %s", name, it.Thin, diff)
		}
	}
}

func TestDecodeHook_ContactIsRead(t *testing.T) {
	for _, key := range []string{"updated_at", "last_modified"} {
		_, it := one(t, "contacts[update][0][id]=801\ncontacts[update][0][name]=N\ncontacts[update][0]["+key+"]=200")
		if it.Contact.UpdatedAt != 200 || it.Thin {
			t.Errorf("%s: %+v", key, it)
		}
	}
}

// A contact's leads come as objects that name themselves, or as a list.
func TestDecodeHook_LeadsOfAContactInEitherShape(t *testing.T) {
	for name, c := range map[string]struct {
		pairs string
		want  []int64
	}{
		"by id":               {"contacts[update][0][linked_leads_id][501][ID]=501\ncontacts[update][0][linked_leads_id][502][ID]=502", []int64{501, 502}},
		"a list":              {"contacts[update][0][linked_leads_id][0]=501\ncontacts[update][0][linked_leads_id][1]=502", []int64{501, 502}},
		"a list from one on":  {"contacts[update][0][linked_leads_id][1]=501\ncontacts[update][0][linked_leads_id][2]=502", []int64{501, 502}},
		"nothing that is one": {"contacts[update][0][linked_leads_id][0]=", nil},
	} {
		_, it := one(t, "contacts[update][0][id]=801\ncontacts[update][0][name]=N\n"+c.pairs)
		if diff := cmp.Diff(c.want, it.Contact.LeadIDs); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// A lead whose hook has a price is whole, even if it has no name.
func TestDecodeHook_LeadWithAPriceIsWhole(t *testing.T) {
	for pairs, thin := range map[string]bool{"leads[update][0][price]=5": false, "leads[update][0][name]=N": false, "leads[update][0][status_id]=142": true} {
		if _, it := one(t, "leads[update][0][id]=501\n"+pairs); it.Thin != thin {
			t.Errorf("%s: thin %t", pairs, it.Thin)
		}
	}
}

// One entity may come without a list around it.
func TestDecodeHook_EntityWithoutAList(t *testing.T) {
	_, it := one(t, "leads[status][id]=501\nleads[status][status_id]=142\nleads[status][pipeline_id]=700001")
	if it.ID != 501 || it.Lead.StatusID != 142 || it.Action != "status" {
		t.Errorf("%+v", it)
	}
}

// Companies come among contacts or on their own, and are neither contacts nor leads,
// nor are their notes.
func TestDecodeHook_CompaniesAreNoContacts(t *testing.T) {
	for name, pairs := range map[string]string{
		"among contacts": "contacts[update][0][id]=850\ncontacts[update][0][type]=company",
		"on their own":   "companies[update][0][id]=850",
		"a note":         "contacts[note][0][note][element_id]=850\ncontacts[note][0][note][element_type]=3\ncontacts[note][0][note][note_type]=4",
	} {
		h, it := one(t, pairs)
		if it.Entity != "companies" || it.ID != 850 || !strings.HasPrefix(h.Kind(), "contacts.") {
			t.Errorf("%s: %s, %+v", name, h.Kind(), it)
		}
	}
}

// A task is done by either of two words, and is somebody's by either of two.
func TestDecodeHook_TaskIsRead(t *testing.T) {
	const task = "task[update][0][id]=7\ntask[update][0][text]=T\ntask[update][0][element_type]=2\ntask[update][0][element_id]=501\n"
	for pairs, done := range map[string]bool{"task[update][0][status]=1": true, "task[update][0][action_close]=1": true, "task[update][0][status]=0": false} {
		if _, it := one(t, task+pairs); it.Task.Completed != done {
			t.Errorf("%s: done %t", pairs, it.Task.Completed)
		}
	}
	for _, key := range []string{"responsible_user_id", "main_user"} {
		if _, it := one(t, task+"task[update][0]["+key+"]=9001"); it.Task.ResponsibleID != 9001 {
			t.Errorf("%s: %+v", key, it.Task)
		}
	}
}

// Which leads an incoming one became or was is told in any of these places.
func TestDecodeHook_LeadsOfAnIncomingOne(t *testing.T) {
	for _, place := range []string{"[accept_result][leads][0]=501", "[decline_result][leads][0]=501", "[data][leads][0][id]=501", "[leads][0][id]=501", "[lead_id]=501"} {
		_, it := one(t, "unsorted[delete][0][uid]=u\nunsorted[delete][0][action]=decline\nunsorted[delete][0]"+place)
		if diff := cmp.Diff([]int64{501}, it.LeadIDs); diff != "" || it.Action != "decline" {
			t.Errorf("%s: %s %s", place, it.Action, diff)
		}
	}
}

// A mark of the encoding before the body is no part of it.
func TestDecodeHook_ByteOrderMarkIsPassedOver(t *testing.T) {
	for _, body := range []string{`{"leads":{"status":[{"id":501,"status_id":142}]}}`, "leads[status][0][id]=501&leads[status][0][status_id]=142"} {
		h, err := decode([]byte("\xef\xbb\xbf" + body))
		if err != nil || len(h.Items) != 1 || h.Items[0].ID != 501 {
			t.Errorf("%s: %+v, %v", body, h, err)
		}
	}
}

// Keys without an index count on, as PHP's do.
func TestDecodeHook_KeysWithoutAnIndexCountOn(t *testing.T) {
	_, it := one(t, "contacts[update][0][id]=801\ncontacts[update][0][name]=N\ncontacts[update][0][linked_leads_id][]=501\ncontacts[update][0][linked_leads_id][]=502")
	if diff := cmp.Diff([]int64{501, 502}, it.Contact.LeadIDs); diff != "" {
		t.Error(diff)
	}
}
