package app_test

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jivo-amocrm/bridge/internal/app"
	"github.com/jivo-amocrm/bridge/internal/emulator"
	"github.com/jivo-amocrm/bridge/internal/emulator/site"
)

var (
	simSeeds = flag.Int("sim.seeds", 20, "how many seeds the simulation plays")
	simFirst = flag.Uint64("sim.first", 1, "the first of them; a failing seed is played again by itself")
	simOpen  = flag.Bool("sim.open", true, "also play deals and tasks of clients nobody has described yet")
	simEach  = flag.Bool("sim.each", false, "play each seed in a process of its own, as many at once as there are processors")
	simDead  = flag.Bool("sim.dead", false, "also have amoCRM refuse things for a while; what died of it is replayed at the end")
	simHand  = flag.Bool("sim.hand", false, "also have an integrator replay, discard, forget, reload, import, back up and sync (fault_sim_hand_test.go)")
	simTrace = flag.String("sim.trace", "", "a file that every request, answer and ending of the seeds is written to")
)

// N7 of reliability.md: visitors, a manager, and everything that goes wrong
// (faults of amoCRM, kills, restarts, clocks that jump, bans, repeats, events and
// hooks out of order), all drawn from one seed, in virtual time. In the end
// nothing that was acknowledged is lost and nothing is doubled.
//
// The plan of a seed is fixed: every step draws from a source of its own, and
// never from what came before it, so each run posts the same bodies and does the
// same things at the same moments. How goroutines interleave is fixed too where
// the test is built as `make sim` builds it (fault_sim_replay_test.go).
func TestFault_Simulation(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))  // fewer ways to interleave
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // the collector takes turns that no seed knows of
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(4 << 30))
	seeds := uint64(*simSeeds)
	if underRace {
		seeds = min(seeds, 3)
	}
	if *simEach {
		eachAlone(t, *simFirst, seeds)
		return
	}
	var sum played
	for seed := *simFirst; seed < *simFirst+seeds; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { sum.add(playSeed(t, seed, *simDead, *simHand)) })
		collect()
	}
	t.Logf("%d seeds from %d on: %s", sum.seeds, *simFirst, sum)
}

// Events die of what amoCRM refuses for a while, others of their clients come after
// them, and a replay of all brings each to its one place (product.md §8.2).
func TestFault_SimulationOfReplays(t *testing.T) {
	seeds := uint64(12)
	if underRace || testing.Short() {
		seeds = 2
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed+1), func(t *testing.T) { playSeed(t, seed+1, true, false) })
		collect()
	}
}

// An integrator works at the running bridge while all that goes wrong.
func TestFault_SimulationOfAnIntegrator(t *testing.T) {
	seeds := uint64(12)
	if underRace || testing.Short() {
		seeds = 2
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed+1), func(t *testing.T) { playSeed(t, seed+1, false, true) })
		collect()
	}
}

// collect frees what the seeds before have left, now and then.
func collect() {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	if m.HeapAlloc > 512<<20 {
		runtime.GC()
	}
}

// played is what some seeds came to.
type played struct {
	seeds, steps, kills, jumps, taken, requests int
	virtual                                     time.Duration
}

func (p *played) add(o played) {
	p.seeds += o.seeds
	p.steps += o.steps
	p.kills += o.kills
	p.jumps += o.jumps
	p.taken += o.taken
	p.requests += o.requests
	p.virtual += o.virtual
}

func (p played) String() string {
	return fmt.Sprintf("%d steps, %d kills, %d jumps of the clock, %d events taken, %d requests, %v of virtual time",
		p.steps, p.kills, p.jumps, p.taken, p.requests, p.virtual.Round(time.Minute))
}

// steps is the length of a seed's story: many short stories find more than a
// few long ones, and some things need a long one.
func steps(rnd *rand.Rand) int {
	switch n := rnd.IntN(100); {
	case n < 60:
		return 4 + rnd.IntN(10)
	case n < 88:
		return 14 + rnd.IntN(16)
	case n < 98:
		return 30 + rnd.IntN(30)
	}
	return 60 + rnd.IntN(40)
}

