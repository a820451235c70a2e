package console

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/jivo-amocrm/bridge/internal/event"
)

// hostileBackend has hostile text in every place that comes from outside, and
// fills every branch of the pages.
func hostileBackend(state event.State, reason event.Reason) *fake {
	f := sample()
	d := f.events[12]
	body := `{"event_name":"chat_finished","message":"</pre></dd>","visitor":{"name":"</dd></dl><script>"},"chat":{"messages":[{"type":"visitor","message":"</section>"}]}}`
	d.Body, d.State, d.Reason = &body, state, reason
	d.Client, d.Chat, d.Kind, d.Detail = hostile, hostile, "</td></tr>"+hostile, hostile
	d.Warnings, d.Coercions = []string{hostile}, []string{hostile}
	d.Rules = []event.RuleTrace{{Rule: hostile, Why: hostile}, {Rule: hostile, Matched: true}}
	d.Contact = &event.Match{ID: 1, By: hostile, Why: hostile}
	d.Lead = &event.Match{Why: hostile}
	d.Changes = []Change{
		{Op: event.OpCreate, Target: event.OnNote, AmoID: 5, Rule: hostile, Error: hostile, State: event.Dropped, On: &Place{Entity: "leads", ID: 501}},
		{Op: event.OpUpdate, Target: event.OnContact, AmoID: 1, State: event.Settled},
	}
	d.Requests = []event.Request{{Method: hostile, Path: hostile, Answer: hostile}, {Status: 500}, {Status: 200}}
	if !state.Settled() {
		d.SettledAt = nil
	}
	f.page.Events = append(f.page.Events, d.Item)
	f.client.Events = f.page.Events
	f.client.Connection, f.client.Links.Leads[0].Chats = "shop", []string{hostile}
	f.client.Card.Name, f.client.Card.Stage, f.client.Card.Task = hostile, hostile, hostile
	f.connections[0].UnmatchedAgents = []string{hostile}
	f.connections[0].PauseReason = hostile
	f.problems = []Problem{{Connection: "shop", What: hostile, Hint: hostile}}
	return f
}

func TestPages_AreWellFormedWhateverStandsInThem(t *testing.T) {
	empty := &fake{events: map[uint64]*Detail{12: {Item: Item{State: event.Skipped}}}, client: &Client{Connection: "shop", ID: "2198"}}
	backends := map[string]*fake{"sample": sample(), "empty": empty}
	for _, s := range states() {
		backends["hostile "+string(s)] = hostileBackend(s, event.Refused)
	}
	more := []string{"/events?connection=shop&state=dead&reason=refused&before=99", "/events?kind=nothing", "/?did=replayed-1"}
	for name, f := range backends {
		s, _ := serve(t, f, adminToken)
		for _, path := range append(pagePaths(), more...) {
			for _, fault := range faults(ask(s, "GET", path, "", asPage).Body.String()) {
				t.Errorf("%s: %s: %s", name, path, fault)
			}
		}
		token := hidden(t, ask(s, "GET", "/", "", asPage).Body.String())
		for _, fault := range faults(ask(s, "POST", "/search", form("csrf", token, "q", hostile), asForm).Body.String()) {
			t.Errorf("%s: search: %s", name, fault)
		}
	}
}

func TestFaults_AreFound(t *testing.T) {
	for page, want := range map[string]string{
		"<!doctype html><p>a</p>":                                              "",
		"<p>a</p>":                                                             "no doctype",
		"<!doctype html><p>a":                                                  "p is never closed",
		"<!doctype html><b><i>a</b></i>":                                       "</b> closes i",
		"<!doctype html></p>":                                                  "</p> closes nothing",
		"<!doctype html><p><ul></ul></p>":                                      "ul inside p",
		`<!doctype html><b id="a"></b><b id="a"></b>`:                          "id a stands twice",
		`<!doctype html><a href="#no">a</a>`:                                   "nothing has the id no",
		`<!doctype html><form method="post"><button>a</button></form>`:         "a form without csrf",
		`<!doctype html><input name="a">`:                                      "input a has no label",
		`<!doctype html><label><input name="a"></label><a href="">a</a>`:       "a leads nowhere",
		`<!doctype html><a href="#ZgotmplZ" rel="noreferrer">a</a>`:            "an unsafe link",
		`<!doctype html><b title="a>b">c</b><textarea></textarea><br><hr><b/>`: "textarea  has no label",
	} {
		got := strings.Join(faults(page), "; ")
		if (want == "") != (got == "") || !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", page, got, want)
		}
	}
}

