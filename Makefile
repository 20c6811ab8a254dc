# Every target runs on a clean clone with Go, gcc, make and git, and nothing
# else installed, but for those of the relay contracts and of anvil, which need node and
# npm. gcc is for the race detector. Under CI=true the tests want promtool,
# anvil and relays that others published too, which .ci/run brings.
.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c

# The vectors that others published, and whether their absence is a failure,
# are what the environment says (CI=true, OUTRIDER_VECTORS): see testvectors.
STATICCHECK := go tool -modfile=$(CURDIR)/tools/go.mod staticcheck
# The generator of the assembly is a module of its own.
ASM := sigverify/internal/asm
FUZZTIME ?= 1s
BENCHCOUNT ?= 6
# The tests of how many packages run at once: those that wait for faults and timeouts
# leave a processor to others.
ATONCE := $(shell echo $$(($$(getconf _NPROCESSORS_ONLN) + 1)))
# What takes longest begins first, and not when all else is done.
PACKAGES := ./sidecar/node ./sidecar ./cmd/outrider ./perfcore/engine ./...
# What the race detector looks at in the night only.
UNRACED := outrider|bitvm/(assertion|bitvm0|dryrun|groth16|wots)|blockval/(header|script)|bob/(relay|relay/contract|relay/planner|signer|spv)|perfcore/(anomaly|forecast)|sidecar/(bench|demo|internal/monitoring)|sigverify/internal/secp|testvectors|utxocache/(corefile|muhash)

# Tests of lanes that the machine does not have are skipped, which go test tells with
# -v only. This prints why, and nothing where all were run.
UNTESTED = go test -short -v -run '^Test(Available|Advance32|Advance8|Advance2)$$' ./sigverify/internal/lane ./sigverify/hashlane | \
	grep -o 'THE LANES OF .*' | sort -u || true

.PHONY: help
help: ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "%-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: ci
ci: fmt-check tidy-check vet lint cross generate-check contracts-check test race fallback fuzz ## Everything that CI runs, in CI's order

.PHONY: build
build: bin/btcd ## Build outrider into bin/, and btcd for its demo
	go build -trimpath -o bin/ ./cmd/...

# The version of btcd is the one that go.mod names.
bin/btcd: go.mod
	CGO_ENABLED=0 go build -trimpath -o $@ github.com/btcsuite/btcd

.PHONY: run
run: build ## Run the demo: three btcd nodes on regtest, and Outrider beside one
	bin/outrider demo

.PHONY: test
test: ## Run the tests, and say which assembly this machine could not run
	go test -p $(ATONCE) $(PACKAGES)
	cd $(ASM) && go test ./...
	@$(UNTESTED)

.PHONY: race
race: ## Run the tests under the race detector, without the long ones, and without packages that have little to race
	CGO_ENABLED=1 go test -p $(ATONCE) -race -short $$(go list $(PACKAGES) | grep -v -E '/($(UNRACED))$$')

.PHONY: fallback
fallback: ## Run the tests of what has assembly, and of what verdicts rest on, without it, then of what has cgo without that
	go test -short -tags purego ./sigverify/... ./blockval ./bitvm/wots ./bob/headers ./utxocache/muhash
	CGO_ENABLED=0 go test -short ./sigverify ./sidecar/bench

.PHONY: cross
cross: ## Check that everything compiles for 32 bits, here and for another system, and what has assembly where it has none
	GOARCH=386 go vet ./...
	GOOS=windows GOARCH=386 go vet ./...
	GOOS=darwin GOARCH=arm64 go vet ./sigverify/... ./utxocache/...

.PHONY: cross-all
cross-all: cross ## Check that in all combinations that somebody may run
	GOOS=darwin GOARCH=arm64 go vet ./...
	GOARCH=arm64 go vet ./...
	GOOS=windows go vet ./...

.PHONY: fuzz
fuzz: ## Fuzz every target for FUZZTIME (1s)
	.ci/fuzz $(FUZZTIME)

.PHONY: bench
bench: ## Run the Go benchmarks as benchstat wants them
	go test -run '^$$' -bench . -benchmem -count $(BENCHCOUNT) ./...

.PHONY: nightly
nightly: ## What takes too long for every change: the whole suite under race and without assembly, all platforms, relays, millions of cases, long fuzzing
	CGO_ENABLED=1 go test -race -timeout 2h ./...
	go test -tags purego -timeout 2h ./...
	$(MAKE) cross-all bulk bulk-scripts bulk-relay bulk-catchup bulk-perf
	.ci/fuzz 5m

.PHONY: bulk
bulk: ## Verify 10 million random signatures in lanes and one by one, and log a hash of all verdicts
	OUTRIDER_SIGVERIFY_BULK=10000000 OUTRIDER_SIGVERIFY_SEED=4 go test -run '^TestBulk$$' -count 1 -timeout 2h -v ./sigverify/internal/lane

