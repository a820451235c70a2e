package jivo

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestReply_WireForm(t *testing.T) {
	on, off := true, false
	for want, r := range map[string]Reply{
		`{"result":"ok"}`:                             {},
		`{"result":"unparsable"}`:                     {Result: "unparsable"},
		`{"result":"ok","enable_assign":true}`:        {Result: "ок", EnableAssign: &on, ContactInfo: &ContactInfo{}},
		`{"result":"ok","enable_assign":false}`:       {Result: "ок", EnableAssign: &off, CustomData: []Item{{Title: "a", Content: " \n"}}},
		`{"result":"ok","crm_link":"https://x/1"}`:    {CRMLink: "https://x/1"},
		`{"result":"ok","contact_info":{"name":"N"}}`: {ContactInfo: &ContactInfo{Name: "N"}},
		// the sample of Jivo's page
		`{"result":"ok","custom_data":[{"title":"Title","content":"Content text"}],"contact_info":{"name":"John Smith","phone":"+14084987855","email":"email@example.com"},"crm_link":"https://example.com"}`: {
			CustomData:  []Item{{Title: "Title", Content: "Content text"}},
			ContactInfo: &ContactInfo{Name: "John Smith", Phone: "+14084987855", Email: "email@example.com"},
			CRMLink:     "https://example.com",
		},
		`{"result":"ok","custom_data":[{"content":"c  d","key":"k","link":"https://x"}]}`: {CustomData: []Item{{Content: "\tc\r\nd\x00", Key: "k", Link: "https://x"}}},
	} {
		for _, v := range []any{r, &r} {
			got, err := json.Marshal(v)
			if err != nil || string(got) != want {
				t.Errorf("%T: %s, %v; want %s", v, got, err, want)
			}
		}
	}
}

func TestReply_KeepsTheLimits(t *testing.T) {
	fits, over := strings.Repeat("ж", 64), strings.Repeat("ж", 300)
	items := []Item{{Title: "empty"}, {Title: fits, Content: strings.Repeat("ж", 256)}}
	for range 20 {
		items = append(items, Item{Title: over, Content: over, Key: over})
	}
	var got struct {
		CustomData []Item `json:"custom_data"`
	}
	if err := json.Unmarshal(marshal(t, Reply{CustomData: items}), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.CustomData) != 10 {
		t.Fatalf("%d items", len(got.CustomData))
	}
	if whole := got.CustomData[0]; whole.Title != fits || utf8.RuneCountInString(whole.Content) != 256 || strings.Contains(whole.Content, "…") {
		t.Errorf("what fits was changed: %+v", whole)
	}
	for _, item := range got.CustomData[1:] {
		want := Item{Title: strings.Repeat("ж", 63) + "…", Content: strings.Repeat("ж", 255) + "…", Key: strings.Repeat("ж", 63) + "…"}
		if diff := cmp.Diff(want, item); diff != "" {
			t.Fatal(diff)
		}
	}
	if items[2].Title != over {
		t.Error("the caller's items were changed")
	}
}

func TestParseLink(t *testing.T) {
	type result struct {
		entity string
		id     int64
		ok     bool
	}
	lead, none := result{"leads", 15, true}, result{}
	const host = "example.amocrm.ru"
	for link, want := range map[string]result{
		"https://example.amocrm.ru/leads/detail/15":                   lead,
		" http://EXAMPLE.amocrm.ru:443/leads/detail/15/?tab=1#x ":     lead,
		"example.amocrm.ru/leads/detail/15":                           lead,
		"//example.amocrm.ru/leads/detail/15":                         lead,
		"https://example.amocrm.ru./contacts/detail/9":                {"contacts", 9, true},
		"https://example.amocrm.ru/companies/detail/9":                {"companies", 9, true},
		"https://example.amocrm.ru/customers/detail/9":                none,
		"https://example.amocrm.ru/leads/detail/0":                    none,
		"https://example.amocrm.ru/leads/detail/-1":                   none,
		"https://example.amocrm.ru/leads/detail/+1":                   none,
		"https://example.amocrm.ru/leads/detail/15x":                  none,
		"https://example.amocrm.ru/leads/detail/99999999999999999999": none,
		"https://example.amocrm.ru/leads/detail/":                     none,
		"https://example.amocrm.ru/leads/15":                          none,
		"https://example.amocrm.ru/leads/detail/15/edit":              none,
		"https://example.amocrm.ru/a/leads/detail/15":                 none,
		"https://other.amocrm.ru/leads/detail/15":                     none,
		"https://example.amocrm.ru.evil.com/leads/detail/15":          none,
		"https://example.amocrm.ru@evil.com/leads/detail/15":          none,
		"https://evil.com@example.amocrm.ru/leads/detail/15":          none,
		"https://example.amocrm.ru:8443/leads/detail/15":              none,
		"ftp://example.amocrm.ru/leads/detail/15":                     none,
		"javascript://example.amocrm.ru/leads/detail/15":              none,
		"/leads/detail/15": none,
		"see https://example.amocrm.ru/leads/detail/15":        none,
		"https://example.amocrm.ru/leads/detail/15\nhttps://x": none,
		"": none, "%": none, "15": none,
		"https://example.amocrm.ru/leads/detail/15?" + strings.Repeat("x", 3000): none,
	} {
		entity, id, ok := ParseLink(link, host)
		if got := (result{entity, id, ok}); got != want {
			t.Errorf("ParseLink(%q) = %+v, want %+v", link, got, want)
		}
	}
	if _, _, ok := ParseLink("http://127.0.0.1:8081/leads/detail/1", "127.0.0.1:8081"); !ok {
		t.Error("an account on loopback with a port is its own host")
	}
	if _, _, ok := ParseLink("https:///leads/detail/1", ""); ok {
		t.Error("no host is no account's host")
	}
}
