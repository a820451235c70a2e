package items

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm/dict"
	"github.com/jivo-amocrm/bridge/internal/amocrm/spelling"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/phone"
)

// Shaper turns what is wanted of a lead or contact into amoCRM's wire items,
// against what is known of the entity. A value amoCRM would refuse is left out,
// or replaced by a sane one, with a Warning: the rest goes through
// (product.md › Updating). It is pure; a Shaper may be used from many
// goroutines as long as nobody changes it. The zero Shaper works and knows no
// names.
type Shaper struct {
	Dict        *dict.Snapshot
	Agents      map[string]string // Jivo agent → amoCRM user (e-mail, name or id); "*" for the rest
	Region      string            // of phones without a country code
	MarkerField string            // name, code or id of the text field that carries the Jivo ids
	Location    *time.Location    // of dates without a zone; nil: the account's
	Cents       bool              // prices may have minor units: Kommo's may, amoCRM's are whole (amocrm-api.md §4.2)
}

// WarningKind is what a Warning is about.
type WarningKind string

// What a Warning may be about.
const (
	WarnField      WarningKind = "field"
	WarnOption     WarningKind = "option"
	WarnValue      WarningKind = "value"
	WarnPipeline   WarningKind = "pipeline"
	WarnStage      WarningKind = "stage"
	WarnAgent      WarningKind = "agent"
	WarnLossReason WarningKind = "loss_reason"
	WarnUnread     WarningKind = "unread" // left alone until the entity has been read
)

// Warning says what was left out or replaced. Text is fit for logs: it names
// fields and stages, never a value or a person. Name is the name that could not
// be resolved, "" if it was a value: Kind and Name together are what is counted
// once per name. The Name of an agent may be an e-mail and must not be logged.
type Warning struct {
	Kind WarningKind
	Name string
	Text string
}

func (w Warning) String() string { return w.Text }

// The limits of one item.
const (
	maxFieldValues = 40  // amocrm-api.md §3
	maxName        = 255 // not documented; what the web form takes
)

// Keys of Wrote and of event.Entity's Changed.
const (
	keyName        = "name"
	keyPrice       = "price"
	keyStage       = "stage"
	keyPipeline    = "pipeline"
	keyResponsible = "responsible"
	keyLossReason  = "loss_reason"
	keyField       = "field:"
	keyTag         = "tag:"
)

// draft is one item in the making.
type draft struct {
	*Shaper
	entity   string // leads | contacts
	one      string // the entity in words
	want     *event.Entity
	create   bool
	partial  bool // what is not set is unknown rather than empty
	unlisted bool // so are lists without a value
	wrote    map[string]string
	write    fieldWriter
	item     map[string]any
	fields   []any // custom_fields_values
	room     int   // values custom_fields_values may still take
	warnings []Warning
}

func (s *Shaper) draft(entity string, want *event.Entity, wrote map[string]string) *draft {
	d := &draft{
		Shaper: s, entity: entity, one: strings.TrimSuffix(entity, "s"), want: want, wrote: wrote,
		write: fieldWriter{loc: s.Location}, item: map[string]any{}, room: maxFieldValues,
	}
	if d.write.loc == nil {
		d.write.loc = s.Dict.Location()
	}
	return d
}

// Lead returns the item that makes the lead (have == nil: for a POST) or
// brings it nearer to what is wanted (for a PATCH, with its id), nil if there is
// nothing to write. wrote is what Wrote returned for earlier items of this lead.
// marker holds the tokens its marker field should bear.
//
// A Partial have that says when it was updated comes from an account hook, which
// carries the whole entity but its links (amocrm-api.md §6.2); of any other what
// is not set counts as unknown and is left alone. Lists, which amoCRM replaces
// as a whole, count as known only if the hook carried some custom field.
func (s *Shaper) Lead(want *event.Entity, have *event.Lead, wrote map[string]string, marker string) (map[string]any, []Warning) {
	d := s.draft(spelling.Leads, want, wrote)
	if have == nil {
		d.create, have = true, &event.Lead{}
	} else if want.Update == event.Never {
		return nil, nil
	}
	d.partial, d.unlisted = have.Partial && have.UpdatedAt == 0, have.Partial && have.Fields == nil
	d.setName(have.Name)
	d.setPrice(have.Price)
	d.setPlace(have)
	d.setResponsible(have.ResponsibleID)
	d.setMarker(have.Fields, marker)
	d.setFields(have.Fields, nil)
	d.setTags(have.Tags)
	return d.finish(have.ID)
}

