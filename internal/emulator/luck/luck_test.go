package luck

import "testing"

// Switching a quirk on must not change what becomes of the others.
func TestChance_DrawsOnlyIfItCanMatter(t *testing.T) {
	quiet, asked := New(7), New(7)
	for range 10 {
		if asked.Chance(0) {
			t.Error("no chance came true")
		}
	}
	if a, b := quiet.UUID(), asked.UUID(); a != b || len(a) != 36 {
		t.Errorf("%s and %s", a, b)
	}
}
