// Package card keeps what the operator sees: cards of the leads and contacts
// the bridge follows, fed by hooks and reads, and the replies composed from
// them. It makes no request to amoCRM.
package card

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm/hook"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/phone"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// followed lists the families of hooks that have an effect (product.md §7).
var followed = []string{"leads", "contacts", "companies", "task", "unsorted"}

// Keeper applies hooks to cards and to the contact directory. It is safe for
// concurrent use.
type Keeper struct {
	store *store.Store
	conn  func(name string) (Connection, bool)
	dirty func(connection string, leadID int64) // told of each card to be read again
	drop  func(tx *store.Tx, connection, account string, entity string, id int64) error
}

// NewKeeper returns a keeper. conn finds a connection, dirty is told of cards
// that must be read again, drop removes the links to an entity that is gone.
func NewKeeper(st *store.Store, conn func(string) (Connection, bool), dirty func(string, int64), drop func(tx *store.Tx, connection, account, entity string, id int64) error) *Keeper {
	return &Keeper{store: st, conn: conn, dirty: dirty, drop: drop}
}

// Apply takes over what a hook says of leads and contacts the bridge follows.
// Applying the same hook twice changes nothing.
func (k *Keeper) Apply(ctx context.Context, connection string, ev *event.Event, body []byte) event.Ending {
	c, ok := k.conn(connection)
	if !ok {
		return event.Snooze{Until: time.Now().Add(time.Minute), Why: "the connection is gone"}
	}
	dict := c.Dict()
	if dict == nil { // whose hook it is, its zone and the region of its phones are not known yet
		return event.Snooze{Why: "the account's dictionary was not read yet"}
	}
	if c.Region == "" {
		c.Region = strings.ToUpper(dict.Country)
	}
	if len(body) == 0 && ev.BodySize > 0 { // a kill came between this and the record of its end
		return event.Skip{Reason: event.NotOurs, Detail: "nothing in it is linked to a client; its body is gone"}
	}
	hook, err := hook.Decoder{Location: dict.Location()}.Decode("", body)
	if err != nil {
		return event.Kill{Reason: event.Unparsable, Detail: err.Error()}
	}
	if dict.AccountID != 0 && hook.AccountID != 0 && hook.AccountID != dict.AccountID {
		if err := k.store.Update(ctx, func(tx *store.Tx) error { return tx.DropBody(ev.Seq) }); err != nil {
			return event.Retry{Err: err}
		}
		return event.Skip{Reason: event.ForeignAccount, Detail: "the hook is of account " + strconv.FormatInt(hook.AccountID, 10)}
	}
	a := &application{k: k, c: c, at: ev.ReceivedAt}
	err = k.store.Update(ctx, func(tx *store.Tx) error {
		a.tx, a.ours, a.known, a.dirty = tx, false, false, nil
		for _, it := range hook.Items {
			if err := a.item(it); err != nil {
				return err
			}
		}
		if !a.ours {
			return tx.DropBody(ev.Seq)
		}
		return nil
	})
	if err != nil {
		return event.Retry{Err: err}
	}
	for _, id := range a.dirty {
		k.dirty(connection, id)
	}
	switch {
	case a.ours:
		return event.Finished{}
	case a.known:
		return event.Skip{Reason: event.NotOurs, Detail: "nothing in it is linked to a client"}
	}
	return event.Skip{Reason: event.Ignored, Detail: "this family of hooks is counted only"}
}

// application is one hook being applied in one transaction.
type application struct {
	k     *Keeper
	c     Connection
	at    time.Time
	tx    *store.Tx
	ours  bool // something in it is followed
	known bool // something in it is of a family that is followed
	dirty []int64
}

func (a *application) item(it hook.Item) error {
	if slices.Contains(followed, it.Entity) {
		a.known = true
	}
	switch it.Entity {
	case "leads":
		return a.lead(it)
	case "contacts":
		return a.contact(it)
	case "task":
		return a.task(it)
	case "unsorted":
		return a.unsorted(it)
	}
	return nil
}

func (a *application) leadKey(id int64) string {
	return store.Key(a.c.Name, "lead", strconv.FormatInt(id, 10))
}

// withLead changes the card of a lead, if the bridge follows it.
func (a *application) withLead(id int64, change func(*event.LeadCard)) error {
	card, ok, err := store.Get[event.LeadCard](a.tx, store.Cards, a.leadKey(id))
	if err != nil {
		return err
	}
	if !ok && len(a.tx.ClientsByLead(a.c.Name, id)) == 0 {
		return nil
	}
	a.ours = true
	card.Lead.ID = id
	change(&card)
	if card.Dirty {
		a.dirty = append(a.dirty, id)
	}
	return store.Set(a.tx, store.Cards, a.leadKey(id), card)
}

