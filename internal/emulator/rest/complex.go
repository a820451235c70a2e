package rest

import (
	"net/http"

	"github.com/jivo-amocrm/bridge/internal/emulator/answer"
	"github.com/jivo-amocrm/bridge/internal/emulator/body"
	"github.com/jivo-amocrm/bridge/internal/emulator/check"
)

// complexLeadsMax is how many leads one leads/complex may carry (amocrm-api.md §3).
const complexLeadsMax = 50

// complexLeads is POST /leads/complex: leads with their contact and company in
// one go, answered by a bare array (amocrm-api.md §4.2).
func (c *call) complexLeads() answer.Answer {
	items, bad := c.items(complexLeadsMax)
	if bad == nil {
		bad = c.validate(items, check.Complex())
	}
	if bad == nil {
		bad = c.checkLoss(items)
	}
	if bad != nil {
		return *bad
	}
	out := make([]obj, 0, len(items))
	for i, item := range items {
		done := c.clerk.AddComplex(item, c.user)
		out = append(out, obj{"id": done.LeadID, "contact_id": body.OrNull(done.ContactID), "company_id": body.OrNull(done.CompanyID),
			"request_id": []string{body.RequestID(item, i)}, "merged": done.Merged})
	}
	return answer.JSON(http.StatusOK, answer.HALJSON, out)
}
