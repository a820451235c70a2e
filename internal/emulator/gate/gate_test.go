package gate

import (
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jivo-amocrm/bridge/internal/emulator/luck"
)

func TestGate_ASecondSlidesAndABanStays(t *testing.T) {
	watch := NewReferee()
	g := NewGate(2, 2, watch)
	start := time.Unix(1_800_000_000, 0)
	var got []int
	for _, ms := range []int{0, 900, 950, 1000, 1001, 5000} {
		refusal, _ := g.Admit(start.Add(time.Duration(ms) * time.Millisecond))
		got = append(got, refusal.Status)
	}
	// The first second ends at 1000 ms and not at 1001; the second 429 bans.
	if want := []int{0, 0, 429, 0, 429, 403}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	g.Lift()
	if refusal, refused := g.Admit(start.Add(5 * time.Second)); refused {
		t.Errorf("after the ban was lifted: %d", refusal.Status)
	}
	if r := watch.Report(); r.Limited != 2 || r.Banned != 1 {
		t.Errorf("the referee saw %d limited, %d banned", r.Limited, r.Banned)
	}
}

func TestFaults_TheFirstOneInjectedThatMatchesActs(t *testing.T) {
	faults := NewFaults(&sync.Mutex{}, luck.New(1))
	faults.Inject(Fault{Method: "POST", Kind: Unpaid})
	first := faults.Inject(Fault{PathPrefix: "/api", Kind: BanNow, Times: 2})
	second := faults.Inject(Fault{Kind: RateLimit, Times: -1})
	r, err := http.NewRequest("GET", "https://demo.amocrm.ru/api/v4/leads", nil)
	if err != nil {
		t.Fatal(err)
	}
	var kinds []FaultKind
	for range 4 {
		f, _ := faults.Pick(r)
		kinds = append(kinds, f.Kind)
	}
	if want := []FaultKind{BanNow, BanNow, RateLimit, RateLimit}; !slices.Equal(kinds, want) {
		t.Errorf("got %v, want %v", kinds, want)
	}
	second.Remove()
	if f, hit := faults.Pick(r); hit || first.Hits() != 2 || second.Hits() != 2 {
		t.Errorf("picked %v after %d and %d hits", f.Kind, first.Hits(), second.Hits())
	}
}
