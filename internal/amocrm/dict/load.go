package dict

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"

	"github.com/jivo-amocrm/bridge/internal/amocrm"
	"github.com/jivo-amocrm/bridge/internal/amocrm/lenient"
	"github.com/jivo-amocrm/bridge/internal/amocrm/spelling"
)

// getter is the one thing loading needs of the Client.
type getter interface {
	Get(ctx context.Context, path string, query url.Values, out any) (status int, err error)
}

const (
	pageSize = 250 // the most a list gives (amocrm-api.md §1)
	maxPages = 100 // a list that never ends is somebody's mistake
)

// Load reads the account and everything that has a name in it: some
// eight requests, side by side once the account itself has answered. A token
// without the right to read users, or an account without loss reasons, is no error.
func Load(ctx context.Context, c getter) (*Snapshot, error) {
	d := &Snapshot{}
	if err := d.loadAccount(ctx, c); err != nil {
		return nil, fmt.Errorf("read account: %w", err)
	}
	fields := map[string]*[]Field{spelling.Leads: {}, spelling.Contacts: {}, spelling.Companies: {}}
	lists := []struct {
		what string
		load func() error
	}{
		{"pipelines", func() error { return d.loadPipelines(ctx, c) }},
		{"users", func() error { return d.loadUsers(ctx, c) }},
		{"fields of leads", func() error { return loadFields(ctx, c, spelling.Leads, fields[spelling.Leads]) }},
		{"fields of contacts", func() error { return loadFields(ctx, c, spelling.Contacts, fields[spelling.Contacts]) }},
		{"fields of companies", func() error { return loadFields(ctx, c, spelling.Companies, fields[spelling.Companies]) }},
		{"loss reasons", func() error { return d.loadLossReasons(ctx, c) }},
	}
	failures := make([]error, len(lists))
	var reading sync.WaitGroup
	for i, list := range lists {
		reading.Go(func() {
			if err := list.load(); err != nil {
				failures[i] = fmt.Errorf("read %s: %w", list.what, err)
			}
		})
	}
	reading.Wait()
	for _, err := range failures { // they fail for one reason: the first tells it
		if err != nil {
			return nil, err
		}
	}
	d.Fields = map[string][]Field{}
	for entity, list := range fields {
		if len(*list) > 0 {
			d.Fields[entity] = *list
		}
	}
	return d, nil
}

func (d *Snapshot) loadAccount(ctx context.Context, c getter) error {
	var a struct {
		ID            int64  `json:"id"`
		Name          string `json:"name"`
		Subdomain     string `json:"subdomain"`
		Country       string `json:"country"`
		CurrentUserID int64  `json:"current_user_id"`
		FilterEnabled bool   `json:"is_api_filter_enabled"`
		Embedded      struct {
			Time struct {
				Timezone string `json:"timezone"`
				Offset   string `json:"timezone_offset"`
			} `json:"datetime_settings"`
		} `json:"_embedded"`
	}
	query := url.Values{"with": {"datetime_settings,is_api_filter_enabled"}}
	if _, err := c.Get(ctx, "/api/v4/account", query, &a); err != nil {
		return err
	}
	d.AccountID, d.Name, d.Subdomain, d.Country = a.ID, a.Name, a.Subdomain, a.Country
	d.Timezone, d.TimezoneOffset = a.Embedded.Time.Timezone, a.Embedded.Time.Offset
	d.CurrentUserID = a.CurrentUserID
	d.FilterEnabled = a.FilterEnabled
	return nil
}

func (d *Snapshot) loadPipelines(ctx context.Context, c getter) error {
	type stage struct {
		ID         int64  `json:"id"`
		Name       string `json:"name"`
		Sort       int    `json:"sort"`
		PipelineID int64  `json:"pipeline_id"`
		Type       int    `json:"type"`
	}
	type pipeline struct {
		ID       int64  `json:"id"`
		Name     string `json:"name"`
		Sort     int    `json:"sort"`
		Main     bool   `json:"is_main"`
		Archived bool   `json:"is_archive"`
		Embedded struct {
			Statuses lenient.Many[stage] `json:"statuses"`
		} `json:"_embedded"`
	}
	_, err := eachPage(ctx, c, "/api/v4/leads/pipelines", "pipelines", func(p pipeline) {
		info := Pipeline{ID: p.ID, Name: p.Name, Sort: p.Sort, Main: p.Main, Archived: p.Archived}
		for _, s := range p.Embedded.Statuses {
			info.Stages = append(info.Stages, Stage{ID: s.ID, PipelineID: p.ID, Name: s.Name, Sort: s.Sort, Unsorted: s.Type == 1})
		}
		slices.SortStableFunc(info.Stages, func(a, b Stage) int { return a.Sort - b.Sort })
		d.Pipelines = append(d.Pipelines, info)
	})
	slices.SortStableFunc(d.Pipelines, func(a, b Pipeline) int { return a.Sort - b.Sort })
	return err
}

