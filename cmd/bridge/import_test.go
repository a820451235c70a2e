package main

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

// TestImporter_TellsWrappedLinesFromRawOnes: which of the two forms a line has.
func TestImporter_TellsWrappedLinesFromRawOnes(t *testing.T) {
	t.Parallel()
	file := time.Date(2026, 11, 1, 10, 0, 0, 0, time.UTC)
	at := "2026-10-01T09:00:00Z"
	for _, c := range []struct {
		line, body string
		dated      bool
	}{
		{`{"event_name":"x","id":1}`, `{"event_name":"x","id":1}`, false},
		{`{"received_at":"` + at + `","body":{"event_name":"x"}}`, `{"event_name":"x"}`, true},
		{`{"received_at":"` + at + `","body":"{{\"event_name\":\"x\"}}"}`, `{{"event_name":"x"}}`, true},
		{`{"received_at":1790845200,"body":{"event_name":"x"}}`, `{"event_name":"x"}`, true},
		{`{"received_at":null,"body":{"event_name":"x"}}`, `{"event_name":"x"}`, false},
		{`{"body":{"event_name":"x"}}`, `{"event_name":"x"}`, false},
		// An event of Jivo's that has a body of its own is no wrapper.
		{`{"event_name":"x","body":"y"}`, `{"event_name":"x","body":"y"}`, false},
		{`{{"event_name":"x"}}`, `{{"event_name":"x"}}`, false},
		{`hello`, `hello`, false},
	} {
		i := importer{file: file, number: 3}
		l, err := i.parse([]byte(c.line))
		if err != nil || l.Body != c.body {
			t.Errorf("%s: %+v, %v", c.line, l, err)
			continue
		}
		want := file.Add(3)
		if c.dated {
			want, _ = time.Parse(time.RFC3339, at)
		}
		if !l.At.Equal(want) || l.File.IsZero() != c.dated {
			t.Errorf("%s: at %s of file %s", c.line, l.At, l.File)
		}
	}
}

// TestImporter_AnUnreadableTimeIsNoRawBody: such a line would be an event without
// a name, skipped without a word.
func TestImporter_AnUnreadableTimeIsNoRawBody(t *testing.T) {
	t.Parallel()
	for _, at := range []string{`"nonsense"`, `""`, `"1790845200"`, `0`, `-5`, `1790845200.5`, `1790845200123`, `1e300`, `true`, `{}`} {
		i := importer{}
		l, err := i.parse([]byte(`{"received_at":` + at + `,"body":{"event_name":"x"}}`))
		if !errors.Is(err, errTime) {
			t.Errorf("%s is taken: %+v, %v", at, l, err)
		} else if strings.Contains(err.Error(), "nonsense") {
			t.Errorf("the error quotes the line: %v", err)
		}
	}
}

// TestReadLine_PassesOverALineThatIsTooLong: one monster does not hold up the rest.
func TestReadLine_PassesOverALineThatIsTooLong(t *testing.T) {
	t.Parallel()
	r := bufio.NewReaderSize(strings.NewReader("a\n"+strings.Repeat("x", 1000)+"\nb\nc"), 16)
	var got []string
	for {
		line, _, err := readLine(r, 100)
		switch {
		case errors.Is(err, errLongLine):
			got = append(got, "(long)")
			continue
		case err != nil && !errors.Is(err, io.EOF):
			t.Fatal(err)
		}
		got = append(got, strings.TrimSpace(string(line)))
		if err != nil {
			break
		}
	}
	if strings.Join(got, " ") != "a (long) b c" {
		t.Errorf("%q", got)
	}
}

func TestQuoted_NothingBreaksOutOfIt(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"anna@example.com": "anna@example.com", "https://x.amocrm.ru": "https://x.amocrm.ru",
		"": `""`, "a: b": `"a: b"`, "- x": `"- x"`, "#": `"#"`, "a\nb": `"a b"`, `"`: `"\""`, "${HOME}": `"$${HOME}"`, "key:": `"key:"`, "@x": `"@x"`,
	} {
		if got := quoted(in); got != want {
			t.Errorf("%q is written %s, want %s", in, got, want)
		}
	}
}