// playSeed plays one seed; with refusals, things are refused, die and are replayed;
// with hand, somebody works at the bridge, and of half the seeds things are refused.
func playSeed(t *testing.T, seed uint64, refusals, hand bool) (p played) {
	rnd := rand.New(rand.NewPCG(seed, 7))
	s := &sim{seed: seed, refuses: refusals || hand && seed%2 == 0, rnd: rnd, rps: 1 + rnd.IntN(7), once: map[string]string{}, taken: map[string]bool{}}
	set := labSetup{
		conn:    "agents: {\"*\": anna@example.com}\npark: 2h\n",
		top:     "retention: {events: 400d, bodies: 400d, dead: 400d}\n",
		amocrm:  fmt.Sprintf("requests_per_second: %d\nbatch: %d\n", s.rps, 1+rnd.IntN(50)),
		told:    s.trace.sent,
		between: func(w *wire) http.RoundTripper { return &lateWire{w, &s.late} },
		killed:  func(dir string) { s.file(filepath.Join(dir, app.StoreFile)) },
		amo: emulator.Options{
			Seed: seed, FilterEnabled: rnd.IntN(2) == 0, DanglingNext: rnd.IntN(2) == 0, LinkTwiceFails: rnd.IntN(2) == 0,
			IndexLag: time.Duration(rnd.IntN(60)) * time.Second, Latency: time.Duration(10+rnd.IntN(400)) * time.Millisecond,
			RPS: -1, // it would count by its own clock
			Now: s.theirs, HookClient: &http.Client{Transport: &s.courier},
		},
	}
	if rnd.IntN(3) == 0 {
		set.amocrm += "contacts_sync: off\n"
	}
	if hand {
		s.hand = newHand()
	}
	hooks := rnd.IntN(3)
	if hooks == 2 { // they are lost, doubled and overtaken as well
		set.amo.HookLoss, set.amo.HookDuplicate, set.amo.HookShuffle = 0.1, 0.2, 0.3
	}
	defer func() { s.trace.end(t, seed, p) }()
	inLab(t, set, func(l *lab) {
		pin(seed)
		s.l, s.began, s.courier.lab = l, time.Now(), l
		if hooks > 0 {
			l.amo.Subscribe("http://bridge/amocrm/" + e2eName + "/" + e2eHook)
		}
		for n := range steps(rnd) {
			s.rnd = rand.New(rand.NewPCG(seed, uint64(n)<<8|1))
			s.step()
			s.rest(time.Duration(s.rnd.ExpFloat64() * float64(8*time.Second)))
		}
		s.mend()
		s.check()
		p = played{1, len(s.history), s.kills, s.jumps, len(s.taken), l.amo.Report().Requests, time.Since(s.began)}
	})
	return p
}

// sim is one play.
type sim struct {
	l        *lab
	seed     uint64
	refuses  bool // amoCRM does, now and then
	rps      int
	rnd      *rand.Rand // of the present step
	began    time.Time
	planned  time.Duration // since began, had nothing taken time but the pauses of the plan
	clock    sync.Mutex    // guards the two below: amoCRM reads them while it answers
	ahead    time.Duration // amoCRM's clock, of the bridge's
	still    time.Time     // where amoCRM's clock stands while it does not go
	people   []*simPerson
	said     []utterance // everything that may be said again
	serial   int         // of what must stand once
	posting  sync.WaitGroup
	courier  courierDoor
	trace    trace
	refusals []*emulator.Injected
	hand     *hand        // the integrator's, nil if nobody is there
	late     atomic.Int64 // how long the next write is on its way, given up by its sender meanwhile

	mu      sync.Mutex
	taken   map[string]bool   // bodies that were acknowledged
	once    map[string]string // unique text → what stands in amoCRM exactly once
	kills   int
	jumps   int
	history []string
}

// simPerson is a visitor with a deal and a task in Jivo's CRM.
type simPerson struct {
	*site.Visitor
	deal site.Deal
	task site.Task
	met  bool // an event that describes them was acknowledged; guarded by sim.mu
}

type utterance struct {
	body []byte
	may  func() bool
	ack  func()
}

func (s *sim) note(format string, a ...any) {
	s.history = append(s.history, fmt.Sprintf("%v "+format, append([]any{s.planned.Round(time.Second)}, a...)...))
}

// rest is a pause of the plan.
func (s *sim) rest(d time.Duration) {
	s.planned += d
	time.Sleep(d)
}

