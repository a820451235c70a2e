package items

import (
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/jivo-amocrm/bridge/internal/amocrm/dict"
	"github.com/jivo-amocrm/bridge/internal/amocrm/spelling"
	"github.com/jivo-amocrm/bridge/internal/event"
)

// fieldWriter turns texts into the values of custom fields
// (amocrm-api.md §4.10).
type fieldWriter struct {
	loc *time.Location // of dates without a zone
}

// values returns what to put into field f for raw. Where something of raw
// cannot be written, complaint says why without quoting it; what can be
// written is returned all the same.
func (w fieldWriter) values(f dict.Field, raw string) (values []event.Value, complaint string) {
	if f.Computed {
		return nil, "amoCRM computes it itself"
	}
	text := spelling.Line(raw)
	if text == "" {
		return nil, ""
	}
	switch f.Type {
	case "text", "tracking_data", "smart_address", "legal_entity":
		return oneValue(text)
	case "textarea", "streetaddress":
		return oneValue(spelling.Text(raw))
	case "numeric", "price", "monetary":
		n, ok := spelling.Number(text)
		if !ok {
			return nil, "not a number"
		}
		return oneValue(spelling.FormatNumber(n))
	case "checkbox":
		on, ok := parseBool(text)
		if !ok {
			return nil, "neither yes nor no"
		}
		return oneValue(strconv.FormatBool(on))
	case "url":
		link, ok := parseLink(text)
		if !ok {
			return nil, "not a web address"
		}
		return oneValue(link)
	case "date", "birthday", "date_time":
		at, ok := w.time(text)
		if !ok {
			return nil, "not a date"
		}
		return oneValue(w.timeText(at))
	case "select", "radiobutton", "category":
		e, ok := enumOf(f, text)
		if !ok {
			return nil, complainOption
		}
		return []event.Value{enumValue(e)}, ""
	case "multiselect":
		return options(f, text)
	case "multitext":
		v := event.Value{Text: text}
		v.EnumID, v.Enum = multitextEnum(f)
		return []event.Value{v}, ""
	}
	return nil, "fields of its type cannot be written"
}

const complainOption = "no such option"

func oneValue(text string) ([]event.Value, string) {
	if text == "" {
		return nil, ""
	}
	return []event.Value{{Text: text}}, ""
}

func enumValue(e dict.Enum) event.Value { return event.Value{Text: e.Value, EnumID: e.ID} }

// enumOf finds an option by label, code or id; a label that looks like an id is
// a label.
func enumOf(f dict.Field, x string) (dict.Enum, bool) {
	key := spelling.Fold(x)
	if key == "" {
		return dict.Enum{}, false
	}
	id, _ := spelling.ID(x)
	for _, is := range []func(dict.Enum) bool{
		func(e dict.Enum) bool { return spelling.Fold(e.Value) == key },
		func(e dict.Enum) bool { return spelling.Fold(e.Code) == key },
		func(e dict.Enum) bool { return e.ID == id },
	} {
		if i := slices.IndexFunc(f.Enums, is); i >= 0 {
			return f.Enums[i], true
		}
	}
	return dict.Enum{}, false
}

// options splits a list of options at commas, semicolons and line ends, unless
// the whole is one option.
func options(f dict.Field, text string) (values []event.Value, complaint string) {
	if e, ok := enumOf(f, text); ok {
		return []event.Value{enumValue(e)}, ""
	}
	for part := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ',' || r == ';' }) {
		if strings.TrimSpace(part) == "" {
			continue
		}
		e, ok := enumOf(f, part)
		if !ok {
			complaint = complainOption
			continue
		}
		if v := enumValue(e); !slices.Contains(values, v) {
			values = append(values, v)
		}
	}
	return values, complaint
}

// multitextEnum chooses what a new value stands under: WORK, the code phones
// and e-mails have in every account, unless the dictionary knows better.
func multitextEnum(f dict.Field) (id int64, code string) {
	const usual = "WORK"
	if len(f.Enums) == 0 {
		return 0, usual
	}
	for _, want := range []string{usual, "OTHER"} {
		if slices.ContainsFunc(f.Enums, func(e dict.Enum) bool { return e.Code == want }) {
			return 0, want
		}
	}
	return f.Enums[0].ID, ""
}

// wireValues returns values in the shape amoCRM takes for field type kind.
func wireValues(kind string, values []event.Value) []any {
	out := make([]any, 0, len(values))
	for _, v := range values {
		out = append(out, wireValue(kind, v))
	}
	return out
}

func wireValue(kind string, v event.Value) map[string]any {
	switch kind {
	case "checkbox":
		return map[string]any{"value": v.Text == "true"}
	case "date", "birthday", "date_time":
		return map[string]any{"value": wireTime(v.Text)}
	case "select", "radiobutton", "category", "multiselect":
		return map[string]any{"enum_id": v.EnumID}
	case "smart_address":
		return map[string]any{"value": v.Text, "enum_code": "address_line_1"}
	case "legal_entity":
		return map[string]any{"value": map[string]any{"name": v.Text}}
	}
	return Multitext(v)
}

