package upkeep

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm"
	"github.com/jivo-amocrm/bridge/internal/amocrm/dict"
)

// HookSettings are the hooks the bridge asks for: those of product.md §7.
func HookSettings() []string {
	return []string{
		"add_lead", "update_lead", "delete_lead", "restore_lead", "status_lead", "responsible_lead", "note_lead",
		"add_contact", "update_contact", "delete_contact", "restore_contact", "responsible_contact",
		"add_task", "update_task", "delete_task",
	}
}

// Unsent lists the hooks the bridge asks for that a subscription lacks.
func Unsent(settings []string) []string {
	unsent := []string{}
	for _, s := range HookSettings() {
		if !slices.Contains(settings, s) {
			unsent = append(unsent, s)
		}
	}
	return unsent
}

// setupTries is how often what the account's trouble cut short is tried again
// before the next sweep.
const setupTries = 3

// errNotLookedUp: a field was asked for, and the fields were not read since.
var errNotLookedUp = errors.New("a field may have been made; it is looked up first")

// passing reports whether err passes with the account's trouble, or with time.
func passing(err error) bool {
	if _, ok := errors.AsType[*amocrm.NotSent](err); ok {
		return true
	}
	_, ok := errors.AsType[*amocrm.InDoubt](err)
	return ok || errors.Is(err, errNotLookedUp)
}

// marker is a marker field of leads or of contacts.
type marker struct{ entity, name string }

// lacking lists the marker fields that the dictionary does not have although they may
// be made.
func (k *Keeper) lacking(d *dict.Snapshot) (fields []marker) {
	for _, c := range k.connections() {
		if !c.Setup || c.MarkerField == "" || !c.of(d) {
			continue
		}
		for _, entity := range []string{"leads", "contacts"} {
			f := marker{entity, c.MarkerField}
			if _, ok := d.Field(entity, f.name); !ok && !slices.Contains(fields, f) {
				fields = append(fields, f)
			}
		}
	}
	return fields
}

// makeMarkers makes the marker fields that the dictionary d, begun to be read at
// the given time, lacks. One that was asked for before is made again only by a
// dictionary that was read InDoubtAfter later: the answer may have been lost, and
// a name may stand twice in amoCRM.
func (k *Keeper) makeMarkers(ctx context.Context, d *dict.Snapshot, read time.Time) (made bool, err error) {
	var errs []error
	for _, f := range k.lacking(d) {
		if read.Before(k.asked[f]) {
			errs = append(errs, errNotLookedUp)
			continue
		}
		err := k.crm.CreateTextField(ctx, f.entity, f.name)
		if err == nil {
			made = true
			k.log.Info("marker field made", "account", k.cfg.Host, "on", f.entity, "field", f.name)
		} else {
			errs = append(errs, err)
		}
		_, refused := errors.AsType[*amocrm.Refused](err)
		_, unsent := errors.AsType[*amocrm.NotSent](err)
		if refused {
			k.denied, k.deniedBy = d, err
		} else if !unsent {
			k.asked[f] = time.Now().Add(k.cfg.InDoubtAfter)
		}
	}
	return made, errors.Join(errs...)
}

// withMarkers makes the marker fields before the first lead is, so that every
// lead of the bridge's bears one, and waits out the account's trouble meanwhile:
// no lead can be made in it. What goes wrong for other reasons, or again and
// again, is left to the sweep.
func (k *Keeper) withMarkers(ctx context.Context, d *dict.Snapshot, read time.Time) *dict.Snapshot {
	made := false
	for try := 1; ; try++ {
		more, err := k.makeMarkers(ctx, d, read)
		made = made || more
		if err == nil || try == setupTries || !passing(err) || !k.lookable(ctx) {
			break
		}
		began := time.Now()
		if fresh, err := k.cfg.Load(ctx); err == nil {
			d, read, made = fresh, began, false
		}
	}
	if !made {
		return d
	}
	if fresh, err := k.cfg.Load(ctx); err == nil {
		return fresh
	}
	k.Doubtful() // the dictionary has a field more
	return d
}

// lookable waits until it shows what became of the fields that were asked for,
// and the account can be asked; false: ctx ended.
func (k *Keeper) lookable(ctx context.Context) bool {
	wait := firstTry
	for _, at := range k.asked {
		wait = max(wait, time.Until(at))
	}
	return sleep(ctx, wait, nil) && k.resumed(ctx)
}

// resumed waits until the account is not paused; false: ctx ended.
func (k *Keeper) resumed(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-k.crm.Resumed():
		return true
	}
}

// markers makes the marker fields, where setup is automatic and they are missing
// still when the dictionary has been read anew: it may be old. Without the right
// to, it is tried once a dictionary.
func (k *Keeper) markers(ctx context.Context) error {
	switch d := k.Dict(); {
	case len(k.lacking(d)) == 0:
		return nil
	case d == k.denied:
		return k.deniedBy
	}
	read := time.Now()
	d, err := k.cfg.Load(ctx)
	if err != nil {
		return err
	}
	k.dict.Store(d)
	made, err := k.makeMarkers(ctx, d, read)
	if made {
		k.Doubtful() // the dictionary has a field more
	}
	return err
}

// subscriptions watches the connections' hooks and, where setup is automatic,
// restores a missing or disabled one without touching anybody else's.
func (k *Keeper) subscriptions(ctx context.Context) error {
	var errs []error
	for _, c := range k.connections() {
		if !c.of(k.Dict()) {
			continue
		}
		state, err := k.subscription(ctx, c)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		k.mu.Lock()
		before := k.hooks[c.Name]
		k.hooks[c.Name] = state
		k.mu.Unlock()
		if before != state && (state == "missing" || state == "disabled") {
			k.log.Error("amoCRM does not send its hooks here; cards follow by the sweep alone", "connection", c.Name, "hooks", state)
		}
		if before != state && state == "partial" {
			k.log.Warn("amoCRM sends only some of its hooks here; `bridge check` says which are missing, and the sweep sees what they would tell", "connection", c.Name)
		}
	}
	return errors.Join(errs...)
}

// subscription looks at one connection's hook and says how it stands.
func (k *Keeper) subscription(ctx context.Context, c Connection) (state string, err error) {
	if c.HookPath == "" && c.HookURL == "" {
		return "off", nil
	}
	list, err := k.crm.Webhooks(ctx, c.HookURL)
	var refused *amocrm.Refused
	if errors.As(err, &refused) {
		return "unknown", nil // no right to look
	}
	if err != nil {
		return "", err
	}
	var have *amocrm.WebhookInfo
	for i := range list {
		// Without a public_url whatever ends in the right path is ours.
		if list[i].Destination == c.HookURL || (c.HookURL == "" && c.HookPath != "" && strings.HasSuffix(list[i].Destination, c.HookPath)) {
			have = &list[i]
		}
	}
	if have != nil && !have.Disabled {
		if len(Unsent(have.Settings)) > 0 {
			return "partial", nil // somebody's choice, maybe: it stays as it is
		}
		return "ok", nil
	}
	if c.Setup && c.HookURL != "" {
		if _, err := k.crm.SubscribeWebhook(ctx, c.HookURL, HookSettings()); err != nil {
			if errors.As(err, &refused) {
				return "missing", nil
			}
			return "", err
		}
		did := "hook subscription made"
		if have != nil {
			did = "hook subscription restored"
		}
		k.log.Info(did, "connection", c.Name)
		return "ok", nil
	}
	if have != nil {
		return "disabled", nil
	}
	return "missing", nil
}
