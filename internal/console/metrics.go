package console

import (
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/jivo-amocrm/bridge/internal/amocrm/hook"
	"github.com/jivo-amocrm/bridge/internal/event"
)

const namespace = "bridge"

// Buckets, in seconds. An acknowledgement is a fsync (reliability.md L1: p99 of
// 25 and 50 ms), a settled event may have waited out a week of trouble.
var (
	fastBuckets  = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10}
	replyBuckets = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 1.5, 2, 3, 10}
	callBuckets  = []float64{.05, .1, .25, .5, 1, 2.5, 5, 10, 15, 30}
	waitBuckets  = []float64{.01, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300}
	syncBuckets  = []float64{.25, .5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 21600, 86400, 604800}
	itemBuckets  = []float64{1, 2, 5, 10, 20, 30, 40, 50, 100, 250}
)

// Metrics holds every metric of product.md §5. Its methods are what the other
// rooms report to; all of them are safe for concurrent use and never block.
// Labels come from closed sets: connection names of the config, event kinds
// somebody knows (others are "other"), words of the code; never an id.
type Metrics struct {
	kinds map[string]struct{}

	received, refused, settled  *prometheus.CounterVec
	ack, reply, sync            *prometheus.HistogramVec
	requests                    *prometheus.CounterVec
	requestTime, batch, limiter *prometheus.HistogramVec
	inDoubt, card               *prometheus.CounterVec
	unresolved                  *prometheus.GaugeVec
	commit                      prometheus.Histogram
	reloaded                    prometheus.Gauge
}

// NewMetrics registers the metrics with reg, together with the Go and process
// collectors and build_info for this version. kinds are Jivo's event names that
// are known (jivo.Kinds). What is read at scrape time is added by WatchGauges.
// A registry takes one Metrics only: a second one panics.
func NewMetrics(reg prometheus.Registerer, version string, kinds []string) *Metrics {
	f := promauto.With(reg)
	m := &Metrics{kinds: knownKinds(kinds)}

	m.received = counter(f, "events_received_total", "Events acknowledged, that is on disk.", "connection", "source", "kind")
	m.refused = counter(f, "events_refused_total", "Requests refused before they were on disk; a refused Jivo event is a lost chat.", "connection", "source", "why")
	m.settled = counter(f, "events_settled_total", "Events settled, by the state they ended in.", "connection", "source", "kind", "state")
	m.ack = histogram(f, "ack_seconds", "From receive to commit.", fastBuckets, "source")
	m.reply = histogram(f, "reply_seconds", "From receive to answer, of Jivo's events.", replyBuckets, "kind")
	m.sync = histogram(f, "sync_seconds", "From receive to settled.", syncBuckets, "connection")
	m.requests = counter(f, "amocrm_requests_total", "Requests to amoCRM; code is none when no answer came.", "connection", "method", "endpoint", "code")
	m.requestTime = histogram(f, "amocrm_request_seconds", "Time of one request to amoCRM.", callBuckets, "connection", "endpoint")
	m.batch = histogram(f, "amocrm_batch_items", "Items that shared one request to amoCRM.", itemBuckets, "connection", "endpoint")
	m.limiter = histogram(f, "amocrm_limiter_wait_seconds", "Wait for the account's request budget.", waitBuckets, "connection")
	m.inDoubt = counter(f, "in_doubt_total", "Writes whose answer was lost, by what the look-up ended in.", "connection", "outcome")
	m.card = counter(f, "reply_card_total", "Replies to Jivo, by the freshness of the card in them.", "connection", "result")
	m.unresolved = f.NewGaugeVec(gauge("unresolved_names", "Names in the config that the account does not have."), []string{"connection"})
	m.commit = f.NewHistogram(prometheus.HistogramOpts{Namespace: namespace, Name: "store_commit_seconds",
		Help: "Time of one commit of the store, fsync included.", Buckets: fastBuckets})
	m.reloaded = f.NewGauge(gauge("config_last_reload_successful", "1 if the last reading of the config succeeded."))
	m.reloaded.Set(1)

	f.NewGaugeFunc(buildInfo(version), func() float64 { return 1 })
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func counter(f promauto.Factory, name, help string, labels ...string) *prometheus.CounterVec {
	return f.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
}

func histogram(f promauto.Factory, name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return f.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets}, labels)
}

func gauge(name, help string) prometheus.GaugeOpts {
	return prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help}
}

func buildInfo(version string) prometheus.GaugeOpts {
	revision := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				revision = s.Value
			}
		}
	}
	o := gauge("build_info", "What is running; always 1.")
	o.ConstLabels = prometheus.Labels{"version": version, "revision": revision, "goversion": runtime.Version()}
	return o
}

