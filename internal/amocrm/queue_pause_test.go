package amocrm

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm/farend"
)

// Nothing goes again to an account that was paused while it was on its way.
func TestPause_WhatComesBackIntoTheQueueDoesNotGo(t *testing.T) {
	inBubble(t, Config{}, nil, nil, func(t *testing.T, w *world) {
		n := 0
		w.Answer(func(rw http.ResponseWriter, r *http.Request, body []byte) {
			if n++; n == 1 {
				time.Sleep(2 * time.Second)
				farend.Page(429)(rw, r, body)
				return
			}
			time.Sleep(time.Second)
			farend.Page(403)(rw, r, body)
		})
		first := make(chan error, 1)
		go func() { _, err := w.Write(t.Context(), lead(1)); first <- err }()
		synctest.Wait()
		_, _, _ = w.Lead(t.Context(), 1) // is told of the ban
		if !w.State().Paused {
			t.Fatal("not paused")
		}
		pass(30 * time.Second) // before the first probe
		if n := len(w.Seen()); n != 2 {
			t.Errorf("%d requests", n)
		}
		select {
		case err := <-first:
			if TroubleOf(err) != Banned {
				t.Errorf("%v", err)
			}
		default:
			t.Error("it waits out the pause")
		}
	})
}

// paused is a context that has the account be paused right after the look at it.
type paused struct {
	context.Context
	pause func()
}

func (p paused) Value(key any) any {
	if key == (operatorKey{}) {
		p.pause()
	}
	return p.Context.Value(key)
}

// … nor what was put into the queue at the moment it was paused.
func TestPause_WhatCameAtThatMomentDoesNotGo(t *testing.T) {
	inBubble(t, Config{}, nil, farend.Landing(0), func(t *testing.T, w *world) {
		_, err := w.Write(paused{t.Context(), func() { w.pause(Banned, nil) }}, lead(1))
		if TroubleOf(err) != Banned {
			t.Errorf("%v", err)
		}
		pass(30 * time.Second)
		if n := len(w.Seen()); n != 0 {
			t.Errorf("%d requests", n)
		}
	})
}
