# What a person or a build server runs. Every target installs what it needs first (ecosystem/dev/setup.sh says what).

SHELL := /bin/bash
.DEFAULT_GOAL := help
# SQL is checked against the committed .sqlx, so that building needs no database; `make sqlx` renews it.
export SQLX_OFFLINE := true

.PHONY: help demo test soak fuzz lint bench sqlx

# How long `make fuzz` tries each target.
SECONDS := 60

help: ## Show this list
	@sed -n 's/^\([a-z]*\): .*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 14

demo: ## Show a message on its way: private Postgres, sandbox, worker, two sessions (DEMO_EXIT=1 ends after the story)
	@ecosystem/dev/setup.sh demo
	@ecosystem/dev/demo.sh

test: ## Run all tests, with the sandbox
	@ecosystem/dev/setup.sh test
	@ecosystem/dev/test.sh

soak: ## Run the long variants of tests, with inputs that were not tried before
	@ecosystem/dev/setup.sh test
	@PROPTEST_RNG_SEED=$$RANDOM ecosystem/dev/test.sh --run-ignored only -E 'test(in_long_)'

fuzz: ## Try each decoder with made-up input, SECONDS=60 each (docs/testing.md)
	@ecosystem/dev/setup.sh fuzz
	@ecosystem/dev/fuzz.sh $(SECONDS)

lint: ## Check format, lints, documentation, dependencies and the SQL data
	@ecosystem/dev/setup.sh lint
	cargo fmt --check
	cargo deny check bans licenses sources
	cargo clippy --locked --all-targets -- -D warnings
	cargo clippy --locked --workspace --all-targets --features sandbox -- -D warnings
	RUSTDOCFLAGS=-Dwarnings cargo doc --locked --workspace --no-deps --features sandbox
	ecosystem/dev/sqlx.sh --check

bench: ## Measure the job engine, the auth state and messages end to end beside others, which are installed first (docs/benchmarks.md)
	@ecosystem/dev/setup.sh demo
	@ecosystem/bench/peers/install.sh || echo 'What is not installed is reported as missing.'
	ecosystem/bench/queue.sh

sqlx: ## Renew .sqlx after a change of a statement, a table or a function
	@ecosystem/dev/setup.sh sqlx
	ecosystem/dev/sqlx.sh
