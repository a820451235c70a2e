package phone

import "testing"

func TestE164_OneFormForEveryWayOfWriting(t *testing.T) {
	for _, c := range []struct{ raw, region, want string }{
		{"+7 999 000-00-01", "RU", "+79990000001"},
		{"8 (999) 000-00-01", "RU", "+79990000001"},
		{"9990000001", "RU", "+79990000001"},
		{"79990000001", "RU", "+79990000001"},
		{"79990000001", "US", "+79990000001"},
		{"+14084987855", "RU", "+14084987855"},
		{"(408) 498-7855", "US", "+14084987855"},
		{"+458745457845", "RU", ""},
		{"", "RU", ""},
		{"call me", "RU", ""},
	} {
		got, _ := E164(c.raw, c.region)
		if got != c.want {
			t.Errorf("E164(%q, %s) = %q, want %q", c.raw, c.region, got, c.want)
		}
	}
}

func TestSoft_KeepsOddNumbers(t *testing.T) {
	for raw, want := range map[string]string{
		"+458745457845": "+458745457845",
		"8 999 0000001": "+79990000001",
		"333":           "333",
		"-":             "",
	} {
		if got := Soft(raw, "RU"); got != want {
			t.Errorf("Soft(%q) = %q, want %q", raw, got, want)
		}
	}
}

func TestNational_IsWhatTheSearchIsAskedFor(t *testing.T) {
	for num, want := range map[string]string{
		"+79990000001":  "9990000001",
		"+14084987855":  "4084987855",
		"+458745457845": "8745457845",
	} {
		if got := National(num, "RU"); got != want {
			t.Errorf("National(%q) = %q, want %q", num, got, want)
		}
	}
}

func TestEmail(t *testing.T) {
	for raw, want := range map[string]string{
		" A@Example.com\n": "a@example.com",
		"nobody":           "",
		"@x":               "",
		"x@":               "",
		"a b@c.d":          "",
	} {
		if got := Email(raw); got != want {
			t.Errorf("Email(%q) = %q, want %q", raw, got, want)
		}
	}
}
