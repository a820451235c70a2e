// Package amocrm is the client of one amoCRM (Kommo) account: reads and bulk
// writes gathered from hundreds of callers into few requests, the order they go
// in, the account's pauses, and what an answer means for each item: its errors
// are the words the rest of the bridge decides by.
//
// Around it, each importing one way: budget is the transport beneath it, token
// its tokens, rest and lenient the shape of what it reads; dict loads the names
// of an account through it; items makes what it writes; hook decodes what
// amoCRM sends by itself; spelling is common to the last three.
//
// It keeps nothing: what must survive is the store's, reached through Ledger.
package amocrm
