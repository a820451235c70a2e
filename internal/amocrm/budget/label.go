package budget

import "strings"

// Label turns a path into the `endpoint` label of a metric: a closed set, no ids.
func Label(path string) string {
	if strings.HasPrefix(path, "/oauth2/") {
		return "token"
	}
	var parts []string
	for p := range strings.SplitSeq(strings.TrimPrefix(path, "/api/v4/"), "/") {
		if p != "" && strings.Trim(p, "0123456789") != "" {
			parts = append(parts, p)
		}
	}
	if len(parts) == 0 {
		return "other"
	}
	switch last := parts[len(parts)-1]; last {
	case "pipelines", "statuses", "loss_reasons", "custom_fields", "users", "account", "webhooks", "events", "unsorted":
		return last
	case "leads", "contacts", "companies", "tasks":
		return last
	case "complex", "link", "links", "notes", "tags":
		switch parts[0] {
		case "leads", "contacts", "companies":
			return parts[0] + "/" + last
		}
	}
	return "other"
}
