package intake

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/jivo-amocrm/bridge/internal/event"
)

// alarms remembers which streams are being refused, so that trouble is logged
// loudly when it begins and ends and quietly while it lasts. The zero value is
// ready; nothing is locked while there is no trouble.
type alarms struct {
	on atomic.Int32
	mu sync.Mutex
	by map[stream]string // why
}

type stream struct {
	connection string
	source     event.Source
}

// raise logs a refusal. err, which may be nil, is the journal's: it names files
// and never what an event said.
func (a *alarms) raise(ctx context.Context, log *slog.Logger, connection string, source event.Source, why string, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	key := stream{connection, source}
	level := slog.LevelError
	if a.by[key] == why {
		level = slog.LevelDebug
	}
	if a.by == nil {
		a.by = map[stream]string{}
	}
	a.by[key] = why
	a.on.Store(int32(len(a.by)))
	log.Log(ctx, level, "event refused", "connection", connection, "source", string(source), "why", why, "error", err)
}

// clear ends the trouble of a stream once an event of it was taken.
func (a *alarms) clear(log *slog.Logger, connection string, source event.Source) {
	if a.on.Load() == 0 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	key := stream{connection, source}
	why, was := a.by[key]
	if !was {
		return
	}
	delete(a.by, key)
	a.on.Store(int32(len(a.by)))
	log.Info("events are taken again", "connection", connection, "source", string(source), "why", why)
}
