package amocrm

import (
	"context"
	"encoding/json"
	"net/http"
)

// CreateTextField makes a text field on leads or contacts, such as the marker
// field (amocrm-api.md §4.10). It needs an admin's token, else the error is a
// *Refused with status 403. It is not looked whether a field of that name exists;
// after an *InDoubt it may, and must be looked for before it is made again.
func (c *Client) CreateTextField(ctx context.Context, entity, name string) error {
	body, err := json.Marshal([]any{map[string]any{"name": name, "type": "text"}})
	if err != nil {
		return err
	}
	_, err = c.send(ctx, http.MethodPost, "/api/v4/"+entity+"/custom_fields", nil, body, nil)
	return err
}