func (s *sim) step() {
	if s.refuses && s.rnd.IntN(5) == 0 {
		s.refusal()
		return
	}
	if s.hand != nil && s.rnd.IntN(3) == 0 {
		s.integrate()
		return
	}
	switch n := s.rnd.IntN(40); {
	case n < 18:
		s.talk()
	case n < 21:
		s.repeat()
	case n < 28:
		s.fault()
	case n < 31:
		s.kill()
	case n < 32:
		s.note("restarted")
		s.l.restart(time.Duration(s.rnd.IntN(1500)) * time.Millisecond)
	case n < 34:
		s.outage()
	case n < 35:
		s.jump()
	case n < 36:
		s.removed()
	default:
		s.manager()
	}
}

// kill ends the bridge at any moment and looks at the file it left.
func (s *sim) kill() {
	s.kills++
	d := time.Duration(s.rnd.IntN(1500)) * time.Millisecond
	s.note("killed for %v", d)
	s.l.kill(d)
}

// removed takes the connection out of the config for a while: nothing of it is
// asked of amoCRM until it returns.
func (s *sim) removed() {
	l, good := s.l, s.l.text
	s.note("removed from the config")
	l.text = replaceOnce(good, "  "+e2eName+":\n", "  renamed:\n")
	l.text = replaceOnce(l.text, "http://127.0.0.1:3", "http://127.0.0.1:4")
	l.app.Reload()
	s.rest(latest) // what has left may come back
	before := l.amo.Report().Requests
	s.talk()
	s.rest(time.Duration(s.rnd.IntN(1200)) * time.Second)
	if n := l.amo.Report().Requests - before; n > 0 {
		l.t.Errorf("%d requests for a connection that was removed", n)
	}
	l.text = good
	l.app.Reload()
}

// jump moves one clock against the other. The bubble's own cannot be moved, so
// amoCRM's is, and with it, on disk, what the bridge has put off; a clock that
// leaps ahead does it while the bridge is down.
func (s *sim) jump() {
	s.jumps++
	by := time.Duration(s.rnd.ExpFloat64() * float64(time.Hour))
	switch s.rnd.IntN(3) {
	case 0:
		s.note("the clock leapt ahead by %v", by)
		s.l.stop()
		s.setClock(s.ahead, time.Now().Add(s.ahead)) // for amoCRM no time goes by
		time.Sleep(by)
		s.setClock(s.ahead-by, time.Time{})
		s.l.start()
	case 1:
		by = time.Duration(s.rnd.Int64N(int64(back)))
		s.note("the clock was set back by %v", by)
		s.l.stop()
		s.setClock(s.ahead+by, time.Time{})
		putOff(s.l, by)
		s.l.start()
	default:
		by = time.Duration(s.rnd.Int64N(int64(2*back))) - back
		s.note("amoCRM's clock moved by %v", by)
		s.setClock(s.ahead+by, time.Time{})
	}
}

// back is the most a clock is set back.
const back = time.Hour

// someone is a visitor: a new one, or one who was here before.
func (s *sim) someone() *simPerson {
	if len(s.people) > 0 && s.rnd.IntN(3) > 0 {
		return s.people[s.rnd.IntN(len(s.people))]
	}
	n := len(s.people) + 1
	v := site.NewVisitor(s.rnd.Uint64(), n)
	v.Phone, v.Email = v.Contacts()
	v.Now = func() time.Time { // an offline message is known by its millisecond
		s.planned += time.Second // more than what tells visitors apart
		return s.began.Add(s.planned)
	}
	if s.rnd.IntN(4) == 0 && n > 1 { // two visitors with one phone
		v.Phone = s.people[s.rnd.IntN(n-1)].Phone
	}
	p := &simPerson{Visitor: v}
	s.people = append(s.people, p)
	return p
}

