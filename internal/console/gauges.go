package console

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/jivo-amocrm/bridge/internal/event"
)

// Gauges is the state of the bridge at the moment of a scrape.
type Gauges struct {
	StoreSize   int64 // bytes
	Connections []ConnectionGauges
}

// ConnectionGauges is the state of one connection. A zero time is a thing that
// is not known: its metric is left out.
type ConnectionGauges struct {
	Name                  string
	Removed               bool // from the config: nothing but its counts is shown, while its queue stands still
	Pending, Parked, Dead int
	Oldest                time.Time // receive time of the oldest pending event
	Paused                string    // why the account is paused, "" if it is not
	TokenExpires          time.Time
	LastHook              time.Time // when the last amoCRM hook was received
}

// pauseReasons are the troubles that pause a connection (product.md §8.5). Each
// has a series that is 0 or 1, so that alerts see it come and go.
func pauseReasons() []string {
	return []string{"unreachable", "unavailable", "bad_answer", "unpaid", "unauthorized", "needs_auth", "banned", "rate_limited"}
}

// WatchGauges registers the gauges that are read at scrape time. read is called
// once per scrape, by any goroutine, and should be quick.
func WatchGauges(reg prometheus.Registerer, read func() Gauges) {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, labels, nil)
	}
	reg.MustRegister(&gauges{
		read:   read,
		now:    time.Now,
		events: desc("events", "Events that are not settled for good.", "connection", "state"),
		oldest: desc("oldest_pending_seconds", "Age of the oldest pending event, 0 if there is none.", "connection"),
		paused: desc("amocrm_paused", "1 while nothing is sent to amoCRM, by reason.", "connection", "reason"),
		expiry: desc("token_expiry_timestamp_seconds", "When the connection's token ends.", "connection"),
		hook:   desc("hook_age_seconds", "Time since the last amoCRM hook.", "connection"),
		size:   desc("store_size_bytes", "Size of the store's file."),
	})
}

type gauges struct {
	read func() Gauges
	now  func() time.Time

	events, oldest, paused, expiry, hook, size *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (g *gauges) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{g.events, g.oldest, g.paused, g.expiry, g.hook, g.size} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (g *gauges) Collect(ch chan<- prometheus.Metric) {
	set := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	now, s := g.now(), g.read()
	set(g.size, float64(s.StoreSize))
	for _, c := range s.Connections {
		set(g.events, float64(c.Pending), c.Name, string(event.Pending))
		set(g.events, float64(c.Parked), c.Name, string(event.Parked))
		set(g.events, float64(c.Dead), c.Name, string(event.Dead))
		if c.Removed {
			continue
		}
		set(g.oldest, age(now, c.Oldest), c.Name)
		if !c.TokenExpires.IsZero() {
			set(g.expiry, float64(c.TokenExpires.Unix()), c.Name)
		}
		if !c.LastHook.IsZero() {
			set(g.hook, age(now, c.LastHook), c.Name)
		}
		g.pauses(c, set)
	}
}

func (g *gauges) pauses(c ConnectionGauges, set func(*prometheus.Desc, float64, ...string)) {
	named := c.Paused == ""
	for _, reason := range pauseReasons() {
		if reason == c.Paused {
			named = true
			set(g.paused, 1, c.Name, reason)
			continue
		}
		set(g.paused, 0, c.Name, reason)
	}
	if !named {
		set(g.paused, 1, c.Name, c.Paused)
	}
}

// age is the time from t to now in seconds: 0 for no time, or one ahead of a
// clock that was set back.
func age(now, t time.Time) float64 {
	if t.IsZero() || t.After(now) {
		return 0
	}
	return now.Sub(t).Seconds()
}