// Multitext returns a phone, an e-mail or a plain text in the shape amoCRM takes.
func Multitext(v event.Value) map[string]any {
	item := map[string]any{"value": v.Text}
	// Never under the key `enum`, which some reads use: it is refused on a
	// write (amocrm-api.md §4.3).
	switch {
	case v.EnumID != 0:
		item["enum_id"] = v.EnumID
	case v.Enum != "":
		item["enum_code"] = v.Enum
	}
	return item
}

// timeText is unix seconds, but RFC 3339, the other form amoCRM takes, before
// 1970: whether it takes negative seconds is not documented.
func (w fieldWriter) timeText(at time.Time) string {
	if at.Unix() < 0 {
		return at.In(w.zone()).Format(time.RFC3339)
	}
	return strconv.FormatInt(at.Unix(), 10)
}

func wireTime(text string) any {
	if unix, err := strconv.ParseInt(text, 10, 64); err == nil {
		return unix
	}
	return text
}

// canon brings the values of a field to a form in which those read from
// amoCRM, those of a hook and those about to be written compare as equal
// whenever they mean the same.
func (w fieldWriter) canon(f dict.Field, values []event.Value) string {
	out := make([]string, 0, len(values))
	for _, v := range values {
		if c := w.canonOne(f, v); c != "" {
			out = append(out, c)
		}
	}
	if f.Type == "multiselect" {
		slices.Sort(out)
	}
	return strings.Join(out, valueSeparator)
}

// valueSeparator joins values in what is remembered of a write. Written texts
// hold no control characters besides line ends and tabs.
const valueSeparator = "\x1f"

func (w fieldWriter) canonOne(f dict.Field, v event.Value) string {
	text := spelling.Text(v.Text)
	switch f.Type {
	case "select", "radiobutton", "category", "multiselect":
		if v.EnumID != 0 {
			return enumMark + strconv.FormatInt(v.EnumID, 10)
		}
		if e, ok := enumOf(f, text); ok {
			return enumMark + strconv.FormatInt(e.ID, 10)
		}
	case "numeric", "price", "monetary":
		if n, ok := spelling.Number(text); ok {
			return spelling.FormatNumber(n)
		}
	case "checkbox":
		if on, ok := parseBool(text); ok {
			return strconv.FormatBool(on)
		}
	case "legal_entity": // read as an object
		var entity struct {
			Name string `json:"name"`
		}
		if json.Unmarshal([]byte(text), &entity) == nil && entity.Name != "" {
			return spelling.Line(entity.Name)
		}
	case "date_time":
		if at, ok := w.time(text); ok {
			return strconv.FormatInt(at.Unix(), 10)
		}
	case "date", "birthday":
		if at, ok := w.time(text); ok {
			return at.In(w.zone()).Format(time.DateOnly)
		}
	}
	return text
}

// enumMark stands before an option's id in what is remembered of a write.
const enumMark = "#"

// remembered is canon's reading of a text kept by Wrote.
func (w fieldWriter) remembered(f dict.Field, wrote string) string {
	var values []event.Value
	for part := range strings.SplitSeq(wrote, valueSeparator) {
		v := event.Value{Text: part}
		if id, ok := spelling.ID(strings.TrimPrefix(part, enumMark)); ok && strings.HasPrefix(part, enumMark) && len(f.Enums) > 0 {
			v = event.Value{EnumID: id}
		}
		values = append(values, v)
	}
	return w.canon(f, values)
}

func (w fieldWriter) zone() *time.Location {
	if w.loc == nil {
		return time.UTC
	}
	return w.loc
}

// time reads unix seconds (or milliseconds), RFC 3339, or a date with or
// without time in the account's zone, day or year first. A date between
// slashes is not read: nobody can tell its day from its month.
func (w fieldWriter) time(text string) (time.Time, bool) {
	if unix, err := strconv.ParseInt(text, 10, 64); err == nil {
		if unix > 1e11 {
			unix /= 1000
		}
		// Short numbers are years or days, not moments.
		return time.Unix(unix, 0), unix > 1e7 || unix < -1e7 && unix > -1e10
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", time.DateTime, "2006-01-02 15:04", time.DateOnly,
		"2.1.2006 15:04:05", "2.1.2006 15:04", "2.1.2006"} {
		if at, err := time.ParseInLocation(layout, text, w.zone()); err == nil {
			return at, at.Year() > 1000
		}
	}
	return time.Time{}, false
}

func parseBool(text string) (on, ok bool) {
	switch spelling.Fold(text) {
	case "true", "1", "yes", "y", "on", "да", "истина", "sim", "si", "sí":
		return true, true
	case "false", "0", "no", "n", "off", "нет", "ложь", "nao", "não":
		return false, true
	}
	return false, false
}

// parseLink takes web addresses only and gives one without a scheme https.
func parseLink(text string) (string, bool) {
	if !strings.Contains(text, "://") {
		text = "https://" + text
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || strings.ContainsFunc(text, unicode.IsSpace) {
		return "", false
	}
	return text, strings.Contains(strings.Trim(u.Hostname(), "."), ".")
}

// softMark begins the key of a field that the account may lack (event.Entity).
const softMark = "?"

func softLast(a, b string) int {
	if x, y := strings.HasPrefix(a, softMark), strings.HasPrefix(b, softMark); x != y {
		if x {
			return 1
		}
		return -1
	}
	return strings.Compare(a, b)
}
