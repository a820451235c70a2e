package mapping

import (
	"slices"
	"testing"

	"github.com/jivo-amocrm/bridge/internal/event"
)

// A chat tells a client in part: what it told is compared with, tags that no chat
// writes are all new, and names are left to `update`.
func TestClientUpdated_IsComparedWithThePartAChatTold(t *testing.T) {
	nobody := complete(testSchema("chat_accepted"), obj{}).(event.Object)
	was := obj{"assigned_agent": obj{"id": "3", "email": "three@example.com"}, "organization": obj{"name": "Other"}}
	now := obj{"visitor": obj{"name": "New", "number": "2198"}, "assigned_agent": obj{"id": "1", "email": "one@example.com"},
		"organization": obj{"name": "Company"}, "tags": []any{obj{"title": "VIP"}}}
	for name, c := range map[string]struct {
		last    obj
		linked  bool
		changed []string
		tags    []string
	}{
		"all of it changed":      {was, true, []string{"company", "responsible"}, []string{"VIP"}},
		"nobody, then somebody":  {obj{"assigned_agent": nobody["assigned_agent"], "organization": nobody["organization"]}, true, []string{"company", "responsible"}, []string{"VIP"}},
		"only the company told":  {obj{"organization": obj{"name": "Other"}}, true, []string{"company"}, []string{"VIP"}},
		"the same":               {obj{"assigned_agent": now["assigned_agent"], "organization": now["organization"], "tags": now["tags"]}, true, nil, nil},
		"first sight":            {nil, true, nil, nil},
		"the contact just found": {was, false, nil, []string{"VIP"}},
	} {
		in := input("client_updated", now)
		in.Last, in.Known = c.last, c.linked
		if c.linked {
			in.Client.ContactID = 1
		}
		in.Client.Phones = []string{"+79990000001"}
		_, d := mapped(t, compiled(t, testEnv(), defaults(t, "ru")...), in, found("1", ""))
		tags := slices.DeleteFunc(slices.Clone(d.Contact.Tags), func(t string) bool { return t == "jivo" })
		if !slices.Equal(d.Contact.Changed, c.changed) || !slices.Equal(tags, c.tags) || len(d.Contact.TagsRemove) > 0 {
			t.Errorf("%s: changed %v, tags %v, gone %v", name, d.Contact.Changed, tags, d.Contact.TagsRemove)
		}
	}
}

// The tags a client had before they had a contact are written when it is made, by
// their names of today.
func TestContact_IsMadeWithTheTagsToldBefore(t *testing.T) {
	in := dealInput("created_deal", deal(nil))
	in.Told = crmClientFields(nil)
	for contact, want := range map[string][]string{"": {"NewOne", "Eight"}, "1": nil} {
		_, d := mapped(t, compiled(t, testEnv()), in, found(contact, ""))
		if !slices.Equal(d.Contact.Tags, want) {
			t.Errorf("contact %q: tags %v, want %v", contact, d.Contact.Tags, want)
		}
	}
}

// The blacklist tag comes off in whatever language it was put on.
func TestBlacklist_ComesOffInEveryLanguage(t *testing.T) {
	for _, language := range []string{"ru", "en", "pt", "es"} {
		env := testEnv()
		env.Language = language
		_, on := mapped(t, compiled(t, env), dealInput("changed_client_blacklist", obj{"blacklist": obj{"block_datetime_ts": 1}}), found("1", ""))
		for _, now := range []string{"ru", "en", "pt", "es"} {
			env.Language = now
			_, off := mapped(t, compiled(t, env), dealInput("changed_client_blacklist", nil), found("1", ""))
			if !slices.Contains(off.Contact.TagsRemove, on.Contact.Tags[0]) || len(off.Contact.Tags) > 0 {
				t.Errorf("put on in %s, taken off in %s: %+v", language, now, off.Contact)
			}
		}
	}
}
