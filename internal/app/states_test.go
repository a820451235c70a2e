package app

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestStates_AreUsedUp(t *testing.T) {
	s := newStates()
	state := s.give("shop")
	for i, want := range []bool{true, false} {
		if got := s.take(state, "shop"); got != want {
			t.Errorf("use %d: %v", i+1, got)
		}
	}
}

func TestStates_AreOfOneConnection(t *testing.T) {
	s := newStates()
	state := s.give("shop")
	if s.take(state, "other") {
		t.Error("taken by another connection")
	}
	if !s.take(state, "shop") {
		t.Error("used up by another connection")
	}
}

func TestStates_NobodysIsRefused(t *testing.T) {
	s := newStates()
	s.give("shop")
	for _, state := range []string{"", "guess"} {
		if s.take(state, "shop") {
			t.Errorf("%q was taken", state)
		}
	}
}

func TestStates_CannotBeGuessedAndDiffer(t *testing.T) {
	s := newStates()
	a, b := s.give("shop"), s.give("shop")
	if a == b || len(a) < 26 { // 26 characters of base32 are 130 bits
		t.Errorf("states of %d and %d characters", len(a), len(b))
	}
}

func TestStates_LastAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStates()
		early, late := s.give("shop"), s.give("shop")
		time.Sleep(consentFor)
		if !s.take(early, "shop") {
			t.Error("refused within the hour")
		}
		time.Sleep(time.Second)
		if s.take(late, "shop") {
			t.Error("taken after the hour")
		}
		s.give("shop")
		if len(s.live) != 1 {
			t.Errorf("%d kept: those that are over must go", len(s.live))
		}
	})
}
