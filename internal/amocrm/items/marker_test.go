package items

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestMarker_TokensAreSpelledAsPromised(t *testing.T) {
	for got, want := range map[string]string{
		ClientToken("7", "shop"): "jv-c7@shop", ChatToken("88", "shop"): "jv-k88@shop", DealToken("9", "shop"): "jv-d9@shop",
		ClientToken("", "shop"): "", ChatToken("a b\n", "shop"): "jv-ka_b_@shop",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestHasMarker_MatchesWholeTokensOnly(t *testing.T) {
	text := "jv-c12@shop jv-k1@shop"
	for token, want := range map[string]bool{"jv-c12@shop": true, "jv-c1@shop": false, "jv-k1@sho": false, "": false} {
		if HasMarker(text, token) != want {
			t.Errorf("%q: want %t", token, want)
		}
	}
}

func TestMergeMarker(t *testing.T) {
	long := strings.Repeat("x", 256)
	for _, c := range []struct{ text, add, want string }{
		{"", "jv-c1@s", "jv-c1@s"},
		{"jv-c1@s", "jv-c1@s", "jv-c1@s"},
		{"jv-c1@s", "jv-k2@s jv-c1@s", "jv-c1@s jv-k2@s"},
		{" written by hand ", "jv-c1@s", "written by hand jv-c1@s"},
		{"jv-c1@s", long, "jv-c1@s"},
		{"jv-c1@s", "", "jv-c1@s"},
	} {
		if got := MergeMarker(c.text, c.add); got != c.want {
			t.Errorf("%q + %q = %q, want %q", c.text, c.add, got, c.want)
		}
	}
}

func TestMergeMarker_KeepsWholeNewestTokensWithin255(t *testing.T) {
	token := rapid.StringMatching(`jv-[ckd][0-9а-я]{1,80}@[a-z]{1,8}`)
	rapid.Check(t, func(t *rapid.T) {
		tokens := rapid.SliceOfN(token, 0, 12).Draw(t, "tokens")
		text := ""
		for _, tok := range tokens {
			text = MergeMarker(text, tok)
			if n := utf8.RuneCountInString(text); n > 255 {
				t.Fatalf("%d characters", n)
			}
			if !HasMarker(text, tok) {
				t.Fatalf("the newest token %q is gone from %q", tok, text)
			}
		}
		for _, got := range parseMarker(text) {
			if !slices.Contains(tokens, got) {
				t.Fatalf("%q was never given", got)
			}
		}
	})
}