// talk posts something new of some visitors at the same moment.
func (s *sim) talk() {
	s.note("talk")
	for range 1 + s.rnd.IntN(5) {
		p := s.someone()
		switch s.rnd.IntN(9) {
		case 0, 1:
			s.post(p.Accepted(), nil, s.meets(p))
		case 2:
			p.NewChat()
			text := s.unique("Перезвоните, дело")
			s.owns(text, p)
			s.say(p.Offline(text), nil, func() { s.once[text] = "message" }, s.meets(p))
			p.NewChat()
		case 3:
			s.post(p.Updated("", ""), nil, s.meets(p))
		case 4:
			p.NewChat()
			for _, b := range p.Call([]string{"incoming", "outgoing", "callback"}[s.rnd.IntN(3)], s.rnd.IntN(3) > 0) {
				s.post(b, nil, nil) // at the same moment: in any order
			}
			p.NewChat()
		case 5, 6:
			s.crm(p)
		default:
			text := s.unique("Вопрос")
			s.owns(text, p)
			p.Say(text, "Отвечаю")
			s.say(p.Finished("", false), nil, func() { s.once[text] = "transcript" }, s.meets(p))
			p.NewChat()
		}
	}
}

func (s *sim) unique(what string) string {
	s.serial++
	return fmt.Sprintf("%s %d-%d!", what, s.seed, s.serial)
}

// crm posts of a person's deal, task or card in Jivo's CRM.
func (s *sim) crm(p *simPerson) {
	switch n := s.rnd.IntN(6); {
	case n == 0:
		s.post(p.ClientEvent("updated_client"), nil, s.meets(p))
	case n == 1 && p.task.ID == 0:
		p.task = site.Task{ID: 1000 + p.Number, Text: s.unique("Позвонить"), Deal: p.deal.ID, Due: s.began.Add(1000 * time.Hour)}
		s.say(p.CreatedTask(p.task), s.known(p))
	case n == 1:
		s.post(p.CompletedTask(p.task), s.known(p), nil)
	case n == 2:
		s.post(p.ClientUpdated(), nil, s.meets(p))
	case p.deal.ID == 0:
		amount := 1 + s.rnd.IntN(100000) // 0 is none
		p.deal = site.Deal{ID: 5000 + p.Number, Title: "Сделка", Amount: &amount, Pipeline: jivoPipeline, Stage: jivoNew}
		s.say(p.CreatedDeal(p.deal), s.known(p))
	default:
		amount := 1 + s.rnd.IntN(100000) // 0 is none
		p.deal.Amount = &amount
		s.post(p.UpdatedDeal(p.deal), s.known(p), nil)
	}
}

// A pipeline and a stage of Jivo's own sample.
const jivoPipeline, jivoNew = 6, 21

