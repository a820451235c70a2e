package jivo

import (
	"encoding/json"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of a reply (product.md §6; setCustomData takes ten fields, jivo-webhooks.md §e.3).
const (
	maxItems   = 10
	maxTitle   = 64
	maxContent = 256
)

// Reply is the answer to a webhook. Jivo shows the operator nothing of it
// unless Result is the Latin "ok", which an empty Result is sent as. Only
// replies to chat_accepted and chat_updated are shown.
type Reply struct {
	Result      string
	CustomData  []Item
	ContactInfo *ContactInfo // shown as if the visitor had typed it
	// EnableAssign shows the button that ties a visitor to a card; nil says nothing of it.
	EnableAssign *bool
	CRMLink      string
}

// Item is one line beside the dialog. Key and Link are by reference to
// setCustomData only, so what matters belongs into Content.
type Item struct {
	Title   string `json:"title,omitempty"`
	Content string `json:"content"`
	Key     string `json:"key,omitempty"`
	Link    string `json:"link,omitempty"`
}

// ContactInfo is what is filled in for the visitor.
type ContactInfo struct {
	Name  string `json:"name,omitempty"`
	Phone string `json:"phone,omitempty"`
	Email string `json:"email,omitempty"`
}

// MarshalJSON keeps the limits: at most ten items, none with empty content,
// titles of 64 and contents of 256 runes, no control characters, no empty keys.
func (r Reply) MarshalJSON() ([]byte, error) {
	wire := struct {
		Result       string       `json:"result"`
		CustomData   []Item       `json:"custom_data,omitempty"`
		ContactInfo  *ContactInfo `json:"contact_info,omitempty"`
		EnableAssign *bool        `json:"enable_assign,omitempty"`
		CRMLink      string       `json:"crm_link,omitempty"`
	}{
		Result:       oneLine(r.Result, maxContent),
		CustomData:   fitting(r.CustomData),
		EnableAssign: r.EnableAssign,
		CRMLink:      r.CRMLink,
	}
	if fold(wire.Result) == "ok" || wire.Result == "" { // row 18: printed in Cyrillic too
		wire.Result = "ok"
	}
	if r.ContactInfo != nil && *r.ContactInfo != (ContactInfo{}) {
		wire.ContactInfo = r.ContactInfo
	}
	return json.Marshal(wire)
}

func fitting(items []Item) []Item {
	var out []Item
	for _, item := range items {
		item.Content = oneLine(item.Content, maxContent)
		if item.Content == "" {
			continue
		}
		item.Title, item.Key = oneLine(item.Title, maxTitle), oneLine(item.Key, maxTitle)
		out = append(out, item)
		if len(out) == maxItems {
			break
		}
	}
	return out
}

// oneLine drops control characters and cuts a text to n runes, the last one
// showing that it was cut.
func oneLine(s string, n int) string {
	s = strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s))
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return strings.TrimSpace(cut(s, n-1)) + "…"
}
