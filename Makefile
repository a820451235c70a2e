# The short forms of the proofs run with the tests; these are the long ones.
# Figures go into docs/proof.md.

.PHONY: help test ci bench load

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
