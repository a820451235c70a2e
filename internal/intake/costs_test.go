package intake

import (
	"net/http/httptest"
	"strings"
	"testing"
)

// The word of a Content-Length is believed so far only: memory is taken for what
// has come.
func TestListener_BodyThatIsOnlyAnnouncedTakesNoMemory(t *testing.T) {
	const announced = 256 << 20
	r := httptest.NewRequest("POST", jivoPath, strings.NewReader(accepted))
	r.ContentLength = announced
	x := listen(t, &fakes{}).begin(httptest.NewRecorder(), r, "", "")
	body, ok := x.read(announced)
	if !ok || string(body) != accepted {
		t.Fatalf("read %d bytes, %v", len(body), ok)
	}
	if cap(body) > 2*presized {
		t.Errorf("%d bytes were taken for %d", cap(body), len(body))
	}
}