func (a *application) lead(it hook.Item) error {
	switch it.Action {
	case "delete":
		if _, ok, _ := store.Get[event.LeadCard](a.tx, store.Cards, a.leadKey(it.ID)); !ok && len(a.tx.ClientsByLead(a.c.Name, it.ID)) == 0 {
			return nil
		}
		a.ours = true
		return a.k.drop(a.tx, a.c.Name, a.c.Account, "lead", it.ID)
	case "note":
		return a.leadNote(it)
	}
	return a.withLead(it.ID, func(card *event.LeadCard) {
		switch {
		case it.Thin || it.Lead == nil:
			var pipeline, status int64
			if it.Lead != nil {
				pipeline, status = it.Lead.PipelineID, it.Lead.StatusID
			}
			card.ApplyThin(pipeline, status, a.at)
		default:
			card.ApplyHook(*it.Lead, a.at)
		}
		switch it.Action {
		case "call_in", "mail_in", "chat":
			card.LastIn, card.LastInAt = it.Action, a.at
		}
	})
}

// hookCallIn is the note_type of an incoming call (amocrm-api.md §6.2).
const hookCallIn = 10

func (a *application) leadNote(it hook.Item) error {
	if it.NoteType != hookCallIn {
		return a.withLead(it.ID, func(*event.LeadCard) {})
	}
	return a.withLead(it.ID, func(card *event.LeadCard) { card.LastIn, card.LastInAt = "call_in", a.at })
}

// contact feeds the contact directory, for every contact of the account, and the
// card of one that is followed.
func (a *application) contact(it hook.Item) error {
	key := store.Key(a.c.Name, "contact", strconv.FormatInt(it.ID, 10))
	card, ok, err := store.Get[event.ContactCard](a.tx, store.Cards, key)
	if err != nil {
		return err
	}
	ours := ok || len(a.tx.ClientsByContact(a.c.Name, it.ID)) > 0
	a.ours = a.ours || ours
	switch {
	case it.Action == "delete":
		return a.k.drop(a.tx, a.c.Name, a.c.Account, "contact", it.ID)
	case it.Contact == nil || it.Action == "note":
		return nil
	}
	if ok && it.Contact.UpdatedAt != 0 && it.Contact.UpdatedAt < card.Contact.UpdatedAt {
		return a.lateContact(key, card, *it.Contact)
	}
	if len(it.Contact.Phones)+len(it.Contact.Emails) > 0 || !it.Contact.Partial {
		if err := a.tx.SetContactKeys(a.c.Account, it.ID, a.keysOf(*it.Contact)); err != nil {
			return err
		}
	}
	if !ours {
		return nil
	}
	told := slices.DeleteFunc(slices.Clone(it.Contact.LeadIDs), func(id int64) bool { return slices.Contains(card.Contact.LeadIDs, id) })
	card.Contact.LeadIDs = append(card.Contact.LeadIDs, told...) // that there are no others is not said
	if err := a.follow(told); err != nil {
		return err
	}
	switch c := *it.Contact; {
	case c.UpdatedAt > card.Contact.UpdatedAt:
		c.LeadIDs, c.Fields = card.Contact.LeadIDs, merge(card.Contact.Fields, c.Fields)
		if len(it.Contact.Fields) == 0 { // it told of no field at all, phones and e-mails neither
			c.Phones, c.Emails = card.Contact.Phones, card.Contact.Emails
		}
		if c.CompanyID == 0 {
			c.CompanyID = card.Contact.CompanyID
		}
		card.Contact, card.ReadAt = c, a.at
	case c.UpdatedAt == 0 || !sameContact(c, card.Contact):
		card.Dirty = true
	}
	card.Contact.ID = it.ID
	return store.Set(a.tx, store.Cards, key, card)
}

// follow begins the cards of leads that a manager may have opened by hand for a contact
// that is followed: the next chat goes to the newest open one, and is to show it.
func (a *application) follow(leads []int64) error {
	for _, id := range event.NewestLeads(leads) {
		card, ok, err := store.Get[event.LeadCard](a.tx, store.Cards, a.leadKey(id))
		if err != nil {
			return err
		}
		if ok {
			continue
		}
		card.Lead.ID = id
		card.MarkDirty(a.at)
		if err := store.Set(a.tx, store.Cards, a.leadKey(id), card); err != nil {
			return err
		}
		a.dirty = append(a.dirty, id)
	}
	return nil
}

