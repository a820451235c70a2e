// Package token gives a Client its access tokens: a long-lived one, or an OAuth
// grant that rotates with every refresh (amocrm-api.md §2). x/oauth2 is not used:
// it posts a form, and has no hook for a refresh token that changes each time.
//
// It keeps nothing: a grant that must survive is the store's, reached through
// Store. The page people consent on, and the redirect back, are app's.
package token
