package items

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// markerLimit is how many characters a text field surely holds (product.md §8.2).
const markerLimit = 255

// ClientToken returns the marker token of a Jivo client (product.md §8.2): an
// entity that bears it was made for, or linked to, that client of that connection.
func ClientToken(clientID, connection string) string { return token("jv-c", clientID, connection) }

// ChatToken returns the marker token of a Jivo chat.
func ChatToken(chatID, connection string) string { return token("jv-k", chatID, connection) }

// DealToken returns the marker token of a Jivo deal.
func DealToken(dealID, connection string) string { return token("jv-d", dealID, connection) }

// token returns "" without an id. Whatever would break a token apart is
// replaced: ids come from outside.
func token(prefix, id, connection string) string {
	if id == "" {
		return ""
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || unicode.IsControl(r) || r == utf8.RuneError {
			return '_'
		}
		return r
	}, prefix+id+"@"+connection)
}

// parseMarker returns the tokens of a marker field's text in order. Words
// somebody else wrote there are tokens too: they are carried along.
func parseMarker(text string) []string { return strings.Fields(text) }

// HasMarker reports whether token stands whole in a marker field's text.
func HasMarker(text, token string) bool {
	return token != "" && slices.Contains(parseMarker(text), token)
}

// MergeMarker adds the tokens of add to those of text. What stands there keeps
// its place; the oldest go when the whole would be longer than 255 characters.
// Tokens are never cut; one that is longer by itself is left out.
func MergeMarker(text, add string) string {
	tokens := parseMarker(text)
	for _, t := range parseMarker(add) {
		if !slices.Contains(tokens, t) && utf8.RuneCountInString(t) <= markerLimit {
			tokens = append(tokens, t)
		}
	}
	room, first := markerLimit+1, len(tokens)
	for first > 0 {
		room -= utf8.RuneCountInString(tokens[first-1]) + 1
		if room < 0 {
			break
		}
		first--
	}
	return strings.Join(tokens[first:], " ")
}