// known keeps Jivo's CRM from speaking of somebody whom no acknowledged event
// has described: the event that describes them goes first.
func (s *sim) known(p *simPerson) func() bool {
	if *simOpen {
		return nil
	}
	first := p.Accepted()
	return func() bool {
		s.mu.Lock()
		met := p.met
		s.mu.Unlock()
		if met || s.l.post(first) != http.StatusOK {
			return met
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.taken[string(first)], p.met = true, true
		return true
	}
}

func (s *sim) meets(p *simPerson) func() { return func() { p.met = true } }

// say is post of something that may be said again: it happens once, whatever
// comes later. States that come again are no repeats (product.md §8.2).
func (s *sim) say(body []byte, may func() bool, acks ...func()) {
	ack := func() {
		for _, fn := range acks {
			fn()
		}
	}
	s.said = append(s.said, utterance{body, may, ack})
	s.post(body, may, ack)
}

// post sends a body beside everything else, if it may; ack, where set, is told
// if it was taken.
func (s *sim) post(body []byte, may func() bool, ack func()) {
	s.posts(body)
	s.posting.Go(func() {
		if may != nil && !may() || s.l.post(body) != http.StatusOK {
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.taken[string(body)] = true
		if ack != nil {
			ack()
		}
	})
}

// repeat posts again what was posted before, up to ten times at once.
func (s *sim) repeat() {
	if len(s.said) == 0 {
		return
	}
	again := s.said[s.rnd.IntN(len(s.said))]
	for range 1 + s.rnd.IntN(10) {
		s.post(again.body, again.may, again.ack)
	}
	s.note("repeated")
}

// fault has some of the next requests go wrong.
func (s *sim) fault() {
	kinds := []emulator.Fault{
		{Kind: emulator.DropBefore}, {Kind: emulator.DropAfterCommit}, {Kind: emulator.DropAfterCommit}, {Kind: emulator.GiveStatus, Status: 500},
		{Kind: emulator.GiveStatus, Status: 504, AfterCommit: true}, {Kind: emulator.GiveStatus, Status: 502},
		{Kind: emulator.HTML200}, {Kind: emulator.HTML200, AfterCommit: true}, {Kind: emulator.Truncated},
		{Kind: emulator.Slow, Delay: 20 * time.Second}, {Kind: emulator.Trickle, Delay: time.Second},
		{Kind: emulator.RateLimit}, {Kind: emulator.RateLimit, RetryAfter: "40"}, {Kind: emulator.BanNow}, {Kind: emulator.Unpaid}, {Kind: emulator.Unauthorized},
	}
	f := kinds[s.rnd.IntN(len(kinds))]
	if s.rnd.IntN(8) == 0 {
		d := s.rnd.Int64N(int64(latest))
		s.note("a write is %v late", time.Duration(d))
		s.late.Store(d)
		return
	}
	if s.rnd.IntN(60) == 0 {
		f = emulator.Fault{Kind: emulator.Huge} // dear
	}
	f.Method = []string{"", "", "POST", "PATCH", "GET"}[s.rnd.IntN(5)]
	f.PathPrefix = []string{"/api/v4/", "/api/v4/", "/api/v4/leads/complex", "/api/v4/leads/notes", "/api/v4/tasks"}[s.rnd.IntN(5)]
	f.Times = 1 + s.rnd.IntN(3)
	s.note("fault %s %s %s ×%d", f.Kind, f.Method, f.PathPrefix, f.Times)
	s.l.amo.Inject(f)
}

// refusal has amoCRM refuse some writes, for no reason that an item could be mended
// by: those events die, and others of their clients come after them.
func (s *sim) refusal() {
	f := emulator.Fault{Kind: emulator.GiveStatus, Status: http.StatusBadRequest, Times: 1 + s.rnd.IntN(12)}
	f.Method = []string{"POST", "POST", "POST", "PATCH"}[s.rnd.IntN(4)]
	f.PathPrefix = []string{"/api/v4/leads/complex", "/api/v4/leads/complex", "/api/v4/", "/api/v4/leads/notes", "/api/v4/contacts", "/api/v4/tasks"}[s.rnd.IntN(6)]
	s.note("refusal of %s %s ×%d", f.Method, f.PathPrefix, f.Times)
	s.refusals = append(s.refusals, s.l.amo.Inject(f))
}

const latest = 18 * time.Second // is a write at most: within both look-ups (docs/proof.md, residual cases)

// outage is a stretch of trouble of the whole account.
func (s *sim) outage() {
	d := time.Duration(min(s.rnd.ExpFloat64()*20, 120) * float64(time.Minute))
	switch s.rnd.IntN(3) {
	case 0:
		s.note("banned for %v", d)
		s.l.amo.Ban()
		s.rest(d)
		s.l.amo.Lift()
	case 1:
		s.note("unpaid for %v", d)
		s.l.amo.SetUnpaid(1 + s.rnd.IntN(2))
		s.rest(d)
		s.l.amo.SetUnpaid(0)
	default:
		s.note("unreachable for %v", d)
		s.l.wire.refuse(errors.New("no route to host"))
		s.rest(d)
		s.l.wire.refuse(nil)
	}
}

// manager does something in amoCRM.
func (s *sim) manager() {
	all := s.l.amo.Leads()
	n, deed := s.rnd.IntN(1<<20), s.rnd.IntN(4)
	text := fmt.Sprintf("%s %d", byHand, s.rnd.Uint64())
	s.note("manager %d", deed)
	if len(all) == 0 {
		return
	}
	lead := all[n%len(all)]
	var err error
	switch deed {
	case 0:
		err = s.l.amo.MoveLead(lead.ID, stageTalks, pipeSales)
	case 1:
		err = s.l.amo.SetResponsible(lead.ID, userOwner)
	case 2:
		err = s.l.amo.EditLead(lead.ID, emulator.Edit{Tags: []string{"важно"}})
	default:
		_, err = s.l.amo.AddNote(lead.ID, text)
	}
	if err != nil {
		s.l.t.Errorf("the manager: %v", err)
	}
}

const byHand = "Позвонил сам," // begins every note of the manager