// Contact is Lead for a contact. Phones and e-mails are added beside what is
// there, whatever the mode.
func (s *Shaper) Contact(want *event.Entity, have *event.Contact, wrote map[string]string, marker string) (map[string]any, []Warning) {
	d := s.draft(spelling.Contacts, want, wrote)
	if have == nil {
		d.create, have = true, &event.Contact{}
	} else if want.Update == event.Never {
		return nil, nil
	}
	d.partial, d.unlisted = have.Partial && have.UpdatedAt == 0, have.Partial && have.Fields == nil
	d.setName(have.Name)
	d.setResponsible(have.ResponsibleID)
	d.setMarker(have.Fields, marker)
	phones, emails := slices.Clone(want.Phones), slices.Clone(want.Emails)
	rest := map[string]bool{}
	for _, key := range slices.Sorted(maps.Keys(want.Fields)) {
		switch f, _ := s.Dict.Field(spelling.Contacts, strings.TrimPrefix(key, softMark)); f.Code {
		case spelling.CodePhone:
			phones, rest[key] = append(phones, want.Fields[key]), true
		case spelling.CodeEmail:
			emails, rest[key] = append(emails, want.Fields[key]), true
		}
	}
	d.addBeside(spelling.CodePhone, have.Fields, have.Phones, phones, func(v string) string { return phone.Soft(v, s.Region) })
	d.addBeside(spelling.CodeEmail, have.Fields, have.Emails, emails, phone.Email)
	d.setFields(have.Fields, rest)
	d.setTags(have.Tags)
	return d.finish(have.ID)
}

func (d *draft) finish(id int64) (map[string]any, []Warning) {
	if len(d.fields) > 0 {
		d.item["custom_fields_values"] = d.fields
	}
	if d.create {
		return d.item, d.warnings
	}
	if len(d.item) == 0 {
		return nil, d.warnings
	}
	d.item["id"] = id
	return d.item, d.warnings
}

func (d *draft) warn(kind WarningKind, name, format string, args ...any) {
	d.warnings = append(d.warnings, Warning{Kind: kind, Name: name, Text: fmt.Sprintf(format, args...)})
}

func (d *draft) changed(key string) bool { return slices.Contains(d.want.Changed, key) }

// takes decides whether a value that differs from what stands there is written
// (product.md › Updating). ours: what stands there is what the bridge wrote.
func (d *draft) takes(key string, empty, ours bool) bool {
	if d.create || d.changed(key) || d.want.Update == event.Overwrite {
		return true
	}
	return empty && !d.partial || ours
}

func (d *draft) setName(have string) {
	name := spelling.Cut(spelling.Line(d.want.Name), maxName)
	if name == "" || name == have {
		return
	}
	if d.takes(keyName, have == "", have != "" && have == d.wrote[keyName]) {
		d.item["name"] = name
	}
}

func (d *draft) setPrice(have float64) {
	text := spelling.Line(d.want.Price)
	if text == "" {
		return
	}
	price, ok := spelling.Price(text)
	if !ok {
		d.warn(WarnValue, "", "%s price: not an amount", d.one)
		return
	}
	if !d.Cents {
		price = math.Round(price)
	}
	// 0 is no price: an empty value never blanks one.
	if price == 0 || price == have {
		return
	}
	if d.takes(keyPrice, have == 0, have != 0 && spelling.FormatNumber(have) == d.wrote[keyPrice]) {
		d.item["price"] = wireNumber(price)
	}
}

// wireNumber is an int where the number is whole.
func wireNumber(n float64) any {
	if whole := int64(n); float64(whole) == n {
		return whole
	}
	return n
}

// setResponsible writes a responsible at creation; later only where asked to.
func (d *draft) setResponsible(have int64) {
	if !d.create && d.want.Update != event.Overwrite && !d.changed(keyResponsible) {
		return
	}
	id, warnings := d.Responsible(d.want.Responsible)
	for _, w := range warnings {
		d.warn(w.Kind, w.Name, "%s %s", d.one, w.Text)
	}
	if id != 0 && id != have {
		d.item["responsible_user_id"] = id
	}
}

