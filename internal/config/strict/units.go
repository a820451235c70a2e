package strict

import (
	"math"
	"strconv"
	"strings"
)

const sizeForm = `^[0-9]+ ?(?:B|KB|MB|GB|TB|KiB|MiB|GiB|TiB)?$`

// parseSize reads a number of bytes: 4MiB, 1GB (powers of ten), 512.
func parseSize(s string) (int64, bool) {
	digits := strings.TrimRight(s, "BKMGTi")
	unit := int64(1)
	switch s[len(digits):] {
	case "", "B":
	case "KB":
		unit = 1e3
	case "MB":
		unit = 1e6
	case "GB":
		unit = 1e9
	case "TB":
		unit = 1e12
	case "KiB":
		unit = 1 << 10
	case "MiB":
		unit = 1 << 20
	case "GiB":
		unit = 1 << 30
	case "TiB":
		unit = 1 << 40
	default:
		return 0, false
	}
	n, err := strconv.ParseUint(strings.TrimSuffix(digits, " "), 10, 63)
	if err != nil || int64(n) > math.MaxInt64/unit {
		return 0, false
	}
	return int64(n) * unit, true
}

// showSize writes a number of bytes with the largest unit that divides it.
func showSize(n int64) string {
	for _, u := range []struct {
		name string
		size int64
	}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if n >= u.size && n%u.size == 0 {
			return strconv.FormatInt(n/u.size, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10)
}
