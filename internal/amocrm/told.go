package amocrm

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"unicode/utf8"
)

// told is what a request carried. amoCRM, or what stands before it, may say it
// again in a refusal, in its own words: "the phone … of … is taken".
type told struct {
	token string
	query url.Values
	body  []byte
}

// toldBy is what a request carried that was made past exchange.
func toldBy(req *http.Request) (t told) {
	if req == nil {
		return t
	}
	t.token, t.query = req.Header.Get("X-Refresh-Token"), req.URL.Query()
	if req.GetBody != nil {
		if r, err := req.GetBody(); err == nil {
			t.body, _ = io.ReadAll(r) // in memory
		}
	}
	return t
}

var (
	aWord = regexp.MustCompile(`[\pL\pN_@+%.\-]*[\pL\pN_]`)
	// anIdentifier is what codes and paths look like; nobody writes so.
	anIdentifier = regexp.MustCompile(`^[A-Za-z0-9_.\[\]\-]{1,80}$`)
	blanks       = regexp.MustCompile(`…(?:[^\pL\pN]*…)+`)
)

// blank takes every word the request carried out of a text of the answer. It
// goes by words, because a value may come back cut.
func (t told) blank(text string) string {
	words := t.words()
	text = aWord.ReplaceAllStringFunc(text, func(w string) string {
		if words[strings.ToLower(w)] {
			return "…"
		}
		return w
	})
	return blanks.ReplaceAllString(text, "…")
}

// identifier is blank but for what looks like a name of the API and is no token:
// what is mended depends on codes and paths.
func (t told) identifier(text string) string {
	if anIdentifier.MatchString(text) && (t.token == "" || !strings.Contains(text, t.token)) {
		return text
	}
	return t.blank(text)
}

// words are those of the texts in query and body, in lower case; the shortest,
// which tell nothing, are left out, and so are keys and numbers.
func (t told) words() map[string]bool {
	words := map[string]bool{}
	add := func(s string) {
		for _, w := range aWord.FindAllString(s, -1) {
			if utf8.RuneCountInString(w) > 2 {
				words[strings.ToLower(w)] = true
			}
		}
	}
	add(t.token)
	for _, list := range t.query {
		for _, v := range list {
			add(v)
		}
	}
	var body any
	if json.Unmarshal(t.body, &body) == nil {
		eachText(body, add)
	}
	return words
}

func eachText(v any, do func(string)) {
	switch v := v.(type) {
	case string:
		do(v)
	case []any:
		for _, x := range v {
			eachText(x, do)
		}
	case map[string]any:
		for _, x := range v {
			eachText(x, do)
		}
	}
}
