package lenient

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
)

// Number is a whole number as amoCRM gives it: a JSON number, a string, null,
// or a boolean for want of one (amocrm-api.md §7.10). What is no number is 0.
type Number int64

// UnmarshalJSON implements json.Unmarshaler; it never fails.
func (n *Number) UnmarshalJSON(b []byte) error {
	*n = 0
	s := Scalar(b)
	if v, err := strconv.ParseInt(s, 10, 64); err == nil {
		*n = Number(v)
	} else if f, err := strconv.ParseFloat(s, 64); err == nil && math.Abs(f) < 1<<62 {
		*n = Number(f)
	}
	return nil
}

// Amount is a sum of money: int or float, perhaps a string.
type Amount float64

// UnmarshalJSON implements json.Unmarshaler; it never fails.
func (a *Amount) UnmarshalJSON(b []byte) error {
	*a = 0
	if f, err := strconv.ParseFloat(Scalar(b), 64); err == nil && !math.IsNaN(f) && !math.IsInf(f, 0) {
		*a = Amount(f)
	}
	return nil
}

// Words is a text, or a number where a text was due; null and the rest are "".
type Words string

// UnmarshalJSON implements json.Unmarshaler; it never fails.
func (w *Words) UnmarshalJSON(b []byte) error {
	*w = Words(Scalar(b))
	return nil
}

// Truth is a boolean, also as 0/1 or "0"/"1".
type Truth bool

// UnmarshalJSON implements json.Unmarshaler; it never fails.
func (t *Truth) UnmarshalJSON(b []byte) error {
	s := Scalar(b)
	*t = Truth(string(bytes.TrimSpace(b)) == "true" || s == "1" || s == "true")
	return nil
}

// Many is a list that may be null, or an object where a list was due
// (amocrm-api.md §4.2 loss_reason). Entries of a wrong shape are left out.
type Many[T any] []T

// UnmarshalJSON implements json.Unmarshaler; it never fails.
func (m *Many[T]) UnmarshalJSON(b []byte) error {
	*m = nil
	var raw []json.RawMessage
	if json.Unmarshal(b, &raw) != nil {
		if b = bytes.TrimSpace(b); len(b) > 0 && b[0] == '{' {
			raw = []json.RawMessage{b}
		}
	}
	for _, r := range raw {
		var v T
		if json.Unmarshal(r, &v) == nil {
			*m = append(*m, v)
		}
	}
	return nil
}

// Texts is a JSON string or number, or a list of them (leads/complex gives
// request_id as a list).
type Texts []string

// UnmarshalJSON implements json.Unmarshaler; it never fails.
func (l *Texts) UnmarshalJSON(b []byte) error {
	*l = nil
	var list []json.RawMessage
	if json.Unmarshal(b, &list) != nil {
		list = []json.RawMessage{b}
	}
	for _, raw := range list {
		if s := Scalar(raw); s != "" {
			*l = append(*l, s)
		}
	}
	return nil
}

// First returns the first text, "" if there is none.
func (l Texts) First() string {
	if len(l) == 0 {
		return ""
	}
	return l[0]
}

// Scalar returns a JSON string's text or a JSON number as written; "" for
// anything else.
func Scalar(raw json.RawMessage) string {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 {
		return ""
	}
	if raw[0] == '"' {
		var s string
		_ = json.Unmarshal(raw, &s)
		return s
	}
	if raw[0] == '-' || raw[0] >= '0' && raw[0] <= '9' {
		return string(raw)
	}
	return ""
}

// List returns the raw entries of `_embedded.<collection>`, or of a bare list.
func List(body []byte, collection string) []json.RawMessage {
	var raw []json.RawMessage
	if json.Unmarshal(body, &raw) == nil {
		return raw
	}
	var envelope struct {
		Embedded map[string]json.RawMessage `json:"_embedded"`
	}
	if json.Unmarshal(body, &envelope) != nil || json.Unmarshal(envelope.Embedded[collection], &raw) != nil {
		return nil
	}
	return raw
}

// Entries decodes the entries of a list; those of a wrong shape are left out.
func Entries[T any](body []byte, collection string) []T {
	var all []T
	for _, raw := range List(body, collection) {
		var v T
		if json.Unmarshal(raw, &v) == nil {
			all = append(all, v)
		}
	}
	return all
}
