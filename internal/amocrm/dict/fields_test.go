package dict

import "testing"

// Each list of fields is its entity's, though all are read at once.
func TestLoadDictionary_FieldsAreTheirEntitys(t *testing.T) {
	a := demoAccount()
	a.lists["/api/v4/companies/custom_fields"] = []string{`{"id":301,"name":"ИНН","type":"text"}`}
	d, err := Load(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	for entity, want := range map[string]struct {
		n     int
		first int64
	}{"leads": {10, 1201}, "contacts": {5, 101}, "companies": {1, 301}} {
		if got := d.Fields[entity]; len(got) != want.n || got[0].ID != want.first {
			t.Errorf("%s have %+v", entity, got)
		}
	}
}