// Responsible finds the amoCRM user for a Jivo agent's e-mail or id, or for an
// amoCRM user's e-mail, name or id: the entry of Agents, else the user of that
// name, else Agents["*"]. It returns 0 if there is none, and warns for every
// name that leads nowhere. Nobody wanted is nobody, without a warning.
func (s *Shaper) Responsible(want string) (id int64, warnings []Warning) {
	want = spelling.Line(want)
	if want == "" {
		return 0, nil
	}
	lost := func(name, text string) { warnings = append(warnings, Warning{Kind: WarnAgent, Name: name, Text: text}) }
	if mapped := s.agent(want); mapped != "" {
		if u, ok := s.Dict.User(mapped); ok {
			return u.ID, nil
		}
		lost(mapped, "responsible: the amoCRM user `agents` names for this agent is not an active one")
	}
	// Not on trust where users cannot be read: a number is more likely a Jivo
	// agent's, and a wrong responsible has the whole item refused.
	if u, ok := s.Dict.User(want); ok && s.Dict.ReadsUsers() {
		return u.ID, warnings
	}
	if rest := s.Agents[anyAgent]; rest != "" {
		if u, ok := s.Dict.User(rest); ok {
			return u.ID, warnings
		}
		lost(rest, "responsible: the amoCRM user `agents` names for \"*\" is not an active one")
	}
	lost(want, "responsible: no amoCRM user for this agent")
	return 0, warnings
}

const anyAgent = "*"

// agent returns the entry of Agents for want. E-mails are compared without case.
func (s *Shaper) agent(want string) string {
	if user, ok := s.Agents[want]; ok {
		return user
	}
	for _, key := range slices.Sorted(maps.Keys(s.Agents)) {
		if key != anyAgent && strings.EqualFold(strings.TrimSpace(key), want) {
			return s.Agents[key]
		}
	}
	return ""
}

func (d *draft) setMarker(have map[int64]event.Values, marker string) {
	f, ok := d.Dict.Field(d.entity, d.MarkerField)
	if !ok || d.MarkerField == "" || f.Computed || f.Type != "text" && f.Type != "textarea" {
		return
	}
	if d.unlisted {
		return // other tokens may stand there
	}
	old := have[f.ID].Text()
	if merged := MergeMarker(old, spelling.Line(marker)); merged != "" && merged != strings.Join(parseMarker(old), " ") {
		d.addField(f, []event.Value{{Text: merged}})
	}
}

// setFields writes the custom fields that are wanted; skip holds keys dealt
// with already. A key with a leading "?" is soft: it comes after the others, and
// where the account has no such field its value is left out without a warning.
func (d *draft) setFields(have map[int64]event.Values, skip map[string]bool) {
	marker, _ := d.Dict.Field(d.entity, d.MarkerField)
	done := map[int64]bool{marker.ID: d.MarkerField != ""}
	for _, raw := range slices.SortedFunc(maps.Keys(d.want.Fields), softLast) {
		if skip[raw] || spelling.Text(d.want.Fields[raw]) == "" {
			continue
		}
		key, soft := strings.CutPrefix(raw, softMark)
		name := spelling.Cut(spelling.Line(key), 64)
		f, ok := d.Dict.Field(d.entity, key)
		switch {
		case soft && (!ok || done[f.ID]):
			continue
		case !ok:
			d.warn(WarnField, name, "%s field %q: no such field", d.one, name)
			continue
		case done[f.ID]:
			d.warn(WarnValue, "", "%s field %q: already written under another name", d.one, name)
			continue
		}
		done[f.ID] = true
		d.setField(f, key, name, d.want.Fields[raw], have[f.ID])
	}
}

func (d *draft) setField(f dict.Field, key, name, raw string, have event.Values) {
	values, complaint := d.write.values(f, raw)
	switch complaint {
	case "":
	case complainOption:
		d.warn(WarnOption, name, "%s field %q: %s", d.one, name, complaint)
	default:
		d.warn(WarnValue, "", "%s field %q: %s", d.one, name, complaint)
	}
	if len(values) == 0 {
		return
	}
	if f.Type == "multitext" {
		d.addBesideField(f, have, values, strings.ToLower)
		return
	}
	stands := d.write.canon(f, have)
	if stands == d.write.canon(f, values) {
		return
	}
	wrote, known := d.wrote[keyField+strconv.FormatInt(f.ID, 10)]
	// A statistical field tells of the first touch: a later one never replaces it.
	ours := known && stands != "" && f.Type != "tracking_data" && stands == d.write.remembered(f, wrote)
	if d.changed(key) || d.takes(keyField+key, stands == "", ours) {
		d.tryField(f, name, values)
	}
}

