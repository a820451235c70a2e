package jivo

import (
	"net/url"
	"strconv"
	"strings"
)

// ParseLink reads a link to a card that an operator pasted with "Link to CRM"
// (chat_assigned.assign_to): /leads/detail/1, /contacts/detail/1 or
// /companies/detail/1 of the account's own host (example.amocrm.ru, with its
// port if it has one). entity is leads, contacts or companies. Anything else,
// above all another account's link, is not ok.
func ParseLink(link, accountHost string) (entity string, id int64, ok bool) {
	link = strings.TrimSpace(link)
	if link == "" || len(link) > 2048 {
		return "", 0, false
	}
	if !strings.Contains(link, "://") {
		link = "https://" + strings.TrimPrefix(link, "//")
	}
	u, err := url.Parse(link)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" || plainHost(u.Host) != plainHost(accountHost) {
		return "", 0, false
	}
	parts := strings.Split(strings.Trim(u.Path, "/"), "/")
	if len(parts) != 3 || parts[1] != "detail" || strings.Trim(parts[2], "0123456789") != "" {
		return "", 0, false
	}
	switch parts[0] {
	case "leads", "contacts", "companies":
	default:
		return "", 0, false
	}
	id, err = strconv.ParseInt(parts[2], 10, 64)
	if err != nil || id <= 0 {
		return "", 0, false
	}
	return parts[0], id, true
}

// plainHost drops what makes no other host: case, a final dot, a usual port.
func plainHost(host string) string {
	host = strings.ToLower(host)
	host = strings.TrimSuffix(strings.TrimSuffix(host, ":443"), ":80")
	return strings.TrimSuffix(host, ".")
}
