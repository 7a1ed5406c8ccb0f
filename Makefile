# `make test` passes all tests on a fresh Debian; `make help` lists the rest.
SHELL := /bin/bash
.DELETE_ON_ERROR:

.PHONY: help test soak deps fmt lint unit scenario browser demo fuzz bench run

help:
	@echo "make run       the sandbox: dial sip:12345@127.0.0.1:5060, look at http://127.0.0.1:8080/"
	@echo "make test      everything: format, lints, tests, scenarios with real peers and a browser, fuzzing, a short load"
	@echo "make soak      what takes longer, for every night: each step of the demo broken in turn, ten minutes of fuzzing"
	@echo "make bench     the figures of docs/performance.md (BENCH=FOLDER names the measuring tools)"

run:
	cargo run --release

test: deps fmt lint unit scenario browser demo fuzz
	@echo "all tests passed"

soak: deps target/release/hotline
	tests/demo --all
	tests/fuzz 100

# What the tests need on a fresh Debian: sipp and baresip as peers, chromium and node. Needs root the first time.
deps:
	@tests/install-peers

fmt:
	cargo fmt --check

lint:
	cargo clippy --locked --lib --bins --tests --profile test -- -D warnings
	RUSTDOCFLAGS="-D warnings" timeout 900 cargo doc --locked --no-deps --document-private-items --profile test

unit:
	cargo test --locked

demo: target/release/hotline
	tests/demo

scenario: target/release/hotline
	tests/peers/run

browser: target/release/hotline
	tests/browser/run

.PHONY: target/release/hotline
target/release/hotline:
	cargo build --locked --release

fuzz:
	tests/fuzz 15

bench: target/release/hotline
	benches/run
