// Package strict reads YAML that people write along a table of keys. Whatever
// the table does not know is a problem with its exact place and the nearest
// name there is; all problems are found in one go; the same table makes the
// JSON Schema. Aliases, anchors, tags, merge keys and further documents are
// refused. It knows nothing of what the keys mean.
package strict
