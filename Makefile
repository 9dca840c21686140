# For people and build servers. Every target first installs the programs that it needs (ecosystem/dev/setup.sh lists them).

SHELL := /bin/bash
.DEFAULT_GOAL := help
# The compiler checks SQL against the committed .sqlx, so that building needs no database; `make sqlx` renews .sqlx.
export SQLX_OFFLINE := true

.PHONY: help demo test soak fuzz lint docs bench deb sqlx

# Seconds that `make fuzz` spends on each target.
SECONDS := 60

help: ## Show this list
	@sed -n 's/^\([a-z]*\): .*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 14

demo: ## Show two messages on their way: private Postgres, sandbox, worker, two sessions (DEMO_EXIT=1 ends after the story)
	@ecosystem/dev/setup.sh demo
	@ecosystem/dev/demo.sh

test: ## Run all tests, with the sandbox
	@ecosystem/dev/setup.sh test
	@ecosystem/dev/test.sh

soak: ## Run the long variants of tests, with new random inputs
	@ecosystem/dev/setup.sh soak
	@PROPTEST_RNG_SEED=$$RANDOM ecosystem/dev/test.sh --run-ignored only -E 'test(in_long_)'

fuzz: ## Fuzz each decoder for SECONDS=60 (docs/testing.md)
	@ecosystem/dev/setup.sh fuzz
	@ecosystem/dev/fuzz.sh $(SECONDS)

lint: ## Check format, lints, documentation, dependencies and the SQL data
	@ecosystem/dev/setup.sh lint
	cargo fmt --all --check
	cargo deny check bans licenses sources
	cargo clippy --locked --all-targets -- -D warnings
	@. ecosystem/dev/lib.sh && cargo_settled
	cargo clippy --locked --workspace --all-targets --features sandbox -- -D warnings
	RUSTDOCFLAGS=-Dwarnings cargo doc --locked --workspace --no-deps --features sandbox
	ecosystem/dev/sqlx.sh --check

docs: ## Build the book into target/book/html and check its links
	@ecosystem/dev/setup.sh docs
	@ecosystem/book/build.sh

bench: ## Measure job engine, auth state and end-to-end messages beside their references, which are installed first (docs/benchmarks.md)
	@ecosystem/dev/setup.sh demo
	@ecosystem/bench/peers/install.sh || echo 'References that could not be installed are reported as missing.'
	ecosystem/bench/queue.sh

sqlx: ## Renew .sqlx after a change to a statement, a table or a function
	@ecosystem/dev/setup.sh sqlx
	ecosystem/dev/sqlx.sh

deb: ## Build the Debian package in target/debian (docs/installing.md)
	@ecosystem/dev/setup.sh soak
	ecosystem/deploy/deb.sh
