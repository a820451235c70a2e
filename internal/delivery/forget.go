package delivery

import (
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// Forget forgets a person: what the store keeps by client, and the texts of
// their deals and tasks, whose links to amoCRM stay so that nothing is made twice.
func Forget(tx *store.Tx, conn, client string) error {
	if err := tx.Forget(conn, client); err != nil {
		return err
	}
	prefix := store.Key(conn, "")
	var deals, tasks []string
	err := store.Each(tx, store.Deals, prefix, func(key string, d event.Deal) bool {
		if d.Client == client && d.Last != nil {
			deals = append(deals, key)
		}
		return true
	})
	if err != nil {
		return err
	}
	err = store.Each(tx, store.Tasks, prefix, func(key string, t event.JivoTask) bool {
		if text(t.Last, "client", "client_id") == client {
			tasks = append(tasks, key)
		}
		return true
	})
	if err != nil {
		return err
	}
	for _, key := range deals {
		if err := changeRecord(tx, store.Deals, key, func(d *event.Deal) { d.Last = nil }); err != nil {
			return err
		}
	}
	for _, key := range tasks {
		if err := changeRecord(tx, store.Tasks, key, func(t *event.JivoTask) { t.Last = nil }); err != nil {
			return err
		}
	}
	return nil
}
