// Package dict is the dictionary of an account: what its pipelines, stages,
// users, custom fields and loss reasons are called, read as one snapshot
// (amocrm-api.md §4.1, §4.9, §4.10) and asked by name, code or id.
//
// It is not a cache: who keeps a snapshot, and for how long, is upkeep's
// business. It decides nothing about what is written; that is items.
package dict
