package app_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jivo-amocrm/bridge/internal/emulator"
)

// logBook keeps the log.
type logBook struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *logBook) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

// take returns what was logged since it was last called.
func (b *logBook) take() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer b.text.Reset()
	return b.text.String()
}

const unknownNames = `marker_field: Jivo ids
`

const unknownNamesRules = `agents: {"*": nobody@example.com}
rules:
  - name: r
    on: [chat_accepted]
    contact: {find: [phone], create: true, phone: '{{ visitor.phone }}'}
    lead: {find: [open], create: true, stage: Первичный контак, name: Сделка, fields: {Откуда: x}}
`

// What the config names and the account does not have is said when the account has
// been read, before a chat goes without it, each with its place; the gauge follows
// what is made and mended.
func TestNames_MissingOnesAreSaidAtTheStart(t *testing.T) {
	var log logBook
	inLab(t, labSetup{amocrm: unknownNames, conn: unknownNamesRules, log: &log}, func(l *lab) {
		said := func(when string, want ...string) {
			t.Helper()
			text := log.take()
			for _, w := range want {
				if strings.Count(text, w) != 1 {
					t.Errorf("%s, the log has %q %d times:\n%s", when, w, strings.Count(text, w), text)
				}
			}
			if n := strings.Count(text, "level=WARN"); n != len(want) {
				t.Errorf("%s, %d warnings, want %d:\n%s", when, n, len(want), text)
			}
			if strings.Contains(text, "nobody@") {
				t.Errorf("%s, the log has a person's address", when)
			}
		}
		gauge := func(when string, want int) {
			t.Helper()
			c := &http.Client{Transport: &http.Transport{DialContext: l.desk.dial, DisableKeepAlives: true}}
			res, err := c.Get("http://127.0.0.1:2/metrics")
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			text, err := io.ReadAll(res.Body)
			if err != nil {
				t.Fatal(err)
			}
			if line := fmt.Sprintf("\nbridge_unresolved_names{connection=\"shop\"} %d\n", want); !strings.Contains(string(text), line) {
				t.Errorf("%s, the metrics have no %s", when, line)
			}
		}
		const (
			stage = `kind=stage at=lab.yaml:19:51 name="Первичный контак" nearest="Первичный контакт"`
			field = `kind=field at=lab.yaml:19:92 name=Откуда`
			user  = `kind=user at=lab.yaml:14:19`
		)
		markers := []string{`field="Jivo ids" on=leads`, `field="Jivo ids" on=contacts`}
		said("at the start", append(markers, stage, field, user)...)
		gauge("at the start", 3)

		l.tell(visitors(1)[0].accepted())
		l.settle(time.Hour)
		log.take() // the event's own complaints
		gauge("after a chat", 3)

		l.amo.AddField("leads", emulator.FieldDef{Name: "Откуда", Type: "text"})
		time.Sleep(61 * time.Minute) // the dictionary is read again
		said("with the field made")
		gauge("with the field made", 2)

		l.text = replaceOnce(l.text, "Первичный контак,", "Первичный контакт,")
		l.app.Reload()
		said("with the stage mended", append(markers, user)...)
		gauge("with the stage mended", 1)
	})
}
