# Two commands for everybody: `make run` and `make test`. The rest is for those who build it.

SHELL := /bin/bash
.DEFAULT_GOAL := help
CARGO ?= cargo
WASM := wasm32-unknown-unknown
FUZZ_SECONDS ?= 600
TORTURE_CYCLES ?= 25
SEEDS ?= 20000

.PHONY: help deps run test rules s3 check fmt config keyring bench bench-check bench-baseline bench-peers bench-peers-test tiers fuzz torture audit dist deb

help: ## Show what can be made.
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

deps: ## Install what a bare Debian 12 with a Rust toolchain lacks.
	@.ci/deps

run: deps ## Start a server on 127.0.0.1:7000 from ./data and print what to type next.
	$(CARGO) build --release --locked -p qpc-server -p qpc-client
	@$${CARGO_TARGET_DIR:-target}/release/qpc-server

test: deps check ## All tests, formatting, lints.
	$(CARGO) build --locked -p qpc-proto --target $(WASM)
	$(CARGO) build --locked --workspace --bins
	$(CARGO) test --locked --workspace --all-targets
	$(CARGO) test --locked --workspace --doc
	$(CARGO) test --locked -p qpc-server --features failpoints,simulation --lib failpoints
	$(CARGO) test --locked -p qpc-server --features failpoints,simulation --test simulation
	$(MAKE) s3
	$(MAKE) rules

rules: ## Prometheus' configuration and rules in docker/prometheus, with a test of each alert.
	.ci/promtool check config docker/prometheus/prometheus.yml
	.ci/promtool test rules docker/prometheus/tests/*.yml

s3: ## The suite of blobs on a bucket, of a server for it that is started here; and files in it, with kills.
	@.ci/deps s3
	$(CARGO) build --locked --workspace --bins
	.ci/s3 $(CARGO) test --locked --workspace --lib --test server a_bucket

check: ## Formatting and lints, warnings denied.
	@.ci/deps checks
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	$(CARGO) clippy --locked -p qpc-server --all-targets --features conformance,failpoints,simulation -- -D warnings
	@test -z "$$($(CARGO) tree --locked --workspace -i ring 2>/dev/null)" || { echo "check: ring is compiled beside aws-lc-rs" >&2; exit 1; }
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps

config: deps ## Write config/qpc-server.toml anew, with the defaults that the types have.
	$(CARGO) run --locked -p qpc-server --bin qpc-server -- config default > config/qpc-server.toml.new
	mv config/qpc-server.toml.new config/qpc-server.toml

keyring: deps ## The home's key in a real Secret Service; needs Debian's dbus and gnome-keyring.
	@command -v dbus-run-session gnome-keyring-daemon >/dev/null || { echo "install first: apt-get install dbus gnome-keyring"; exit 1; }
	$(CARGO) clippy --locked -p qpc-client --features keyring --all-targets -- -D warnings
	$(CARGO) test --locked -p qpc-client --features keyring --lib keyring

bench: deps ## Criterion benches of codec, chain, store and fan-out.
	$(CARGO) bench --locked -p qpc-bench

bench-check: deps ## Instructions of named operations, by valgrind: none may need over 5 % more than its baseline.
	@.ci/deps bench-check
	$(CARGO) bench --locked -p qpc-bench --bench instructions -- check

bench-baseline: deps ## Count them anew and write benches/instructions.txt, which is then to be committed.
	@.ci/deps bench-check
	$(CARGO) bench --locked -p qpc-bench --bench instructions -- baseline

bench-peers: ## The same work by ejabberd, Prosody, mosquitto and Synapse; first, as root: benches/peers/install.
	$(CARGO) build --release --locked --workspace --bins
	benches/peers/run $(PEERS)

bench-peers-test: ## What judges and reads in benches/peers and benches/tiers; needs Python alone.
	cd benches/peers && python3 -m unittest discover -s tests -t .
	cd benches/tiers && python3 -m unittest discover -s tests -t .

tiers: ## The tables of docs/sizing.md, measured here; as root, for limits on the server; TIERS="--users 100,1000".
	$(CARGO) build --release --locked -p qpc-server -p qpc-bench
	benches/tiers/run --qpc-bench $${CARGO_TARGET_DIR:-target}/release/qpc-bench $(TIERS)

fuzz: deps ## Each fuzz target for FUZZ_SECONDS; needs a nightly toolchain.
	FUZZ_SECONDS=$(FUZZ_SECONDS) .ci/fuzz

torture: deps ## Slow tests: kill -9 under load, TORTURE_CYCLES times, and its control run; kills of three servers and cuts between them, TORTURE_ACROSS times; races of many, large files, repair of a large group; SEEDS of the simulation.
	$(CARGO) build --release --locked --workspace --bins
	TORTURE_CYCLES=$(TORTURE_CYCLES) .ci/torture
	QPC_SEEDS=0..$(SEEDS) QPC_SEEDS_FILE=$${CARGO_TARGET_DIR:-$(CURDIR)/target}/seeds-$$(git rev-parse --short HEAD).txt $(CARGO) test --release --locked \
		-p qpc-server --features simulation --test simulation nothing_is_lost -- --nocapture
	@.ci/deps s3
	QPC_FILE_MB=100 QPC_FILE_KILLS=5 QPC_FILE_MEMBERS=10 S3_SECONDS=3600 .ci/s3 $(CARGO) test --release --locked -p qpc-server --test server files:: -- --nocapture
	.ci/full-disk
	$(CARGO) test --release --locked -p qpc-client --lib five_hundred_of_a_thousand -- --ignored --nocapture
	QPC_RACES="50 1000" $(CARGO) test --release --locked -p qpc-server --test server many_who_change -- --nocapture

audit: ## Advisories, licences, bans; needs a network and cargo-deny.
	cargo deny check

dist: deps ## Programs to hand on, with man pages, completions and checksums, in target/dist-out; libcrypto and the C library stay the system's.
	.ci/dist

deb: deps ## A Debian package of the same, there as well; needs cargo-deb.
	.ci/dist deb