// Received counts an acknowledged event.
func (m *Metrics) Received(connection string, source event.Source, kind string) {
	m.received.WithLabelValues(connection, string(source), m.kind(kind)).Inc()
}

// Refused counts a request that was refused before it was on disk. connection
// is "" when the URL named none that exists; why is a word of intake's.
func (m *Metrics) Refused(connection string, source event.Source, why string) {
	m.refused.WithLabelValues(connection, string(source), why).Inc()
}

// Acked observes the time from receive to commit.
func (m *Metrics) Acked(source event.Source, d time.Duration) {
	m.ack.WithLabelValues(string(source)).Observe(d.Seconds())
}

// Replied observes the time from receive to answer of a Jivo event.
func (m *Metrics) Replied(kind string, d time.Duration) {
	m.reply.WithLabelValues(m.kind(kind)).Observe(d.Seconds())
}

// Settled counts an event that came to its end, seconds after it was received.
func (m *Metrics) Settled(connection string, source event.Source, kind string, state event.State, seconds float64) {
	m.settled.WithLabelValues(connection, string(source), m.kind(kind), string(state)).Inc()
	m.sync.WithLabelValues(connection).Observe(seconds)
}

// InDoubt counts a look-up of a write whose answer was lost.
func (m *Metrics) InDoubt(connection, outcome string) {
	m.inDoubt.WithLabelValues(connection, outcome).Inc()
}

// Card counts a reply by its card: fresh, stale or none.
func (m *Metrics) Card(connection, result string) {
	m.card.WithLabelValues(connection, result).Inc()
}

// Unresolved sets how many configured names the account does not have.
func (m *Metrics) Unresolved(connection string, n int) {
	m.unresolved.WithLabelValues(connection).Set(float64(n))
}

// StoreCommit observes one commit of the store.
func (m *Metrics) StoreCommit(seconds float64) { m.commit.Observe(seconds) }

// Reloaded records whether the last reading of the config succeeded.
func (m *Metrics) Reloaded(ok bool) {
	if ok {
		m.reloaded.Set(1)
		return
	}
	m.reloaded.Set(0)
}

// Meet makes the series of a connection whose labels are known before anything
// happens, at 0, so that alerts on them see the first rise.
func (m *Metrics) Meet(connection string) {
	for _, outcome := range []string{"found", "missing", "resent"} { // delivery.Observer.InDoubt
		m.inDoubt.WithLabelValues(connection, outcome)
	}
	for _, result := range []string{"fresh", "stale", "none"} {
		m.card.WithLabelValues(connection, result)
	}
	m.unresolved.WithLabelValues(connection)
}

// Drop forgets the gauges of a connection that was taken out of the config.
// Its counters stay: they are history.
func (m *Metrics) Drop(connection string) { m.unresolved.DeleteLabelValues(connection) }

// Account is what an amoCRM client reports to. Connections that share an
// account share a client; its requests count for the connection named here.
func (m *Metrics) Account(connection string) *AccountMetrics {
	a := &AccountMetrics{m: m}
	a.CountFor(connection)
	return a
}

// AccountMetrics are the amocrm_* metrics of one account. It is safe for concurrent
// use.
type AccountMetrics struct {
	m          *Metrics
	connection atomic.Value // string
}

// CountFor has what comes count for another connection of the account.
func (a *AccountMetrics) CountFor(connection string) { a.connection.Store(connection) }

func (a *AccountMetrics) label() string { return a.connection.Load().(string) }

// Request counts one request. endpoint is a pattern, never a path with ids;
// code is the HTTP status, anything else counts as "none".
func (a *AccountMetrics) Request(method, endpoint, code string, d time.Duration) {
	if n, err := strconv.Atoi(code); err != nil || n < 100 || n > 599 {
		code = "none"
	}
	a.m.requests.WithLabelValues(a.label(), method, endpoint, code).Inc()
	a.m.requestTime.WithLabelValues(a.label(), endpoint).Observe(d.Seconds())
}

// Batch observes how many items shared a request.
func (a *AccountMetrics) Batch(endpoint string, n int) {
	a.m.batch.WithLabelValues(a.label(), endpoint).Observe(float64(n))
}

// LimiterWait observes a wait for the account's request budget.
func (a *AccountMetrics) LimiterWait(d time.Duration) {
	a.m.limiter.WithLabelValues(a.label()).Observe(d.Seconds())
}

// kind is the label of an event's name: the name if somebody knows it.
func (m *Metrics) kind(name string) string {
	if _, ok := m.kinds[name]; ok {
		return name
	}
	return "other"
}

// knownKinds are the names an event is counted under: Jivo's and amoCRM's own.
func knownKinds(jivo []string) map[string]struct{} {
	known := map[string]struct{}{}
	for _, k := range slices.Concat(jivo, hook.Kinds()) {
		known[k] = struct{}{}
	}
	return known
}