// addBeside adds values to the phones or e-mails of a contact. amoCRM replaces
// the list as a whole (amocrm-api.md §4.3), so what stands there goes along
// verbatim. normal returns the form values are compared and written in, "" for
// what is none.
func (d *draft) addBeside(code string, fields map[int64]event.Values, have []event.Value, want []string, normal func(string) string) {
	f, ok := d.Dict.Field(d.entity, code)
	if !ok {
		f = dict.Field{Code: code, Type: "multitext"}
	}
	if len(have) == 0 {
		have = fields[f.ID]
	}
	id, enum := multitextEnum(f)
	var values []event.Value
	for _, raw := range want {
		if raw = spelling.Line(raw); raw == "" {
			continue
		}
		v := normal(raw)
		if v == "" {
			d.warn(WarnValue, "", "%s %s: not one", d.one, strings.ToLower(code))
			continue
		}
		values = append(values, event.Value{Text: v, EnumID: id, Enum: enum})
	}
	d.addBesideField(f, have, values, normal)
}

func (d *draft) addBesideField(f dict.Field, have event.Values, values []event.Value, normal func(string) string) {
	if d.unlisted && len(have) == 0 && len(values) > 0 {
		d.warn(WarnUnread, "", "%s %s: not added before the %s is read", d.one, fieldLabel(f), d.one)
		return
	}
	known := map[string]bool{}
	for _, v := range have {
		known[normal(v.Text)] = true
	}
	all := slices.Clone(have)
	for _, v := range values {
		key := normal(v.Text)
		if known[key] {
			continue
		}
		if len(all) >= d.room {
			d.warn(WarnValue, "", "%s %s: more values than an item may hold", d.one, fieldLabel(f))
			break
		}
		known[key] = true
		all = append(all, v)
	}
	if len(all) > len(have) {
		d.addField(f, all)
	}
}

func fieldLabel(f dict.Field) string {
	if f.Code != "" {
		return strings.ToLower(f.Code)
	}
	return fmt.Sprintf("field %q", f.Name)
}

func (d *draft) tryField(f dict.Field, name string, values []event.Value) {
	if len(values) > d.room {
		d.warn(WarnValue, "", "%s field %q: more values than an item may hold", d.one, name)
		return
	}
	d.addField(f, values)
}

func (d *draft) addField(f dict.Field, values []event.Value) {
	entry := map[string]any{"values": wireValues(f.Type, values)}
	if f.ID != 0 {
		entry["field_id"] = f.ID
	} else {
		entry["field_code"] = f.Code
	}
	d.fields = append(d.fields, entry)
	d.room -= len(values)
}

// setTags asks for the tags that are missing and gives up those that are there
// and unwanted. Tags are never replaced as a set: others may work on it too
// (amocrm-api.md §7.5).
func (d *draft) setTags(have []string) {
	stands := map[string]bool{}
	for _, t := range have {
		stands[spelling.Fold(t)] = true
	}
	unknown := d.partial && len(have) == 0
	seen := map[string]bool{"": true}
	var add, drop []any
	for _, t := range d.want.Tags {
		t = spelling.Cut(spelling.Line(t), maxName)
		if key := spelling.Fold(t); !seen[key] {
			seen[key] = true
			if !stands[key] {
				add = append(add, map[string]any{"name": t})
			}
		}
	}
	for _, t := range d.want.TagsRemove {
		t = spelling.Cut(spelling.Line(t), maxName)
		if key := spelling.Fold(t); !seen[key] && !d.create && d.wrote[keyTag+key] != "" && (unknown || stands[key]) {
			seen[key] = true
			drop = append(drop, map[string]any{"name": t})
		}
	}
	if len(add) > 0 {
		d.item["tags_to_add"] = add
	}
	if len(drop) > 0 {
		d.item["tags_to_delete"] = drop
	}
}
