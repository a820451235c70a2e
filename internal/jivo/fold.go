package jivo

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// lookAlike is the Latin letter a Cyrillic one is mistaken for. Jivo's page
// itself has U+0441 in "сreated_client_tag" (row 17).
func lookAlike(r rune) rune {
	const (
		cyrillic = "авсеһіјкмнорѕтухԁԛԝАВСЕНІЈКМОРЅТУХ"
		latin    = "abcehijkmhopstyxdqwABCEHIJKMOPSTYX"
	)
	at := strings.IndexRune(cyrillic, r)
	if at < 0 {
		return r
	}
	return rune(latin[utf8.RuneCountInString(cyrillic[:at])])
}

// fold brings a key or name, never a person's text, to the letters Jivo meant:
// NFKC, Cyrillic look-alikes to Latin, invisible characters dropped.
func fold(s string) string {
	if ascii(s) {
		return s
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r < utf8.RuneSelf:
			return r
		case unicode.Is(unicode.Cf, r):
			return -1
		case unicode.Is(unicode.Cyrillic, r):
			return lookAlike(r)
		}
		return r
	}, norm.NFKC.String(s))
}

// normalName returns the name Jivo's documentation lists for an event however
// a payload spells it: folded look-alikes, case and outer space; "completed
// task" is completed_task and merged_tag is merged_client_tag (rows 17-20). It
// does not say whether such an event exists; Schema does.
func normalName(s string) string {
	s = strings.ToLower(strings.TrimSpace(fold(s)))
	s = strings.Join(strings.Fields(s), "_")
	if s == "merged_tag" {
		return "merged_client_tag"
	}
	return s
}

// foldMixed folds a key nobody declared if it mixes Latin letters with their
// look-alikes. A word wholly of another script stays: people gave it.
func foldMixed(key string) string {
	if folded := fold(key); ascii(folded) && strings.ContainsFunc(key, latinLetter) {
		return folded
	}
	return key
}

func latinLetter(r rune) bool { return r|0x20 >= 'a' && r|0x20 <= 'z' }

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
