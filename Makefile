# The short forms of the proofs run with the tests; these are the long ones.
# Figures go into docs/proof.md.

.PHONY: help test ci bench load crash syncs powercut sim

help: ## what there is
	@grep -hE '^[a-z][a-z-]*:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | sort | expand -t 14

test: ## the tests
	go test ./...

ci: ## what must hold before a change lands
	.ci/run

bench: ## Go benchmarks: decode, map, card, journal (compare two runs with benchstat)
	go test -run '^$$' -bench . -benchmem ./internal/jivo ./internal/mapping ./internal/card ./internal/store

load: ## L1 to L3, L5, L6 of docs/proof.md, each beside its own yardstick
	go test -run '^$$' -bench 'Ack|Reply|Burst|BigStore' -benchtime 1x -timeout 30m ./internal/app
	go run ./cmd/bridge demo --exit --visitors 1000 --rate 400
	go run ./cmd/bridge demo --exit --visitors 300 --rate 400 --no-sync

crash: ## N1: a thousand kill -9 of the real binary, at random and at every named point
	go test ./internal/crash -run TestCrash_Acked -kills 1000 -timeout 60m -v

syncs: ## N2: killed at every sync of a fifty-event run; EIO at each of the first hundred (needs strace)
	go test ./internal/crash -run 'TestCrash_KilledAtASync|TestDisk_Sync' -syncstep 1 -eiostep 1 -timeout 60m -v

powercut: ## N3: ten thousand states a power cut may leave the store in (needs strace)
	go test ./internal/store -run TestStore_PowerCut -powercut 10000 -timeout 30m -v

sim: ## N7: a thousand seeds of the simulation; one again: go test ./internal/app -run Simulation -sim.first SEED -sim.seeds 1
	go test ./internal/app -run TestFault_Simulation -sim.seeds 1000 -timeout 60m
