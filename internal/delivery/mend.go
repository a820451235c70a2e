package delivery

import (
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/jivo-amocrm/bridge/internal/amocrm"
	"github.com/jivo-amocrm/bridge/internal/event"
)

// mend takes what amoCRM refused out of the item, so that the rest goes through.
// It reports whether there was anything to take out.
func (j *job) mend(i int, r *amocrm.Refused) bool {
	paths := []string{r.Path}
	for _, p := range r.Problems {
		paths = append(paths, p.Path)
	}
	var out []itemPath
	for _, path := range paths {
		for _, k := range j.itemsBehind(i, path) {
			k.path = k.path[:min(len(k.path), 2)] // what is taken out: a field, or an element of a list
			if !slices.ContainsFunc(out, func(o itemPath) bool { return o.change == k.change && slices.Equal(o.path, k.path) }) {
				out = append(out, k)
			}
		}
	}
	// Taking an element out moves those behind it: later ones first.
	slices.SortFunc(out, func(a, b itemPath) int { return b.element() - a.element() })
	mended := false
	for _, k := range out {
		var item map[string]any
		if json.Unmarshal(j.ev.Changes[k.change].Item, &item) != nil {
			continue
		}
		name := j.fieldOf(item, k.path, j.ev.Changes[k.change].Target)
		if !takeOut(item, k.path) {
			continue
		}
		raw, err := json.Marshal(item)
		if err != nil {
			continue
		}
		j.mu.Lock()
		j.ev.Changes[k.change].Item = raw
		j.mu.Unlock()
		j.warn("amoCRM refused %s of the %s (%s); it was left out", name, j.ev.Changes[k.change].Target, r.Code)
		j.d.obs.Unresolved(j.c.Name, j.seq, name)
		mended = true
	}
	return mended
}

type itemPath struct {
	change int
	path   []string
}

// element is the place in a list that the path names, -1 if none.
func (p itemPath) element() int {
	if len(p.path) < 2 {
		return -1
	}
	n, err := strconv.Atoi(p.path[1])
	if err != nil {
		return -1
	}
	return n
}

// itemsBehind finds the change whose item a path of the request speaks of: in a
// leads/complex the contact is a change of its own.
func (j *job) itemsBehind(i int, path string) []itemPath {
	if path == "" {
		return nil
	}
	parts := strings.Split(path, ".")
	if len(parts) > 1 && parts[0] == "_embedded" && parts[1] == companies {
		return nil // withoutCompany
	}
	if j.ev.Changes[i].Target == event.OnLead && len(parts) > 3 && parts[0] == "_embedded" && parts[1] == "contacts" {
		if c := j.change(event.OpCreate, event.OnContact); c >= 0 {
			return []itemPath{{c, parts[3:]}}
		}
		return nil
	}
	return []itemPath{{i, parts}}
}

// neverOut lists what an item cannot do without.
var neverOut = []string{"id", "entity_id", "entity_type", "text", "complete_till", "note_type", "params", "request_id"}

// takeOut removes the top-level field, or the element of a list in it, that a
// path points into.
func takeOut(item map[string]any, path []string) bool {
	if len(path) == 0 || slices.Contains(neverOut, path[0]) {
		return false
	}
	v, ok := item[path[0]]
	if !ok {
		return false
	}
	if list, isList := v.([]any); isList && len(path) > 1 {
		n, err := strconv.Atoi(path[1])
		if err != nil || n < 0 || n >= len(list) {
			return false
		}
		if list = slices.Delete(list, n, n+1); len(list) > 0 {
			item[path[0]] = list
			return true
		}
	}
	delete(item, path[0])
	_, update := item["id"]
	if path[0] == "pipeline_id" || path[0] == "status_id" { // no stage without its pipeline
		delete(item, "status_id")
		delete(item, "loss_reason_id")
	}
	if path[0] == "status_id" && update { // a new lead comes into the first stage of its pipeline; one that is there stays
		delete(item, "pipeline_id")
	}
	return true
}

// fieldOf names what a path points at as people do.
func (j *job) fieldOf(item map[string]any, path []string, target event.Target) string {
	if len(path) < 2 || path[0] != "custom_fields_values" {
		return path[0]
	}
	list, _ := item[path[0]].([]any)
	n, err := strconv.Atoi(path[1])
	if err != nil || n < 0 || n >= len(list) {
		return "a custom field"
	}
	entity := leads
	if target == event.OnContact {
		entity = contacts
	}
	field, _ := list[n].(map[string]any)
	code, _ := field["field_code"].(string)
	fid, _ := number(field["field_id"])
	for _, f := range j.c.Account.Dict().Fields[entity] {
		if f.ID == int64(fid) || code != "" && f.Code == code {
			return "field " + strconv.Quote(f.Name)
		}
	}
	return "custom field " + cmp.Or(code, strconv.Itoa(int(fid)))
}
