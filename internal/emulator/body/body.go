// Package body reads and builds the JSON objects that requests and answers of
// an emulated account are made of. What is not there, or of another type, reads
// as the zero value: whether that is allowed was checked before.
package body

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"time"
)

// ErrNotJSON says a body is not one JSON value.
var errNotJSON = errors.New("body is not JSON")

// Decode reads a body that is one JSON value; numbers stay as they were written.
func Decode(body []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, errNotJSON
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errNotJSON
	}
	return v, nil
}

// List is v as a JSON array, nil if it is none.
func List(v any) []any { l, _ := v.([]any); return l }

// Object is v as a JSON object, nil if it is none.
func Object(v any) obj { m, _ := v.(obj); return m }

// Text is the string m has under key, "" if there is none.
func Text(m obj, key string) string { s, _ := m[key].(string); return s }

// IntOf is v as an integer, 0 if it is none.
func IntOf(v any) int64 {
	n, _ := v.(json.Number)
	i, _ := n.Int64()
	return i
}

// Int is the integer m has under key, and whether there is one.
func Int(m obj, key string) (int64, bool) {
	n, ok := m[key].(json.Number)
	if !ok {
		return 0, false
	}
	i, err := n.Int64()
	return i, err == nil
}

// Number is n as Decode would have read it.
func Number(n int64) json.Number { return json.Number(strconv.FormatInt(n, 10)) }

// Unix reads a date as unix seconds or RFC 3339.
func Unix(v any) (int64, bool) {
	switch x := v.(type) {
	case json.Number:
		n, err := x.Int64()
		return n, err == nil
	case string:
		t, err := time.Parse(time.RFC3339, x)
		return t.Unix(), err == nil
	}
	return 0, false
}

// RequestID echoes what item was sent with, else its index as a string (amocrm-api.md §4.2).
func RequestID(item obj, i int) string {
	if s, ok := item["request_id"].(string); ok {
		return s
	}
	return strconv.Itoa(i)
}

// Plain turns json.Number into numbers, so that what is kept survives saving and compares.
func Plain(m obj) obj {
	out := obj{}
	for k, v := range m {
		if n, ok := v.(json.Number); ok {
			v, _ = n.Int64()
		}
		out[k] = v
	}
	return out
}

// OrNull turns a zero id or time into JSON's null.
func OrNull(n int64) any {
	if n == 0 {
		return nil
	}
	return n
}

// TextOrNull turns an empty code into JSON's null.
func TextOrNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// obj is a JSON object being built or read.
type obj = map[string]any
