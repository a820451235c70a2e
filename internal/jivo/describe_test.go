package jivo

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jivo-amocrm/bridge/internal/event"
)

// described merges bodies in order, a minute apart.
func described(t *testing.T, bodies ...string) *event.Client {
	t.Helper()
	c := &event.Client{}
	for i, body := range bodies {
		decode(t, body).Describe(c, "RU", noon.Add(time.Duration(i)*time.Minute))
	}
	return c
}

func TestDescribe_NothingIsBlanked(t *testing.T) {
	full := `{"event_name":"chat_accepted","widget_id":"3948","visitor":{"number":1,"name":"John","phone":"8 (999) 000-00-01","email":" A@B.Cc ","description":"d"},
		"organization":{"name":"Co"},"status":{"title":"new"},"assigned_agent":{"id":1,"email":"a1@b.cc","name":"A1"},"tags":[{"title":"VIP"}]}`
	attributes := `{"event_name":"client_attribute_updated","client_id":1,"attributes":{"Цвет":"red","n":15000000.0}}`
	want := described(t, full, attributes)
	if want.Name != "John" || want.Attributes["Цвет"] != "red" || want.Attributes["n"] != "15000000" || len(want.Phones) != 1 || want.Phones[0] != "+79990000001" || want.Emails[0] != "a@b.cc" {
		t.Fatalf("%+v", want)
	}
	for _, blank := range []string{
		`{"event_name":"chat_updated","visitor":{"number":1}}`,
		`{"event_name":"chat_updated","widget_id":"","visitor":{"number":1,"name":"","phone":"","email":"","description":""},"organization":{"name":""},"status":{},"assigned_agent":{},"tags":null}`,
		`{"event_name":"client_updated","client_id":1,"visitor":null,"organization":null,"status":null,"assigned_agent":null}`,
		`{"event_name":"chat_updated","visitor":{"number":1,"name":"  ","phone":"12","email":"nobody","description":"\u0000"},"tags":"none"}`,
		`{"event_name":"chat_updated","visitor":{"number":1,"name":"Клиент 1"}}`,
		`{"event_name":"chat_updated","visitor":{"number":1,"name":"Visitor #1"}}`,
		`{"event_name":"chat_updated","visitor":{"number":1,"name":"null"}}`,
		`{"event_name":"chat_updated","visitor":{"number":1,"name":"-"}}`,
		`{"event_name":"client_attribute_updated","client_id":1,"attributes":{"Цвет":"","n":null}}`,
		`{"event_name":"client_attribute_updated","client_id":1,"attributes":null}`,
		`{"event_name":"updated_client","client_id":1,"name":null,"organization":null,"contacts":[],"status":null,"assigned_agent":{"assigned_agent_id":null},"tags":[{"tag_id":1}]}`,
		`{"event_name":"updated_client","client_id":1,"assigned_agent":{"assigned_agent_id":1}}`,
		`{"event_name":"updated_deal","client":{"client_id":1},"assigned_agent":{"assigned_agent_id":9},"title":"x"}`,
		`{"event_name":"created_task","client":{"client_id":1},"agent":{"agent_id":9}}`,
		`{"event_name":"chat_started","visitor":{"number":1,"name":"X"}}`,
		`{}`,
	} {
		got := described(t, full, attributes, blank)
		got.ReceivedAt, got.UpdatedAt = want.ReceivedAt, want.UpdatedAt
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", blank, diff)
		}
	}
}

