package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/jivo-amocrm/bridge/internal/app"
)

type importCmd struct {
	configFlag
	Connection string `arg:"" help:"A connection of the config."`
	File       string `arg:"" help:"JSON lines: webhook bodies of Jivo as they came, or {\"received_at\": …, \"body\": …}; - is standard input."`
	JSON       bool   `name:"json" help:"Print JSON."`
}

// Run feeds saved webhooks to a connection. What arrived before is not doubled,
// and a state older than what came since is skipped as stale.
func (c importCmd) Run(e *env) error {
	cfg, err := c.loadForStore()
	if err != nil {
		return err
	}
	conn, err := connectionOf(cfg, c.Connection)
	if err != nil {
		return err
	}
	in, written, length, err := openInput(e, c.File)
	if err != nil {
		return err
	}
	defer in.Close()
	d, err := openDesk(e.ctx, cfg, false)
	if err != nil {
		return err
	}
	defer d.Close()
	ctx, stop := interruptible(e.ctx)
	defer stop()
	i := importer{desk: d, connection: conn.Name, file: written, longest: int(cfg.Limits.Body), bar: newBar(e.stderr, length, "import", true)}
	err = i.all(ctx, in)
	_ = i.bar.Finish()
	if e := c.print(e, i.counts, err); e != nil {
		return e
	}
	for _, line := range i.wrong {
		fmt.Fprintf(e.stderr, "bridge: error: %s\n", line)
	}
	if more := i.counts.Unreadable - len(i.wrong); more > 0 {
		fmt.Fprintf(e.stderr, "bridge: error: and %s more like these\n", plural(more, "line"))
	}
	goOn := "import the file again to go on: " + againMeans(i.counts)
	switch {
	case err == nil && i.counts.Unreadable > 0:
		fmt.Fprintf(e.stderr, "bridge: hint: mend these lines and import the file again: %s\n", againMeans(i.counts))
		return ended{exitWrong}
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return hinted{outside{errors.New("stopped")}, goOn}
	case errors.Is(err, app.ErrBacklog):
		return hinted{outside{err}, "let the bridge work them first, then " + goOn}
	}
	return err
}

// againMeans says what importing the same file again does to what is in. A line
// that is no event has nothing to be known again by.
func againMeans(n app.ImportCounts) string {
	if n.Unparsable == 0 {
		return "what is in is not doubled"
	}
	return "what is in is not doubled, but each unparsable line becomes one more dead event"
}

// openInput opens a file, or standard input; written is when it was.
func openInput(e *env, name string) (in io.ReadCloser, written time.Time, length int64, err error) {
	if name == "-" {
		return io.NopCloser(e.stdin), time.Now(), -1, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, written, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		_ = f.Close()
		return nil, written, 0, err
	}
	return f, info.ModTime(), info.Size(), nil
}

func (c importCmd) print(e *env, n app.ImportCounts, failed error) error {
	if c.JSON {
		return printJSON(e.stdout, n)
	}
	if failed != nil && n.Read == 0 {
		return nil
	}
	fmt.Fprintf(e.stdout, "read %s: %d taken, %d arrived before, %d stale, %d skipped, %d unparsable, %d too large",
		plural(n.Read, "event"), n.Taken, n.Repeats, n.Stale, n.Skipped, n.Unparsable, n.TooLarge)
	if n.Unreadable > 0 {
		fmt.Fprintf(e.stdout, ", %d not read", n.Unreadable)
	}
	fmt.Fprintln(e.stdout)
	return nil
}

// importer reads lines and hands them on in portions.
type importer struct {
	desk       desk
	connection string
	file       time.Time // when the file was written
	longest    int       // bytes of a body
	bar        *progressbar.ProgressBar

	counts app.ImportCounts
	wrong  []string // what is wrong with the first lines that make no sense
	lines  []app.ImportLine
	held   int // bytes in lines
	number int // of events, which times are made of
	line   int // of the file
}

// complaints is how many lines that make no sense are told of one by one.
const complaints = 20

// A portion is what is handed on in one go: so many lines or bytes.
const (
	portionLines = 200
	portionBytes = 1 << 20
)

