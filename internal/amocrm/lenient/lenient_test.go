package lenient

import (
	"encoding/json"
	"fmt"
	"testing"
)

type all struct {
	N Number       `json:"n"`
	A Amount       `json:"a"`
	W Words        `json:"w"`
	T Truth        `json:"t"`
	M Many[Number] `json:"m"`
	S Texts        `json:"s"`
}

func TestLenient_ReadsWhatItCanAndNeverFails(t *testing.T) {
	for body, want := range map[string]string{
		`{"n":7,"a":1.5,"w":"x","t":true,"m":[1,2],"s":["a",2]}`:               "{7 1.5 x true [1 2] [a 2]}",
		`{"n":"7","a":"1.5","w":7,"t":1,"m":null,"s":"a"}`:                     "{7 1.5 7 true [] [a]}",
		`{"n":7.9,"a":null,"w":null,"t":"1","m":{"id":1},"s":5}`:               "{7 0  true [0] [5]}",
		`{"n":false,"a":"NaN","w":{},"t":0,"m":"x","s":{}}`:                    "{0 0  false [] []}",
		`{"n":1e300,"a":"1e999","w":true,"t":"yes","m":[null,"3"],"s":[null]}`: "{0 0  false [0 3] []}",
	} {
		var got all
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		if fmt.Sprint(got) != want {
			t.Errorf("%s: %v, want %s", body, got, want)
		}
	}
}

func TestEntries_OneOfAWrongShapeCostsNoOther(t *testing.T) {
	type entry struct{ ID int }
	for _, body := range []string{`{"_embedded":{"leads":[{"ID":1},{"ID":"odd"},{"ID":2}]}}`, `[{"ID":1},[],{"ID":2}]`} {
		if got := Entries[entry]([]byte(body), "leads"); fmt.Sprint(got) != "[{1} {2}]" {
			t.Errorf("%s: %v", body, got)
		}
	}
	if got := Entries[entry]([]byte(`{"_embedded":{"contacts":[{"ID":1}]}}`), "leads"); got != nil {
		t.Errorf("of another collection: %v", got)
	}
}