.PHONY: bulk-scripts
bulk-scripts: ## Run 1,740,000 forged spends collected and exactly, a million of them in btcd's engine too, and 20,000 mutated transactions through whole validation
	OUTRIDER_SCRIPT_BULK=1740000 OUTRIDER_SCRIPT_SEED=29 go test -run '^TestForgedSpends$$' -count 1 -timeout 4h -v ./blockval/script
	OUTRIDER_BULK=20000 go test -run '^TestMutatedSpends$$' -count 1 -timeout 4h -v ./blockval

.PHONY: bulk-coins
bulk-coins: ## Load 10 million coins, and measure the coin database with them; check a process's memory
	OUTRIDER_COINS_BULK=1 go test -run '^TestResidentMemory$$' -count 1 -v ./utxocache/coins
	go run ./cmd/outrider bench utxo --coins 10000000 --rounds 3

.PHONY: bulk-perf
bulk-perf: ## Let hands act a million times on optimizers, and show by exact bounds that they reach their goals, with a new seed
	OUTRIDER_PERFCORE_HANDS=8000 OUTRIDER_PERFCORE_PLANTS=$${OUTRIDER_PERFCORE_PLANTS:-1000} \
	OUTRIDER_PERFCORE_TRIALS=$${OUTRIDER_PERFCORE_TRIALS:-400000} OUTRIDER_PERFCORE_SEED=$${OUTRIDER_PERFCORE_SEED:-$$(date +%s)} \
		go test -run '^Test(RandomHands|Goals|ErrorRates|ErrorRatesUnderATarget|RareStallsOfTheCandidate|NoiseThatHasGone)$$' \
		-count 1 -timeout 4h -v ./perfcore/engine

.PHONY: bulk-bitvm
bulk-bitvm: ## Try 10,000 batches of proofs whose errors cancel, and 1,000 random histories of bridges
	OUTRIDER_GROTH16_BULK=10000 go test -run '^TestErrorsThatCancel$$' -count 1 -timeout 2h -v ./bitvm/groth16
	OUTRIDER_BITVM_BULK=1000 go test -run '^Test(RandomHistories|BridgesOnBtcd)$$' -count 1 -timeout 2h -v ./bitvm/watch ./sidecar/bitvm

.PHONY: record-anvil
record-anvil: ## Record again what anvil, from npm, answers as an OP chain
	cd bob/opstack/testdata/anvil && npm ci --no-audit --no-fund
	go test -run '^TestAnvil$$' -count 1 ./bob/opstack -record $(CURDIR)/bob/opstack/testdata/anvil/node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil

.PHONY: bulk-relay
bulk-relay: ## Run 10,000 random sequences of calls on each relay contract, ours and those that others published, beside its model
	dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && .ci/published-relays "$$dir" && \
	OUTRIDER_RELAYS="$$dir" OUTRIDER_RELAY_BULK=10000 \
		go test -run '^Test(Published)?(Full|Light)?Relay$$' -count 1 -timeout 2h -v ./bob/relay/contract

.PHONY: published-relays
published-relays: ## Hold the relay models against relays that others published, fetched by npm
	dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && .ci/published-relays "$$dir" && \
	OUTRIDER_RELAYS="$$dir" go test -run '^TestPublished' -count 1 -v ./bob/relay/contract

.PHONY: anvil
anvil: ## Run the tests that submit to a chain, with anvil fetched by npm
	dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && \
	OUTRIDER_ANVIL=$$(.ci/anvil "$$dir") go test -count 1 ./bob/relay/submit ./sidecar/bob

.PHONY: bulk-catchup
bulk-catchup: ## Catch up with 2,016 headers on an anvil that makes a block every two seconds
	dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && \
	OUTRIDER_ANVIL=$$(.ci/anvil "$$dir") OUTRIDER_CATCHUP_BULK=1 go test -run '^TestCatchUpInRealTime$$' -count 1 -v ./bob/relay/submit

.PHONY: contracts
contracts: ## Compile the relay contracts
	.ci/contracts

.PHONY: contracts-check
contracts-check: ## Fail if the compiled relay contracts are stale
	.ci/contracts --check

.PHONY: vet
vet: ## Run go vet, and go fix for code that Go has made simpler
	go vet ./...
	go fix -diff ./...
	cd $(ASM) && go vet ./... && go fix -diff ./...

.PHONY: lint
lint: ## Run staticcheck
	$(STATICCHECK) ./...
	cd $(ASM) && $(STATICCHECK) ./...

.PHONY: fmt-check
fmt-check: ## Fail if gofmt would change a file
	@out=$$(gofmt -l .); \
	test -z "$$out" || { echo "gofmt would change:"; echo "$$out"; exit 1; }

.PHONY: tidy-check
tidy-check: ## Fail if a go.mod is not tidy
	go mod tidy -diff
	cd tools && go mod tidy -diff
	cd $(ASM) && go mod tidy -diff

.PHONY: generate-check
generate-check: ## Fail if a generated file is stale
	.ci/generate-check
