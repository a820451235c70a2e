# The short forms of the proofs run with the tests; these are the long ones.
# Figures go into docs/proof.md.

.PHONY: help test ci bench load crash syncs powercut sim day

help: ## what there is
	@grep -hE '^[a-z][a-z-]*:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | sort | expand -t 14

test: ## the tests
	go test ./...

ci: ## what must hold before a change lands
	.ci/run

bench: ## Go benchmarks: decode, map, card, journal (compare two runs with benchstat)
	go test -run '^$$' -bench . -benchmem ./internal/jivo ./internal/mapping ./internal/card ./internal/store

load: ## L1 to L3, L5 to L7 of docs/proof.md: the real binary, each figure beside its own yardstick
	for b in Ack Reply Burst BigStore Idle; do go test -run '^$$' -bench "$$b" -benchtime 1x -timeout 30m ./internal/app || exit 1; done
	go run ./cmd/bridge demo --exit --visitors 1000 --rate 400
	go run ./cmd/bridge demo --exit --visitors 300 --rate 400 --no-sync

crash: ## N1: a thousand kill -9 of the real binary, at random and at every named point
	go test ./internal/crash -run TestCrash_Acked -kills 1000 -timeout 60m -v

syncs: ## N2: killed at every sync of a fifty-event run; EIO at each of the first hundred (needs strace)
	go test ./internal/crash -run 'TestCrash_KilledAtASync|TestDisk_Sync' -syncstep 1 -eiostep 1 -timeout 60m -v

powercut: ## N3: ten thousand states a power cut may leave the store in (needs strace)
	go test ./internal/store -run TestStore_PowerCut -powercut 10000 -timeout 30m -v

SEEDS ?= 10000
FIRST ?= 1

sim: ## N7: ten thousand seeds of the simulation, interleaving pinned; one again, exactly: make sim FIRST=270 SEEDS=1; with deaths and replays: SIM=-sim.dead; with an integrator at work: SIM=-sim.hand
	@overlay=$$(mktemp -d) && trap 'rm -rf "$$overlay"' EXIT && \
	go test ./internal/app -run TestSim_Overlay -sim.overlay "$$overlay" && \
	GOEXPERIMENT=norandomizedheapbase64 go test -overlay "$$overlay/overlay.json" ./internal/app -run 'TestFault_Simulation$$' \
		-sim.each -sim.first $(FIRST) -sim.seeds $(SEEDS) $(SIM) -timeout 6h -v

day: ## L8: 24 simulated hours at five events a second, no growth
	go test ./internal/app -run TestDay -day.span 24h -timeout 3h -v
