package canary

import (
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"strings"
)

// leastDisguised is how long a run of hex or base64 is at least.
const leastDisguised = 12

// undisguise returns what Go makes of bytes it was not told are text: %v's
// [104 105], %x's 6869 and JSON's aGk=.
func undisguise(s string) string {
	var out strings.Builder
	for run := range strings.FieldsFuncSeq(s, notBase64) {
		if len(run) < leastDisguised {
			continue
		}
		if b, err := hex.DecodeString(run); err == nil {
			out.Write(b)
			out.WriteByte('\n')
		}
		for _, as := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			if b, err := as.DecodeString(run); err == nil {
				out.Write(b)
				out.WriteByte('\n')
			}
		}
	}
	for rest := s; ; {
		_, after, ok := strings.Cut(rest, "[")
		if !ok {
			return out.String()
		}
		list, _, _ := strings.Cut(after, "]")
		for n := range strings.FieldsSeq(list) {
			b, err := strconv.ParseUint(n, 10, 8)
			if err != nil {
				break
			}
			out.WriteByte(byte(b))
		}
		out.WriteByte('\n')
		rest = after
	}
}

func notBase64(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("+/-_", r)
}
