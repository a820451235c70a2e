package items

import (
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm/dict"
)

var moscow = time.FixedZone("MSK", 3*60*60)

// demoDictionary is what dict.Load reads of the demo account.
func demoDictionary(t testing.TB) *dict.Snapshot {
	t.Helper()
	raw, err := os.ReadFile("testdata/dictionary.json")
	if err != nil {
		t.Fatal(err)
	}
	d := &dict.Snapshot{}
	if err := json.Unmarshal(raw, d); err != nil {
		t.Fatal(err)
	}
	return d
}
