package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm"
	"github.com/jivo-amocrm/bridge/internal/amocrm/dict"
	"github.com/jivo-amocrm/bridge/internal/amocrm/token"
	"github.com/jivo-amocrm/bridge/internal/config"
	"github.com/jivo-amocrm/bridge/internal/upkeep"
)

// Look is how a connection's amoCRM account stands: what `bridge check` reports.
type Look struct {
	TokenKind    string         `json:"token_kind"`
	TokenState   string         `json:"token_state"`
	TokenExpires *time.Time     `json:"token_expires_at"`
	Dictionary   *dict.Snapshot `json:"dictionary"`
	User         int64          `json:"user"`     // whose token it is
	Admin        bool           `json:"admin"`    // may read and make hooks
	Hook         string         `json:"hook"`     // ok | missing | disabled | partial | off | unknown
	Unsent       []string       `json:"unsent"`   // of a partial one: settings it lacks
	Contacts     string         `json:"contacts"` // few: read by themselves; many
	Fixed        []string       `json:"fixed"`    // what was made, in words
}

// Missing lists where the marker field is missing: leads, contacts.
func (l *Look) Missing(field string) (entities []string) {
	for _, entity := range []string{"leads", "contacts"} {
		if _, ok := l.Dictionary.Field(entity, field); !ok {
			entities = append(entities, entity)
		}
	}
	return entities
}

// Looker looks at one account. Crm and Tokens belong together.
type Looker struct {
	CRM    *amocrm.Client
	Tokens amocrm.Tokens
	Conn   *config.Connection
	Opt    Options
}

// Look reads the account. hook is the address amoCRM's hooks are wanted at, ""
// if none are. With fix, missing marker fields and the hook subscription are
// made first. Its error is one of amocrm's.
func (l Looker) Look(ctx context.Context, hook string, fix bool) (*Look, error) {
	ctx = amocrm.WithPriority(ctx, amocrm.CardRead)
	out := &Look{Unsent: []string{}, Fixed: []string{}, Hook: "off"}
	acc, err := l.CRM.Account(ctx)
	if err != nil {
		return nil, err
	}
	if out.Dictionary, err = dict.Load(ctx, l.CRM); err != nil {
		return nil, err
	}
	if fix {
		if err := l.fixFields(ctx, out); err != nil {
			return nil, err
		}
	}
	out.User = acc.CurrentUserID
	u, known := out.Dictionary.UserByID(acc.CurrentUserID)
	out.Admin = known && u.Admin
	if err := l.hook(ctx, out, hook, fix); err != nil {
		return nil, err
	}
	if out.Contacts, err = l.contacts(ctx); err != nil {
		return nil, err
	}
	info, ok := l.Tokens.(interface{ Info() token.Info })
	if ok {
		t := info.Info()
		out.TokenKind, out.TokenState = t.Kind, t.State
		if !t.ExpiresAt.IsZero() {
			out.TokenExpires = &t.ExpiresAt
		}
	}
	return out, nil
}

// contacts says by one request whether there are more contacts than are read
// unasked.
func (l Looker) contacts(ctx context.Context) (string, error) {
	w, err := l.CRM.ContactsFrom(ctx, upkeep.SmallAccount)
	if err != nil {
		return "", err
	}
	if w.First+len(w.Contacts) > upkeep.SmallAccount {
		return "many", nil
	}
	return "few", nil
}

// hook says how the subscription of address stands.
func (l Looker) hook(ctx context.Context, out *Look, address string, fix bool) error {
	if address == "" {
		return nil
	}
	list, err := l.CRM.Webhooks(ctx, address)
	var refused *amocrm.Refused
	if errors.As(err, &refused) {
		out.Hook = "unknown" // no right to look
		return nil
	}
	if err != nil {
		return err
	}
	out.Hook = "missing"
	for _, w := range list {
		if out.Unsent = upkeep.Unsent(w.Settings); len(out.Unsent) > 0 {
			out.Hook = "partial"
		} else {
			out.Hook = "ok"
		}
		if w.Disabled {
			out.Hook = "disabled"
		}
	}
	if out.Hook == "ok" || !fix {
		return nil
	}
	if _, err := l.CRM.SubscribeWebhook(ctx, address, upkeep.HookSettings()); err != nil {
		return fmt.Errorf("subscribe the hook: %w", err)
	}
	out.Hook, out.Unsent = "ok", []string{}
	out.Fixed = append(out.Fixed, "subscribed amoCRM's hooks")
	return nil
}

// fixFields makes the marker fields that are missing and reads the names anew.
func (l Looker) fixFields(ctx context.Context, out *Look) error {
	name := l.Conn.AmoCRM.MarkerField
	missing := out.Missing(name)
	for _, entity := range missing {
		if err := l.CRM.CreateTextField(ctx, entity, name); err != nil {
			return fmt.Errorf("make the field %q on %s: %w", name, entity, err)
		}
		out.Fixed = append(out.Fixed, fmt.Sprintf("made the field %q on %s", name, entity))
	}
	if len(missing) == 0 {
		return nil
	}
	fresh, err := dict.Load(ctx, l.CRM)
	if err != nil {
		return err
	}
	out.Dictionary = fresh
	return nil
}