func TestDescribe_NamesThatLookLikePlaceholdersButAreNone(t *testing.T) {
	for name, want := range map[string]string{
		"Гость Иванов": "Гость Иванов", "Client Services 5": "Client Services 5", "Нуль": "Нуль", "None Smith": "None Smith",
		"  Anna\tMaria\u0007 ": "Anna Maria", "7": "7", "😀": "😀", "Посетитель": "", "N/A": "", "...": "", "Cliente 77": "",
	} {
		if got := personName(name); got != want {
			t.Errorf("personName(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestDescribe_WhatIsNewReplacesOrIsAdded(t *testing.T) {
	c := described(t,
		`{"event_name":"chat_accepted","visitor":{"number":1,"name":"A","phone":"+79990000001","email":"a@b.cc"},"tags":[{"title":"old"}],"organization":{"name":"Co"},"assigned_agent":{"id":1,"email":"a1@b.cc","name":"A1"}}`,
		`{"event_name":"client_updated","visitor":{"number":1,"name":"B","phone":"+79990000002","email":"A@b.cc"},"tags":[{"title":"new"},{"title":"new"},{"title":" two "}],"organization":{"name":"Co2"},"assigned_agent":{"id":2}}`,
	)
	want := &event.Client{
		ID: "1", Name: "B", Phones: []string{"+79990000001", "+79990000002"}, Emails: []string{"a@b.cc"}, Company: "Co2",
		Tags: []string{"new", "two"}, Responsible: event.Agent{ID: "2"}, Described: true,
		UpdatedAt: noon.Add(time.Minute), ReceivedAt: noon.Add(time.Minute),
	}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Error(diff)
	}
	if c := described(t, `{"event_name":"chat_accepted","tags":[{"title":"a"}]}`, `{"event_name":"chat_accepted","tags":[]}`); len(c.Tags) != 0 {
		t.Errorf("tags %q after a list of none came", c.Tags)
	}
}

func TestDescribe_TheCRMStreamKnowsTheAgentByIDOnly(t *testing.T) {
	c := described(t,
		`{"event_name":"client_updated","client_id":1,"assigned_agent":{"id":7,"email":"a7@b.cc","name":"A7"}}`,
		`{"event_name":"assigned_agent_to_client","client_id":1,"assigned_agent":{"assigned_agent_id":7}}`,
	)
	if want := (event.Agent{ID: "7", Email: "a7@b.cc", Name: "A7"}); c.Responsible != want {
		t.Errorf("responsible %+v, want %+v", c.Responsible, want)
	}
}

func TestDescribe_OlderEventsOnlyFillWhatIsEmpty(t *testing.T) {
	c := &event.Client{}
	decode(t, `{"event_name":"chat_accepted","visitor":{"number":1,"name":"New","phone":"+79990000002"},"tags":[{"title":"new"}],"assigned_agent":{"id":2}}`).Describe(c, "RU", noon)
	older := decode(t, `{"event_name":"created_client","client_id":1,"name":"Old","description":"d","tags":[{"title":"old"}],"assigned_agent":{"assigned_agent_id":1},"contacts":[{"contact_type":"phone","contact":"+79990000001"}],"blacklist":{"block_datetime_ts":5}}`)
	if changed, described := older.Describe(c, "RU", noon.Add(-time.Hour)); !changed || !described {
		t.Errorf("changed %v described %v", changed, described)
	}
	want := &event.Client{ID: "1", Name: "New", Description: "d", Phones: []string{"+79990000002", "+79990000001"}, Tags: []string{"new"},
		Responsible: event.Agent{ID: "2"}, Described: true, UpdatedAt: noon, ReceivedAt: noon}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Error(diff)
	}
}

func TestDescribe_SaysWhetherTheEventTellsWhoThisIs(t *testing.T) {
	for body, want := range map[string]bool{
		`{"event_name":"chat_accepted","visitor":{"number":1}}`:                                     true,
		`{"event_name":"chat_accepted","visitor":{"chats_count":1}}`:                                true,
		`{"event_name":"chat_accepted","visitor":{"age":1}}`:                                        true,
		`{"event_name":"chat_accepted","visitor":{}}`:                                               false,
		`{"event_name":"chat_accepted","visitor":{"name":"","social":{},"number":null}}`:            false,
		`{"event_name":"chat_accepted","chat_id":1}`:                                                false,
		`{"event_name":"client_updated","client_id":1,"organization":{"name":"x"}}`:                 false,
		`{"event_name":"client_attribute_updated","client_id":1,"attributes":{"a":1}}`:              false,
		`{"event_name":"created_client","client_id":1}`:                                             false,
		`{"event_name":"created_client","client_id":1,"event_timestamp":5,"event_type":"x","y":1}`:  false,
		`{"event_name":"created_client","client_id":1,"widget":{"widget_id":2}}`:                    true,
		`{"event_name":"created_client","client_id":1,"contacts":[{"contact":"x"}]}`:                true,
		`{"event_name":"assigned_status","client":{"client_id":1},"status":{"title":"x"}}`:          false,
		`{"event_name":"assigned_status","client":{"client_id":1,"name":"x"}}`:                      true,
		`{"event_name":"created_deal","client":{"client_id":1,"name":"x"}}`:                         false,
		`{"event_name":"created_task","client":{"client_id":1}}`:                                    false,
		`{"event_name":"chat_started","visitor":{"number":1}}`:                                      false,
		`{"event_name":"call_event","call":{"phone":"+79990000001"}}`:                               false,
		`{"event_name":"offline_message","visitor":{"email":"a@b.cc"},"offline_message_id":"2806"}`: true,
	} {
		c := &event.Client{}
		changed, got := decode(t, body).Describe(c, "RU", noon)
		if got != want || c.Described != want || want && !changed {
			t.Errorf("%s: described %v picture %v changed %v, want %v", body, got, c.Described, changed, want)
		}
	}
}

func TestDescribe_OlderEventsFillEmptyTagsAndAgents(t *testing.T) {
	c := described(t, `{"event_name":"chat_accepted","visitor":{"number":1}}`)
	decode(t, `{"event_name":"chat_accepted","visitor":{"number":1},"tags":[{"title":"old"}],"assigned_agent":{"id":1}}`).Describe(c, "RU", noon.Add(-time.Hour))
	if len(c.Tags) != 1 || c.Responsible.ID != "1" {
		t.Errorf("tags %q responsible %+v", c.Tags, c.Responsible)
	}
}

func TestDescribe_AnAgentWithoutAnIDIsKnownByEmail(t *testing.T) {
	c := described(t,
		`{"event_name":"client_updated","client_id":1,"assigned_agent":{"id":7,"email":"a7@b.cc","name":"A7"}}`,
		`{"event_name":"client_updated","client_id":1,"assigned_agent":{"email":"a7@b.cc","name":"A8"}}`)
	if want := (event.Agent{ID: "7", Email: "a7@b.cc", Name: "A8"}); c.Responsible != want {
		t.Errorf("responsible %+v, want %+v", c.Responsible, want)
	}
}

func TestDescribe_OnlyAChangeMovesUpdatedAt(t *testing.T) {
	same := `{"event_name":"chat_accepted","visitor":{"number":1,"name":"A"}}`
	c := described(t, same, same)
	if !c.UpdatedAt.Equal(noon) || !c.ReceivedAt.Equal(noon.Add(time.Minute)) {
		t.Errorf("updated %v received %v", c.UpdatedAt, c.ReceivedAt)
	}
}

func TestDescribe_LeavesCopiesOfThePictureAlone(t *testing.T) {
	c := &event.Client{Phones: append(make([]string, 0, 8), "+79990000001")}
	before := *c
	for _, number := range []string{"+79990000002", "+79990000003"} {
		branch := before
		decode(t, `{"event_name":"chat_accepted","visitor":{"phone":"`+number+`"}}`).Describe(&branch, "RU", noon)
		if number == "+79990000002" {
			c = &branch
		}
	}
	if diff := cmp.Diff([]string{"+79990000001", "+79990000002"}, c.Phones); diff != "" {
		t.Error(diff)
	}
}

func TestDescribe_AnOldPictureStaysDescribed(t *testing.T) {
	c := described(t, `{"event_name":"chat_accepted","visitor":{"number":1}}`, `{"event_name":"client_attribute_updated","client_id":1,"attributes":{"a":1}}`)
	if !c.Described || !c.ReceivedAt.Equal(noon) {
		t.Errorf("described %v received %v", c.Described, c.ReceivedAt)
	}
}

func TestDescribe_TheCallersNumberStandsInForTheVisitors(t *testing.T) {
	for body, want := range map[string][]string{
		`{"event_name":"call_event","visitor":{"number":1},"call":{"phone":"89990000001"}}`:                        {"+79990000001"},
		`{"event_name":"call_event","visitor":{"number":1,"phone":"+79990000002"},"call":{"phone":"89990000001"}}`: {"+79990000002"},
		`{"event_name":"client_updated","visitor":{"number":1217,"phone":"+458745457845"}}`:                        {"+458745457845"},
	} {
		if diff := cmp.Diff(want, described(t, body).Phones); diff != "" {
			t.Errorf("%s: %s", body, diff)
		}
	}
}

func TestDescribe_Blacklist(t *testing.T) {
	const client = `{"event_name":"changed_client_blacklist","client_id":1,"name":"x"`
	on := client + `,"blacklist":{"agent":{"agent_id":1},"block_datetime_ts":1677838504,"unblock_datetime_ts":1709460904,"ip_address":"109.252.14.36"}}`
	for body, want := range map[string]bool{
		on: true,
		client + `,"blacklist":{"block_datetime_ts":1677838504,"unblock_datetime_ts":null}}`:       true,
		client + `,"blacklist":{"agent":{"agent_id":1}}}`:                                          true,
		client + `,"blacklist":null}`:                                                              false,
		client + `,"blacklist":{}}`:                                                                false,
		client + `,"blacklist":{"agent":{"agent_id":1},"unblock_datetime_ts":1709460904}}`:         false,
		client + `,"blacklist":{"block_datetime_ts":1709460904,"unblock_datetime_ts":1709460904}}`: false,
		client + `,"blacklist":"odd"}`:                                                             true, // says nothing
		client + `}`:                                                                               true,
		`{"event_name":"chat_finished","visitor":{"number":1},"chat":{"blacklisted":false}}`:       false,
		`{"event_name":"chat_finished","visitor":{"number":1},"chat":{"blacklisted":null}}`:        true,
		`{"event_name":"chat_finished","visitor":{"number":1},"chat":{}}`:                          true,
		`{"event_name":"assigned_status","client":{"client_id":1,"name":"x","blacklist":null}}`:    false,
	} {
		if got := described(t, on, body).Blacklisted; got != want {
			t.Errorf("%s: %v, want %v", body, got, want)
		}
	}
	if !described(t, `{"event_name":"chat_finished","chat":{"blacklisted":true}}`).Blacklisted {
		t.Error("a chat that ended in blacklisting did not blacklist")
	}
}

func TestDescribe_ContactsOfTheCRMStream(t *testing.T) {
	c := described(t, `{"event_name":"updated_client_contacts","client_id":1,"contacts":[
		{"contact_type":"phone","contact":"8 999 000-00-01"},{"contact_type":"email","contact":"A@b.cc"},{"contact_type":"phone","contact":"+79990000001"},
		{"contact_type":"Phone","contact":"+79990000002"},{"contact":"+79990000003"},{"contact":"c@d.ee"},{"contact_type":"telegram","contact":"5551234"},{"contact_type":"phone","contact":null}]}`)
	if diff := cmp.Diff([]string{"+79990000001", "+79990000002", "+79990000003"}, c.Phones); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"a@b.cc", "c@d.ee"}, c.Emails); diff != "" {
		t.Error(diff)
	}
}

