package emulator

import (
	"time"

	"github.com/jivo-amocrm/bridge/internal/emulator/book"
)

func (o Options) withDefaults() Options {
	def := func(p *string, v string) {
		if *p == "" {
			*p = v
		}
	}
	def(&o.Subdomain, "demo")
	def(&o.Country, "RU")
	def(&o.Timezone, "Europe/Moscow")
	def(&o.ClientID, "0a1b2c3d-0000-4000-8000-00000000c1d1")
	def(&o.ClientSecret, "emulated-client-secret")
	def(&o.RedirectURI, "https://bridge.example/oauth/amo")
	if o.AccountID == 0 {
		o.AccountID = 31000001
	}
	if o.RPS == 0 {
		o.RPS = 7
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Users == nil {
		o.Users = DefaultUsers()
	}
	if o.Pipelines == nil {
		o.Pipelines = DefaultPipelines()
	}
	return o
}

// book opens the book such an account starts with.
func (o Options) book() *book.Book {
	b := book.New(book.Profile{
		AccountID: o.AccountID, Subdomain: o.Subdomain, Host: o.Domain, Country: o.Country, Timezone: o.Timezone,
		Users: o.Users, Pipelines: o.Pipelines, NoMarker: o.NoMarker,
	})
	if o.Token != "" {
		b.Access[o.Token] = 0
	}
	return b
}
