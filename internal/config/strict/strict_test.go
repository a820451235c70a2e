package strict

import (
	"fmt"
	"strings"
	"testing"
)

// What messages and the schema's defaults show is read back as the same value.
func TestSize_ShownIsReadBack(t *testing.T) {
	t.Parallel()
	for _, n := range []int64{0, 1, 1000, 1 << 10, 4 << 20, 3 << 40, 1<<20 + 1} {
		if got, ok := parseSize(showSize(n)); !ok || got != n {
			t.Errorf("%d shows as %s", n, showSize(n))
		}
	}
}

func TestParseSize(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{"0": 0, "512": 512, "512B": 512, "1KB": 1000, "1 MB": 1e6, "2GB": 2e9, "1TB": 1e12, "1KiB": 1024, "4MiB": 4 << 20, "1GiB": 1 << 30, "1TiB": 1 << 40} {
		if got, ok := parseSize(text); !ok || got != want {
			t.Errorf("%s is %d, %v", text, got, ok)
		}
	}
	for _, text := range []string{"", "B", "MiB", "-1", "1.5MiB", "4Mib", "4M", "4iB", "4MBB", "9999999TiB", "99999999999999999999", "1  MB"} {
		if got, ok := parseSize(text); ok {
			t.Errorf("%q is taken as %d", text, got)
		}
	}
}

func TestDidYouMean_OneSlipForEveryThreeLetters(t *testing.T) {
	t.Parallel()
	keys := []string{"listen", "limits", "log", "data", "tls", "retention", "webhook_secret"}
	for got, want := range map[string]string{
		"lisen": "listen", "listne": "listen", "LISTEN": "listen", "limit": "limits", "lg": "log", "webhook_secert": "webhook_secret", "webhooksecret": "webhook_secret",
		"dta": "data", "frobnicate": "", "": "", "x": "", "дата": "", strings.Repeat("l", 100): "",
	} {
		if want != "" {
			want = fmt.Sprintf("; did you mean %q?", want)
		}
		if near := didYouMean(got, keys); near != want {
			t.Errorf("%q: %q, want %q", got, near, want)
		}
	}
}
