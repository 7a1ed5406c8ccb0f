# `make test` passes all tests on a fresh Debian; `make help` lists the rest.
SHELL := /bin/bash
.DELETE_ON_ERROR:

.PHONY: help test soak deps soak-deps fmt lint unit walk scenario faults browser demo simulate fuzz bench run

help:
	@echo "make run       the sandbox: dial sip:12345@127.0.0.1:5060, look at http://127.0.0.1:8080/"
	@echo "make test      everything: format, lints, tests, scenarios with real peers and a browser, fuzzing, a short load"
	@echo "make soak      what takes longer, for every night: the container; the operating guide followed from an empty Debian; every panel"
	@echo "               and rule asked of a Prometheus; each step of the demo broken in turn; an exercise of 30 minutes; ten minutes of"
	@echo "               fuzzing; faults; an hour of the random walk"
	@echo "make walk      the random walk of calls, faults and clock steps alone (WALK=seconds, 120 unless told)"
	@echo "make bench     the figures of docs/performance.md (BENCH=FOLDER names the measuring tools)"

run:
	cargo run --release

test: deps fmt lint unit walk scenario faults browser demo simulate fuzz
	@echo "all tests passed"

soak: deps soak-deps target/release/hotline
	tests/deploy container
	tests/deploy guide
	python3 tests/operating/panels.py
	tests/demo --all
	tests/simulate soak
	tests/fuzz 100
	tests/faults/run --long
	$(MAKE) walk WALK=3600 FROM=

# What the tests need on a fresh Debian: sipp and baresip as peers, chromium and node. Needs root the first time.
deps:
	@tests/install-peers

# What only the night needs: podman, debootstrap, a container that boots, Prometheus.
soak-deps:
	@tests/install-peers --soak

fmt:
	cargo fmt --check

lint:
	cargo clippy --locked --lib --bins --tests --profile test -- -D warnings
	RUSTDOCFLAGS="-D warnings" timeout 900 cargo doc --locked --no-deps --document-private-items --profile test

# The store's stories on SQLite and on PostgreSQL, the routes on one after the other.
unit:
	tests/with-postgres --used cargo test --locked
	HOTLINE_TEST_DATABASE=postgres tests/with-postgres --used cargo test --locked --test http

# Each commit has its own seeds, so that the same commit is judged alike twice; FROM= takes new ones from the clock.
WALK ?= 120
FROM ?= $(shell printf '%d' "0x$$(git rev-parse --short=12 HEAD 2>/dev/null || echo 1)")
walk:
	$(if $(FROM),HOTLINE_WALK_FROM=$(FROM)) HOTLINE_WALK_SECONDS=$(WALK) cargo test --locked --test sim walk::random_walks -- --nocapture

demo: target/release/hotline
	tests/demo

simulate: target/release/hotline
	tests/simulate

scenario: target/release/hotline
	tests/peers/run
	tests/deploy

# A small tmpfs is the disk that is filled: needs root.
faults: target/release/hotline
	tests/faults/run --short

browser: target/release/hotline
	tests/browser/run

.PHONY: target/release/hotline
target/release/hotline:
	cargo build --locked --release

fuzz:
	tests/fuzz 15

bench: target/release/hotline
	benches/run