func (i *importer) all(ctx context.Context, in io.Reader) error {
	r := bufio.NewReaderSize(in, 64<<10)
	for ctx.Err() == nil {
		line, size, err := readLine(r, 2*i.longest+(64<<10))
		_ = i.bar.Add(size)
		i.line++
		switch {
		case errors.Is(err, errLongLine):
			i.number++
			i.counts.Read++
			i.counts.TooLarge++
			continue
		case err != nil && !errors.Is(err, io.EOF):
			return fmt.Errorf("reading the file: %w", err)
		}
		last := err != nil
		if line = bytes.TrimSpace(line); len(line) > 0 {
			i.number++
			i.take(line)
		}
		if last || len(i.lines) >= portionLines || i.held >= portionBytes {
			if err := i.flush(ctx); err != nil {
				return err
			}
		}
		if last {
			return nil
		}
	}
	return ctx.Err()
}

// take reads a line. One that makes no sense does not hold up the rest.
func (i *importer) take(line []byte) {
	l, err := i.parse(line)
	if err != nil {
		i.counts.Read++
		i.counts.Unreadable++
		if len(i.wrong) < complaints {
			i.wrong = append(i.wrong, fmt.Sprintf("line %d: %v", i.line, err))
		}
		return
	}
	i.lines = append(i.lines, l)
	i.held += len(l.Body)
}

func (i *importer) flush(ctx context.Context) error {
	if len(i.lines) == 0 {
		return nil
	}
	n, err := i.desk.Import(ctx, i.connection, i.lines)
	i.counts.Add(n)
	i.lines, i.held = nil, 0
	return err
}

// errLongLine says that a line is longer than any event may be.
var errLongLine = errors.New("the line is too long")

// readLine reads one line of at most limit bytes; a longer one is passed over.
func readLine(r *bufio.Reader, limit int) (line []byte, size int, err error) {
	for {
		part, err := r.ReadSlice('\n')
		size += len(part)
		if size <= limit {
			line = append(line, part...)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if size > limit && (err == nil || errors.Is(err, io.EOF)) {
			return nil, size, errLongLine
		}
		return line, size, err
	}
}

// errTime says that nobody can tell when a wrapped body came; it does not quote
// what stands there.
var errTime = errors.New("received_at is no time such as 2026-11-01T10:00:00Z, and no unix seconds")

// timeOf reads received_at: a time in words, or unix seconds. Zero: there is none.
func timeOf(raw json.RawMessage) (at time.Time, err error) {
	var seconds int64
	switch {
	case raw == nil || string(raw) == "null":
		return at, nil
	case json.Unmarshal(raw, &seconds) == nil:
		// Milliseconds would be a year nobody can mean.
		if at = time.Unix(seconds, 0).UTC(); seconds <= 0 || at.Year() > 9999 {
			return at, errTime
		}
	case json.Unmarshal(raw, &at) != nil:
		return at, errTime
	}
	return at, nil
}

// parse tells a wrapped body from a raw one.
func (i *importer) parse(line []byte) (app.ImportLine, error) {
	var wrapped struct {
		ReceivedAt json.RawMessage `json:"received_at"`
		Body       json.RawMessage `json:"body"`
		Name       json.RawMessage `json:"event_name"`
	}
	raw := app.ImportLine{Body: string(line), File: i.file, At: i.file.Add(time.Duration(i.number))}
	if err := json.Unmarshal(line, &wrapped); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) && bytes.Contains(line, []byte(`"received_at"`)) && !bytes.Contains(line, []byte(`"event_name"`)) {
			return raw, fmt.Errorf("received_at and body are wanted: no JSON at byte %d", syntax.Offset)
		}
		return raw, nil // not JSON as it should be: the journal keeps it, and says why
	}
	if wrapped.Name != nil || wrapped.Body == nil && wrapped.ReceivedAt == nil {
		return raw, nil
	}
	if wrapped.Body == nil {
		return raw, errors.New("received_at stands without a body")
	}
	at, err := timeOf(wrapped.ReceivedAt)
	if err != nil {
		return raw, fmt.Errorf("received_at and body are wanted: %w", err)
	}
	body := string(wrapped.Body)
	if text := ""; json.Unmarshal(wrapped.Body, &text) == nil {
		body = text
	}
	if at.IsZero() {
		raw.Body = body
		return raw, nil
	}
	return app.ImportLine{Body: body, At: at}, nil
}
