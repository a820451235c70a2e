package intake

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"net/url"

	"github.com/gorilla/mux"

	"github.com/jivo-amocrm/bridge/internal/event"
)

// table is one immutable set of connections.
type table struct {
	byName map[string]*connection
	decoy  secrets // of connections that do not exist
}

type connection struct {
	name     string
	jivo     secrets
	amo      secrets
	channels map[string]struct{} // nil: all
	oauth    bool
}

// secrets are hashes, as many in every list of a table, so that every check
// costs the same: lists are filled up with hashes nothing is known to have.
type secrets [][sha256.Size]byte

func newTable(all []Connection) *table {
	width := 1
	for _, c := range all {
		width = max(width, len(c.JivoSecrets), len(c.AmoSecrets))
	}
	t := &table{byName: make(map[string]*connection, len(all)), decoy: newSecrets(nil, width)}
	for _, c := range all {
		own := &connection{
			name:  c.Name,
			jivo:  newSecrets(c.JivoSecrets, width),
			amo:   newSecrets(c.AmoSecrets, width),
			oauth: c.OAuth,
		}
		if len(c.Channels) > 0 {
			own.channels = make(map[string]struct{}, len(c.Channels))
			for _, id := range c.Channels {
				own.channels[id] = struct{}{}
			}
		}
		t.byName[c.Name] = own
	}
	return t
}

// newSecrets hashes values up to width. An empty value is no secret.
func newSecrets(values []string, width int) secrets {
	list := make(secrets, width)
	for i := range list {
		if i < len(values) && values[i] != "" {
			list[i] = sha256.Sum256([]byte(values[i]))
			continue
		}
		rand.Read(list[i][:]) // never fails: crypto/rand ends the process instead
	}
	return list
}

// holds compares given with every secret, whichever of them it is.
func (s secrets) holds(given string) bool {
	sum := sha256.Sum256([]byte(given))
	found := 0
	for i := range s {
		found |= subtle.ConstantTimeCompare(sum[:], s[i][:])
	}
	return found == 1
}

// find returns the connection a request may speak for, or nil, and the name
// if such a connection exists at all, for the count of refusals.
func (t *table) find(r *http.Request, source event.Source) (c *connection, name string) {
	c = t.byName[pathVar(r, "connection")]
	list := t.decoy
	if c != nil {
		name = c.name
		list = c.jivo
		if source == event.AmoCRM {
			list = c.amo
		}
	}
	if !list.holds(pathVar(r, "secret")) || c == nil {
		return nil, name
	}
	return c, name
}

// letsIn reports whether events of a widget are wanted. An event that names no
// widget (the CRM stream's) belongs to all of them.
func (c *connection) letsIn(widget string) bool {
	if c.channels == nil || widget == "" {
		return true
	}
	_, ok := c.channels[widget]
	return ok
}

// pathVar is a variable of the route; the router matches the encoded path, so
// that a secret may hold any character.
func pathVar(r *http.Request, name string) string {
	v := mux.Vars(r)[name]
	if plain, err := url.PathUnescape(v); err == nil {
		return plain
	}
	return v
}
