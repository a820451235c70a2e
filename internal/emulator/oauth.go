package emulator

import "time"

// Grant is an admin's consent: it returns an authorisation code, good once and
// for 20 minutes.
func (a *Account) Grant() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.issuer.Code()
}

// Consent grants and returns the redirect amoCRM sends the admin's browser to
// (amocrm-api.md §2.1).
func (a *Account) Consent(state string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.issuer.Consent(state)
}

// Domain is the account's current host.
func (a *Account) Domain() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.book.Host()
}

// Rename gives the account another subdomain; with CheckHost the old host is
// refused from now on (amocrm-api.md §7.16).
func (a *Account) Rename(subdomain string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.book.Rename(subdomain)
}

// LongLivedToken makes a token without a refresh, as the integration's
// settings do; ttl 0 means five years.
func (a *Account) LongLivedToken(ttl time.Duration) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.issuer.LongLived(ttl)
}

// Revoke is an admin who disables the integration: every token is dead, long-lived ones too.
func (a *Account) Revoke() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.issuer.Revoke()
}

// AllowToken makes a token valid (again), without an end.
func (a *Account) AllowToken(token string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.issuer.Allow(token)
}
