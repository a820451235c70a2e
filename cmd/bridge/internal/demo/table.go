package demo

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/term"
)

// board prints the acts: drawn anew with each change on a terminal, else once.
type board struct {
	w     io.Writer
	acts  []*act
	live  bool
	drawn int // lines on the screen
}

func (t *board) show() {
	if t.live {
		t.draw()
	}
}

func (t *board) final() { t.draw() }

func (t *board) draw() {
	var b strings.Builder
	tw := tabwriter.NewWriter(&b, 0, 4, 2, ' ', 0)
	fmt.Fprintln(tw, "VISITOR\tWHAT HAPPENS\tCONTACT\tLEAD\tSTAGE\tWHAT THE OPERATOR SAW")
	for _, a := range t.acts {
		contact, lead, stage := a.inAmo()
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\n", a.who, a.what, contact, lead, stage, orDash(a.saw))
	}
	_ = tw.Flush() // a strings.Builder does not fail
	text := b.String()
	if t.live {
		text = fit(text, t.width())
	}
	if t.drawn > 0 {
		fmt.Fprintf(t.w, "\x1b[%dA\x1b[J", t.drawn)
	}
	t.drawn = strings.Count(text, "\n")
	fmt.Fprint(t.w, text)
}

// width is the terminal's.
func (t *board) width() int {
	if f, ok := t.w.(*os.File); ok {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil {
			return w
		}
	}
	return 80
}

// fit cuts lines to the terminal's width: one that wraps would spoil the redraw.
func fit(text string, width int) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		r := []rune(strings.TrimSuffix(line, "\n"))
		if len(r) > width-1 {
			r = append(r[:max(width-2, 0)], '…')
		}
		b.WriteString(string(r) + "\n")
	}
	return b.String()
}

// inAmo is what stands in amoCRM for the act.
func (a *act) inAmo() (contact, lead, stage string) {
	contact, lead, stage = "-", "-", "-"
	for _, l := range a.leads() {
		if len(l.Contacts) > 0 {
			contact = "#" + strconv.FormatInt(l.Contacts[0].ID, 10)
		}
		lead = "#" + strconv.FormatInt(l.ID, 10)
		_, stage = a.s.amo.StageName(l.PipelineID, l.StatusID)
	}
	return contact, lead, stage
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// ms prints a duration in milliseconds.
func ms(d time.Duration) string {
	return strconv.FormatFloat(float64(d.Microseconds())/1000, 'f', 1, 64) + " ms"
}