// faults lists what a browser would have to repair in a page, and forms, ids
// and links that cannot work.
func faults(page string) (found []string) {
	c := checker{ids: map[string]bool{}}
	z := html.NewTokenizer(strings.NewReader(page))
	for {
		switch z.Next() {
		case html.ErrorToken:
			if z.Err() != io.EOF {
				c.say("%v", z.Err())
			}
			c.end()
			return c.found
		case html.DoctypeToken:
			c.doctype = true
		case html.StartTagToken, html.SelfClosingTagToken:
			c.open(z.Token())
		case html.EndTagToken:
			c.close(z.Token().Data)
		}
	}
}

type checker struct {
	found   []string
	doctype bool
	stack   []string
	ids     map[string]bool
	wanted  []string // ids that something points at
	post    bool     // inside a form that posts
	csrf    bool
}

func (c *checker) say(format string, a ...any) { c.found = append(c.found, fmt.Sprintf(format, a...)) }

func (c *checker) inside(name string) bool { return slices.Contains(c.stack, name) }

func (c *checker) open(t html.Token) {
	attr := map[string]string{}
	for _, a := range t.Attr {
		attr[a.Key] = a.Val
	}
	if id, ok := attr["id"]; ok {
		if c.ids[id] {
			c.say("id %s stands twice", id)
		}
		c.ids[id] = true
	}
	blocks := []string{"p", "ul", "ol", "dl", "table", "div", "section", "form", "pre", "h1", "h2", "nav", "header", "main", "footer"}
	if c.inside("p") && slices.Contains(blocks, t.Data) {
		c.say("%s inside p", t.Data)
	}
	c.control(t.Data, attr)
	c.link(t.Data, attr)
	if !slices.Contains([]string{"meta", "link", "input", "br", "hr", "img"}, t.Data) {
		c.stack = append(c.stack, t.Data)
	}
}

// control looks at forms and what stands in them.
func (c *checker) control(name string, attr map[string]string) {
	switch name {
	case "form":
		if c.inside("form") {
			c.say("a form inside a form")
		}
		c.post, c.csrf = attr["method"] == "post" && attr["action"] != "/login", false
	case "input", "select", "textarea":
		if attr["name"] == "csrf" {
			c.csrf = true
		}
		if attr["type"] != "hidden" && attr["aria-label"] == "" && !c.inside("label") {
			c.say("%s %s has no label", name, attr["name"])
		}
		if list, ok := attr["list"]; ok {
			c.wanted = append(c.wanted, list)
		}
	}
}

func (c *checker) link(name string, attr map[string]string) {
	if name != "a" {
		return
	}
	to := attr["href"]
	switch {
	case to == "":
		c.say("a leads nowhere")
	case strings.Contains(to, "ZgotmplZ"):
		c.say("an unsafe link")
	case strings.HasPrefix(to, "#"):
		c.wanted = append(c.wanted, to[1:])
	case !strings.HasPrefix(to, "/") && attr["rel"] != "noreferrer":
		c.say("a link to elsewhere tells where it came from: %s", to)
	}
}

func (c *checker) close(name string) {
	if len(c.stack) == 0 {
		c.say("</%s> closes nothing", name)
		return
	}
	top := c.stack[len(c.stack)-1]
	if top != name {
		c.say("</%s> closes %s", name, top)
		return
	}
	c.stack = c.stack[:len(c.stack)-1]
	if name == "form" && c.post && !c.csrf {
		c.say("a form without csrf")
	}
}

func (c *checker) end() {
	if !c.doctype {
		c.say("no doctype")
	}
	for _, name := range c.stack {
		c.say("%s is never closed", name)
	}
	for _, id := range c.wanted {
		if !c.ids[id] {
			c.say("nothing has the id %s", id)
		}
	}
}