// loadUsers takes a refusal for an answer: only an admin's token may read
// users (amocrm-api.md §4.9).
func (d *Snapshot) loadUsers(ctx context.Context, c getter) error {
	type user struct {
		ID     int64  `json:"id"`
		Name   string `json:"name"`
		Email  string `json:"email"`
		Rights struct {
			Admin  bool  `json:"is_admin"`
			Active *bool `json:"is_active"`
		} `json:"rights"`
	}
	status, err := eachPage(ctx, c, "/api/v4/users", "users", func(u user) {
		active := u.Rights.Active == nil || *u.Rights.Active
		d.Users = append(d.Users, User{ID: u.ID, Name: u.Name, Email: u.Email, Active: active, Admin: u.Rights.Admin})
	})
	if status == http.StatusNotFound || lacksRight(status, err) {
		d.Users = nil
		return nil
	}
	d.UsersReadable = err == nil
	return err
}

// loadFields takes a refusal of the companies' fields for an answer: a token without
// the right to see companies writes no more of them than a name. The leads' and
// contacts' must be read, for the markers are among them.
func loadFields(ctx context.Context, c getter, entity string, into *[]Field) error {
	type field struct {
		ID       int64              `json:"id"`
		Name     string             `json:"name"`
		Code     string             `json:"code"`
		Type     string             `json:"type"`
		Sort     int                `json:"sort"`
		Computed bool               `json:"is_computed"`
		Enums    lenient.Many[Enum] `json:"enums"`
	}
	status, err := eachPage(ctx, c, "/api/v4/"+entity+"/custom_fields", "custom_fields", func(f field) {
		*into = append(*into,
			Field{ID: f.ID, Name: f.Name, Code: f.Code, Type: f.Type, Sort: f.Sort, Computed: f.Computed, Enums: f.Enums})
	})
	if entity == spelling.Companies && lacksRight(status, err) {
		*into = nil
		return nil
	}
	return err
}

func (d *Snapshot) loadLossReasons(ctx context.Context, c getter) error {
	status, err := eachPage(ctx, c, "/api/v4/leads/loss_reasons", "loss_reasons", func(r LossReason) {
		d.LossReasons = append(d.LossReasons, r)
	})
	if status == http.StatusNotFound || lacksRight(status, err) {
		return nil
	}
	return err
}

// lacksRight tells the 403 of a missing right from that of a ban.
func lacksRight(status int, err error) bool {
	trouble := amocrm.TroubleOf(err)
	return trouble == amocrm.Forbidden || status == http.StatusForbidden && trouble == ""
}

// eachPage walks a HAL list to its end: an empty answer (204), an empty page,
// or a page without a next link. The link itself is not followed: it may point
// past the end or at another host (amocrm-api.md §1).
func eachPage[T any](ctx context.Context, c getter, path, collection string, fn func(T)) (status int, err error) {
	for page := 1; page <= maxPages; page++ {
		var list struct {
			Links struct {
				Next *struct{} `json:"next"`
			} `json:"_links"`
			Embedded map[string]lenient.Many[json.RawMessage] `json:"_embedded"`
		}
		query := url.Values{"page": {strconv.Itoa(page)}, "limit": {strconv.Itoa(pageSize)}}
		status, err = c.Get(ctx, path, query, &list)
		if err != nil {
			return status, err
		}
		items := list.Embedded[collection]
		for _, raw := range items {
			var item T
			if json.Unmarshal(raw, &item) == nil { // one of a wrong shape must not cost the others
				fn(item)
			}
		}
		if len(items) == 0 || list.Links.Next == nil {
			return status, nil
		}
	}
	return status, nil
}