func TestTouch_KeepsSixteenMarks(t *testing.T) {
	var marks strings.Builder
	for i := range 100 {
		fmt.Fprintf(&marks, "m%d=v|", i)
	}
	touch := decode(t, `{"event_name":"chat_accepted","session":{"utm":"`+marks.String()+`m0=w"}}`).Touch(noon)
	if len(touch.UTM) != maxUTM || touch.UTM["m0"] != "w" {
		t.Errorf("%d marks, m0=%s", len(touch.UTM), touch.UTM["m0"])
	}
}

func TestTouch(t *testing.T) {
	utm := func(pairs ...string) map[string]string {
		out := map[string]string{}
		for i := 0; i < len(pairs); i += 2 {
			out[pairs[i]] = pairs[i+1]
		}
		return out
	}
	for body, want := range map[string]*event.Touch{
		`{"event_name":"chat_accepted"}`:                                                                                                             nil,
		`{"event_name":"chat_accepted","session":null,"page":null}`:                                                                                  nil,
		`{"event_name":"chat_accepted","session":{"ip_addr":"1.2.3.4"}}`:                                                                             nil,
		`{"event_name":"created_client","client_id":1}`:                                                                                              nil,
		`{"event_name":"chat_accepted","page":{"url":"http://x/?a=1","title":" T "}}`:                                                                {Page: "http://x/?a=1", Title: "T", UTM: utm()},
		`{"event_name":"chat_accepted","session":{"geoip":{"city":"Omsk","country":"Russia"}}}`:                                                      {City: "Omsk", Country: "Russia", UTM: utm()},
		`{"event_name":"chat_accepted","session":{"utm":"source=google|medium=cpc|term"}}`:                                                           {UTM: utm("source", "google", "medium", "cpc")},
		`{"event_name":"chat_accepted","session":{"utm":"campaign=(direct)|source=(direct)"}}`:                                                       {UTM: utm("campaign", "(direct)", "source", "(direct)")},
		`{"event_name":"chat_accepted","session":{"utm":"source=pipe|medium=cpc","utm_json":{"source":"json","medium":"","term":null,"place":"x"}}}`: {UTM: utm("source", "json", "medium", "cpc", "place", "x")},
		`{"event_name":"chat_accepted","session":{"utm_json":{"source":"plain","utm_source":"prefixed"}}}`:                                           {UTM: utm("source", "plain")},
		`{"event_name":"chat_accepted","session":{"utm":"utm_Source=a=b|","utm_json":{"utm_term":"t"}}}`:                                             {UTM: utm("source", "a=b", "term", "t")},
		`{"event_name":"chat_accepted","session":{"utm":"term=%D0%BE%D0%BA%D0%BD%D0%B0%0A|content=100%|campaign=a+b|medium=%ff"}}`:                   {UTM: utm("term", "окна", "content", "100%", "campaign", "a+b", "medium", "%ff")},
	} {
		if want != nil {
			want.At = noon
		}
		if diff := cmp.Diff(want, decode(t, body).Touch(noon)); diff != "" {
			t.Errorf("%s: %s", body, diff)
		}
	}
}