// lateContact takes over a hook that is older than the card: nothing, unless it
// tells of a phone or e-mail the card lacks. One that was added by hand just
// before a write of the bridge's own may still stand, so it is found by, and the
// contact is read before it is written again.
func (a *application) lateContact(key string, card event.ContactCard, c event.Contact) error {
	known, told := a.keysOf(card.Contact), a.keysOf(c)
	if !slices.ContainsFunc(told, func(k string) bool { return !slices.Contains(known, k) }) {
		return nil
	}
	keys := slices.Compact(slices.Sorted(slices.Values(append(told, known...))))
	if err := a.tx.SetContactKeys(a.c.Account, c.ID, keys); err != nil {
		return err
	}
	card.Dirty = true
	return store.Set(a.tx, store.Cards, key, card)
}

func (a *application) keysOf(c event.Contact) []string {
	return phone.Keys(event.Texts(c.Phones), event.Texts(c.Emails), a.c.Region)
}

// sameContact reports whether a hook tells nothing the card does not hold.
func sameContact(hook, card event.Contact) bool {
	texts := func(v []event.Value) []string { return slices.Sorted(slices.Values(event.Texts(v))) }
	tags := func(c event.Contact) []string { return slices.Sorted(slices.Values(c.Tags)) }
	for id, v := range hook.Fields {
		if !slices.Equal(event.Texts(v), event.Texts(card.Fields[id])) {
			return false
		}
	}
	return hook.Name == card.Name && hook.ResponsibleID == card.ResponsibleID && slices.Equal(tags(hook), tags(card)) &&
		slices.Equal(texts(hook.Phones), texts(card.Phones)) && slices.Equal(texts(hook.Emails), texts(card.Emails))
}

func merge(a, b map[int64]event.Values) map[int64]event.Values {
	if b == nil {
		return a
	}
	return b
}

// taskPlaces name the records of the lead or contact that a task stands on: a delete
// names the task alone.
var taskPlaces = []struct{ entity, record string }{{"leads", "task"}, {"contacts", "contact_task"}}

func (a *application) task(it hook.Item) error {
	if it.Task == nil && it.Action != "delete" {
		return nil
	}
	for _, place := range taskPlaces {
		var at int64 // where it stands of these; 0: nowhere
		if it.Action != "delete" && it.Task.EntityType == place.entity {
			at = it.Task.EntityID
		}
		if err := a.taskOn(place.entity, store.Key(a.c.Name, place.record, strconv.FormatInt(it.ID, 10)), at, it); err != nil {
			return err
		}
	}
	return nil
}

// taskOn puts a task on a lead or contact, if the bridge follows it, and takes it off
// the one it stood on.
func (a *application) taskOn(entity, key string, at int64, it hook.Item) error {
	stood, ok, err := store.Get[int64](a.tx, store.Positions, key)
	if err != nil {
		return err
	}
	if ok && stood != at {
		if err := store.Delete(a.tx, store.Positions, key); err != nil {
			return err
		}
		if _, err := a.withTasks(entity, stood, func(c tasks) { c.DropTask(it.ID) }); err != nil {
			return err
		}
	}
	if at == 0 {
		return nil
	}
	followed, err := a.withTasks(entity, at, func(c tasks) { c.SetTask(*it.Task) })
	if err != nil || !followed {
		return err
	}
	return store.Set(a.tx, store.Positions, key, at)
}

// tasks is what the cards of a lead and of a contact have in common here.
type tasks interface {
	SetTask(event.Task)
	DropTask(id int64)
}

// withTasks changes the tasks of a lead or contact, if the bridge follows it.
func (a *application) withTasks(entity string, id int64, change func(tasks)) (followed bool, err error) {
	if entity == "leads" {
		err = a.withLead(id, func(card *event.LeadCard) { followed = true; change(card); card.TasksAt = a.at })
		return followed, err
	}
	key := store.Key(a.c.Name, "contact", strconv.FormatInt(id, 10))
	card, ok, err := store.Get[event.ContactCard](a.tx, store.Cards, key)
	if err != nil || !ok && len(a.tx.ClientsByContact(a.c.Name, id)) == 0 {
		return false, err
	}
	a.ours = true
	card.Contact.ID = id
	change(&card)
	return true, store.Set(a.tx, store.Cards, key, card)
}

func (a *application) unsorted(it hook.Item) error {
	for _, id := range it.LeadIDs {
		if it.Action == "decline" {
			if len(a.tx.ClientsByLead(a.c.Name, id)) > 0 {
				a.ours = true
				if err := a.k.drop(a.tx, a.c.Name, a.c.Account, "lead", id); err != nil {
					return err
				}
			}
			continue
		}
		if err := a.withLead(id, func(card *event.LeadCard) { card.MarkDirty(a.at) }); err != nil {
			return err
		}
	}
	return nil
}
