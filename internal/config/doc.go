// Package config reads config.yaml into a Config. It is strict: whatever it
// does not understand is a problem with its exact place in the file, and all
// problems are reported in one go (product.md §2). One table of keys drives the
// reader and the JSON Schema, so the two cannot disagree. The package composes
// the settings of the rooms below; none of them imports it.
package config
