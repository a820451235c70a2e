package amocrm

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm/farend"
)

// However many operators wait, every third request is others', and no fewer are theirs:
// seats are given out by that.
func TestQueue_EveryThirdRequestIsOthers(t *testing.T) {
	inBubble(t, Config{RPS: 1}, nil, farend.Landing(0), func(t *testing.T, w *world) {
		l := &waits{t: t, took: map[string]time.Duration{}}
		searches := func(who string, ctx context.Context) {
			for i := range 40 {
				l.do(fmt.Sprint(who, " ", i), func() error { _, err := w.SearchContacts(ctx, fmt.Sprint(who, i), NewLead); return err })
			}
		}
		searches("other", t.Context()) // they stand first, by age
		searches("operator", WithOperator(t.Context(), func() bool { return true }))
		l.all.Wait()
		others := 0
		for _, s := range w.Seen()[1:31] {
			if strings.Contains(s.URI, "other") {
				others++
			}
		}
		if others != 10 {
			t.Errorf("of thirty requests %d were others'", others)
		}
	})
}

// A read that somebody less urgent asked for already stands where the more urgent one
// would: sharing it costs nobody his place.
func TestQueue_ASharedReadStandsWhereTheMostUrgentWould(t *testing.T) {
	inBubble(t, Config{RPS: 1}, nil, farend.Landing(0), func(t *testing.T, w *world) {
		l := &waits{t: t, took: map[string]time.Duration{}}
		began := time.Now()
		l.manySearches(w)
		lead := func(ctx context.Context) func() error {
			return func() error { _, _, err := w.Lead(ctx, 7); return err }
		}
		l.do("the sweep's", lead(WithPriority(t.Context(), Sync)))
		pass(30 * time.Second)
		l.do("the event's", lead(WithSince(WithPriority(t.Context(), NewLead), began.Add(-1))))
		l.about(map[string]time.Duration{"the sweep's": 31 * time.Second, "the event's": time.Second})
	})
}

// A read that its last caller gave up is not joined by the next one: nobody would ever
// make it.
func TestReads_OneThatWasGivenUpIsNotJoined(t *testing.T) {
	inBubble(t, Config{RPS: 1}, nil, byID(false), func(t *testing.T, w *world) {
		_, _, _ = w.Lead(t.Context(), 9)
		short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, _, err := w.Lead(short, 1); TroubleOf(err) != Closing {
			t.Errorf("the one that gave up: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if l, ok, err := w.Lead(ctx, 1); err != nil || !ok || l.ID != 1 {
			t.Errorf("the next one: %+v %t %v", l, ok, err)
		}
	})
}

// Nobody waits longer than he means to for a read, though it is on its way.
func TestReads_WhoGivesUpWaitsForNoAnswer(t *testing.T) {
	inBubble(t, Config{}, nil, farend.Landing(10*time.Second), func(t *testing.T, w *world) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		if _, _, err := w.Lead(ctx, 1); TroubleOf(err) != Closing {
			t.Errorf("%v", err)
		}
		if took := time.Since(began); took != time.Second {
			t.Errorf("waited %v", took)
		}
		synctest.Wait()
	})
}
