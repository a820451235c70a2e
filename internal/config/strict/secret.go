package strict

import (
	"fmt"
	"log/slog"
	"strings"
)

// hidden is what a Secret shows of itself, whoever asks.
const hidden = "<secret>"

// Secret is a value of the config that must never reach a log, an error, a
// metric or an API answer: every way of printing it says <secret>, and only
// Reveal gives the value. It is immutable and safe for concurrent use.
//
// The value sits behind a pointer because fmt does not call methods on
// unexported struct fields: it prints an address there, not the value.
type Secret struct{ value *string }

// NewSecret wraps a value.
func NewSecret(value string) Secret { return Secret{&value} }

// Reveal returns the value itself, "" if there is none. The caller owns the
// promise that it is not printed.
func (s Secret) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// IsZero reports whether there is no value.
func (s Secret) IsZero() bool { return s.Reveal() == "" }

// standIn stands for what a secret is made of and was not there
// (Source.StandIns). It passes for a secret of any kind.
const standIn = "stand-in-for-a-secret-of-the-config"

// IsStandIn reports whether the value was not to be had (Source.StandIns).
func (s Secret) IsStandIn() bool { return strings.Contains(s.Reveal(), standIn) }

// Equal reports whether both hold the same value. It is meant for comparing
// settings, not for authenticating: it takes no constant time.
func (s Secret) Equal(t Secret) bool { return s.Reveal() == t.Reveal() }

// Format prints <secret> for every verb and flag.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(hidden)) }

// String returns <secret>.
func (s Secret) String() string { return hidden }

// LogValue makes slog print <secret>.
func (s Secret) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalText makes JSON, XML, gob and map keys print <secret>.
func (s Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// MarshalYAML makes YAML print <secret>.
func (s Secret) MarshalYAML() (any, error) { return hidden, nil }
