package demo

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/jivo-amocrm/bridge/internal/emulator"
	"github.com/jivo-amocrm/bridge/internal/emulator/site"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// eventsEach is how many events a visitor of the load generator causes.
const eventsEach = 4

// load plays many visitors at a rate, on an open loop: an event goes when it is
// due, however the ones before it fare, and its latency counts from then.
func (c Config) load(ctx context.Context, s *stage) (int, error) {
	if err := s.ready(ctx); err != nil {
		return 0, err
	}
	fmt.Fprintf(c.Out, "%d new visitors, %d events each, %g events a second; amoCRM answers in 150 ms, 7 requests a second.\n", c.Visitors, eventsEach, c.Rate)
	before := s.amo.Report()
	began := time.Now()
	sent, failed := c.fire(ctx, s)
	fired := time.Since(began)
	// 50 items a request, 7 requests a second, and room for what comes after.
	patience := timeout + time.Duration(sent)*100*time.Millisecond
	s.calm(ctx, patience)
	took := time.Since(began)
	settled := s.settle(ctx, patience)
	r := s.amo.Report()
	requests := r.Requests - before.Requests

	tw := tabwriter.NewWriter(c.Out, 0, 4, 2, ' ', 0)
	row := func(name, format string, v ...any) { fmt.Fprintf(tw, "%s\t%s\n", name, fmt.Sprintf(format, v...)) }
	slices.Sort(s.acks)
	row("events sent", "%d in %.1f s (%.0f a second), %d not answered 200", sent, fired.Seconds(), float64(sent)/fired.Seconds(), failed)
	row("acks", "p50 %s, p99 %s, max %s", ms(percentile(s.acks, 50)), ms(percentile(s.acks, 99)), ms(percentile(s.acks, 100)))
	row("settled", "%.1f s after the first event, at %.1f requests a second", took.Seconds(), float64(requests)/took.Seconds())
	row("requests to amoCRM", "%d: %.3f per event; at most %d in any second", requests, float64(requests)/float64(max(sent, 1)), r.MaxInSecond)
	row("leads per request", "%s", perRequest(len(s.amo.Leads()), r, "POST", "/leads/complex"))
	row("notes per request", "%s", perRequest(len(s.amo.AllNotes()), r, "POST", "/notes"))
	row("requests by endpoint", "%s", byEndpoint(r))
	row("memory", "%s", memory())
	_ = tw.Flush() // stdout's errors show themselves

	var faults []string
	if failed > 0 {
		faults = append(faults, fmt.Sprintf("%d events were not answered 200", failed))
	}
	if n := len(s.amo.Leads()); n != c.Visitors {
		faults = append(faults, fmt.Sprintf("%d leads instead of %d", n, c.Visitors))
	}
	faults = append(faults, s.verify(nil, settled)...)
	verdict(c.Out, s, faults)
	if dead := s.count(store.Filter{State: event.Dead}); dead > 0 {
		fmt.Fprintf(c.Out, "%d events are dead; look at http://%s/dead\n", dead, s.app.AdminAddr())
	}
	return len(faults), nil
}

// fire sends every event at its time and waits for the answers.
func (c Config) fire(ctx context.Context, s *stage) (sent, failed int) {
	total := c.Visitors * eventsEach
	bar := progressbar.DefaultSilent(int64(total))
	if c.Progress != nil {
		bar = progressbar.NewOptions(total, progressbar.OptionSetWriter(c.Progress), progressbar.OptionShowCount(), progressbar.OptionClearOnFinish())
	}
	queue := bodies(c.Visitors)
	var wg sync.WaitGroup
	var mu sync.Mutex
	began := time.Now()
	last := map[int]chan struct{}{} // an event of a visitor goes after the one before was answered
	for i, b := range queue {
		meant := began.Add(time.Duration(float64(i) / c.Rate * float64(time.Second)))
		timer := time.NewTimer(time.Until(meant))
		select {
		case <-ctx.Done():
			timer.Stop()
			wg.Wait()
			return sent, failed
		case <-timer.C:
		}
		before := last[b.visitor]
		done := make(chan struct{})
		last[b.visitor] = done
		sent++
		wg.Go(func() {
			defer close(done)
			if before != nil {
				<-before
			}
			if _, err := s.sendAt(ctx, b.body, later(meant, before != nil)); err != nil {
				mu.Lock()
				failed++
				mu.Unlock()
			}
			_ = bar.Add(1)
		})
	}
	wg.Wait()
	_ = bar.Finish()
	return sent, failed
}

// later is from when a latency counts: an event that had to wait for its own
// visitor's one before was not meant to go earlier.
func later(meant time.Time, waited bool) time.Time {
	if waited {
		return time.Now()
	}
	return meant
}

type load struct {
	visitor int
	body    []byte
}

// bodies lists all events, the visitors' stories interleaved as they would be.
func bodies(visitors int) (out []load) {
	stories := make([][][]byte, visitors)
	for n := range stories {
		v := site.NewVisitor(11, n+1)
		v.Phone, v.Email = "", ""
		phone, email := v.Contacts()
		v.Phone = phone
		stories[n] = [][]byte{v.Accepted(), v.Updated("", email), v.ClientUpdated(), v.Finished("positive", false)}
	}
	const spread = 20 // so many visitors are under way at once
	for from := 0; from < visitors; from += spread {
		for i := range eventsEach {
			for n := from; n < min(from+spread, visitors); n++ {
				out = append(out, load{n, stories[n][i]})
			}
		}
	}
	return out
}

func percentile(sorted []time.Duration, p int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)*p/100, len(sorted)-1)]
}

func perRequest(items int, r emulator.Report, method, path string) string {
	n := 0
	for endpoint, count := range r.ByEndpoint {
		if strings.HasPrefix(endpoint, method) && strings.HasSuffix(endpoint, path) {
			n += count
		}
	}
	if n == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f (%d in %d requests)", float64(items)/float64(n), items, n)
}

// byEndpoint lists where the requests went, the most frequent first.
func byEndpoint(r emulator.Report) string {
	names := slices.SortedFunc(maps.Keys(r.ByEndpoint), func(a, b string) int { return r.ByEndpoint[b] - r.ByEndpoint[a] })
	parts := make([]string, len(names))
	for i, n := range names {
		parts[i] = fmt.Sprintf("%s %d", n, r.ByEndpoint[n])
	}
	return strings.Join(parts, ", ")
}

// memory is the process's own memory, without the mapped store file.
func memory() string {
	raw, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return "not known here"
	}
	for line := range strings.Lines(string(raw)) {
		if rest, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			kb, _ := strconv.Atoi(strings.Fields(rest)[0])
			return fmt.Sprintf("%.1f MiB (RssAnon, emulator and load generator included)", float64(kb)/1024)
		}
	}
	return "not known here"
}
