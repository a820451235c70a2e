package spelling

import "testing"

func TestPrice_ReadsMoney(t *testing.T) {
	for text, want := range map[string]float64{
		"15000": 15000, "15 000": 15000, "15 000,50": 15000.5, "15,000": 15000, "15,000.50": 15000.5, "15000.5": 15000.5, "0": 0,
		"15\u00a0000": 15000,
	} {
		if got, ok := Price(text); !ok || got != want {
			t.Errorf("%q: %v %t, want %v", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "много", "15000 ₽", "-5", "1e9", "Inf", "99999999999999999999"} {
		if got, ok := Price(text); ok {
			t.Errorf("%q read as %v", text, got)
		}
	}
}

func TestFold_NamesAreComparedAsPeopleWriteThem(t *testing.T) {
	for a, b := range map[string]string{
		" Первичный  КОНТАКТ ": "первичный контакт", "Пётр": "петр", "Cafe\u0301": "café", "Тёплый": "ТЕПЛЫЙ",
	} {
		if Fold(a) != Fold(b) {
			t.Errorf("%q is not %q", a, b)
		}
	}
}

func TestTexts_KeepNothingAmoCRMRefuses(t *testing.T) {
	if got := Text("\x00 a\xff\r\nb\tc\rd\x07 "); got != "a\uFFFD\nb\tc\nd" {
		t.Errorf("%q", got)
	}
	if got := Line("a\r\nb\tc\u2028d"); got != "a b c d" {
		t.Errorf("%q", got)
	}
	if got := Cut("привет мир", 7); got != "привет" {
		t.Errorf("%q", got)
	}
}
