// Package canary proves, in every test world where the bridge runs, that people's
// data and secrets come out nowhere they must not (product.md §8.7): not in a log
// line, a metric, an error or an answer to somebody who is no admin.
//
// A world feeds its Watch with what goes in (bodies, headers, the account's
// state) and with what comes out (logs, answers). At the test's end the Watch
// compares the two, in every spelling it knows, and fails the test if one of the
// first stands in the second. What it says then names the kind and the place,
// never the value. Only tests import it.
package canary

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"testing"
)

// Kind is what sort of thing got out.
type Kind string

// What is watched (product.md §8.7). Names of people and companies are not
// among them: product.md names no names.
const (
	Secret Kind = "secret"
	Token  Kind = "token"
	Phone  Kind = "phone"
	Email  Kind = "e-mail"
	Text   Kind = "message text"
)

// Scope is which kinds must not be found in an output.
type Scope uint8

const (
	// Anything: nothing that is watched may be there.
	Anything Scope = iota
	// Keys: no secret and no token; people's data is what the output is for (the
	// admin API, the reply to Jivo).
	Keys
)

func (s Scope) covers(k Kind) bool { return s == Anything || k == Secret || k == Token }

// Watch collects what must not come out and what came out. It is safe for
// concurrent use.
type Watch struct {
	mu    sync.Mutex
	birds *birds
	outs  []*output
	seen  map[[sha256.Size]byte]bool // by Scan, with place and scope
}

// output is one place where something comes out, in the order it was written.
type output struct {
	birds *birds
	place string
	scope Scope

	mu    sync.Mutex
	text  bytes.Buffer
	lines int    // that were compared and dropped
	found []bird // in those
}

// kept is how much of an output waits for the end of its test: what is learned
// later than that much output is not found in it. A day's log would fill the memory.
const kept = 4 << 20

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text.Write(p)
	if o.text.Len() > kept {
		whole := o.text.Next(bytes.LastIndexByte(o.text.Bytes(), '\n') + 1)
		for _, f := range o.compare(o.birds, whole) {
			if !slices.Contains(o.found, f) {
				o.found = append(o.found, f)
			}
		}
		o.lines += bytes.Count(whole, []byte("\n"))
	}
	return len(p), nil
}

// New returns a Watch that compares at the end of the test, after the cleanups
// that are registered later than this call.
func New(t testing.TB) *Watch {
	w := &Watch{birds: newBirds(), seen: map[[sha256.Size]byte]bool{}}
	t.Cleanup(func() {
		for _, leak := range w.Leaks() {
			t.Errorf("canary: %s", leak)
		}
	})
	return w
}

// Add watches values of a kind. One too short to be told from chance is left out.
func (w *Watch) Add(k Kind, values ...string) {
	for _, v := range values {
		w.birds.add(k, v)
	}
}

// Writer returns a place to write to: a process's stderr, a log. A value that is
// split over several writes is found all the same.
func (w *Watch) Writer(place string) io.Writer { return w.output(place, Anything) }

func (w *Watch) output(place string, scope Scope) *output {
	w.mu.Lock()
	defer w.mu.Unlock()
	o := &output{birds: w.birds, place: place, scope: scope}
	w.outs = append(w.outs, o)
	return o
}

// Scan watches bytes that came out as a whole.
func (w *Watch) Scan(place string, scope Scope, b []byte) {
	w.mu.Lock()
	key := sha256.Sum256(fmt.Append(nil, place, scope, " ", string(b)))
	seen := w.seen[key]
	w.seen[key] = true
	w.mu.Unlock()
	if !seen {
		_, _ = w.output(place, scope).Write(b) // a buffer takes everything
	}
}

// Logger returns a logger whose every line, of every level, is watched. What it
// logs is also written to the writers given.
func (w *Watch) Logger(also ...io.Writer) *slog.Logger {
	to := io.MultiWriter(append(also, w.Writer("log"))...)
	return slog.New(slog.NewTextHandler(to, &slog.HandlerOptions{
		Level: slog.LevelDebug, AddSource: true,
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && a.Key == slog.TimeKey { // digits of no use here
				return slog.Attr{}
			}
			return a
		},
	}))
}

// Leaks compares what came out with what must not, and says what was found: the
// kind and the place, each pair once. Outputs that were compared are dropped.
func (w *Watch) Leaks() (leaks []string) {
	w.mu.Lock()
	outs := w.outs
	w.outs = nil
	w.mu.Unlock()
	for _, o := range outs {
		for _, f := range o.finds(w.birds) {
			if leak := fmt.Sprintf("%s came out: %s", f.kind, f.value); o.scope.covers(f.kind) && !slices.Contains(leaks, leak) {
				leaks = append(leaks, leak)
			}
		}
	}
	return leaks
}

// Holding returns the places where a word came out that may: a world shows with it
// that its Watch sees them.
func (w *Watch) Holding(word string) (places []string) {
	b := newBirds()
	b.add(Secret, word)
	w.mu.Lock()
	outs := slices.Clone(w.outs)
	w.mu.Unlock()
	for _, o := range outs {
		for _, f := range o.finds(b) {
			places = append(places, f.value)
		}
	}
	return places
}

// finds returns the kinds that stand in an output, each with its place; of
// what was dropped those that were found then.
func (o *output) finds(b *birds) []bird {
	o.mu.Lock()
	defer o.mu.Unlock()
	at := o.compare(b, o.text.Bytes())
	if b == o.birds {
		at = append(at, o.found...)
	}
	return at
}

// compare looks for birds in a part of the output. mu is held.
func (o *output) compare(b *birds, text []byte) (at []bird) {
	n := o.lines
	for line := range bytes.Lines(text) {
		n++
		for _, k := range b.find(line) {
			at = append(at, bird{k, o.place + ", " + where(line, n)})
		}
	}
	if n-o.lines < 2 {
		return at
	}
	// What was broken over lines (a page, a wrapped text) is looked for once more.
	for _, k := range b.find(bytes.ReplaceAll(text, []byte("\n"), []byte(" "))) {
		if !slices.ContainsFunc(at, func(f bird) bool { return f.kind == k }) {
			at = append(at, bird{k, o.place + ", over several lines"})
		}
	}
	return at
}

// where names a line: for a log line the place in the code, which is ours.
func where(line []byte, n int) string {
	if _, rest, ok := bytes.Cut(line, []byte(" source=")); ok {
		if file, _, ok := bytes.Cut(rest, []byte(" msg=")); ok {
			return string(file[bytes.LastIndexByte(file, '/')+1:])
		}
	}
	return fmt.Sprintf("line %d", n)
}
