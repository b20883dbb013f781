# `make` lists the targets.

CARGO ?= cargo
VMM   := target/release/vmm

.PHONY: help build run test linux-guest test-linux check bench soak doc clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build vmm, the payload inside it
	$(CARGO) build --release -p vmm

run: build ## run the bundled payload on 4 vCPUs for a few seconds and print the report
	$(VMM) run --vcpus 4

test: ## run every test
	tests/run-all

linux-guest: ## a small Linux with PV spinlocks and lock torture from Debian's sources, into target/linux-guest
	tests/linux/build

test-linux: ## boot that Linux on 1, 2 and 4 vCPUs
	tests/linux/run

check: ## formatting, lints and documentation, without warnings
	tests/check

bench: build ## measure against the floors and peers; writes target/bench.json
	$(CARGO) build --release -p vmm-tests --bins
	target/release/bench --json target/bench.json

soak: build ## 10,000 snapshots, 1,000 migrations and the control that has to lose kicks; target/soak-*.json
	$(VMM) soak --mode snapshot --cycles 10000 --json target/soak-snapshot.json
	$(VMM) soak --mode migrate --cycles 1000 --json target/soak-migrate.json
	$(VMM) soak --mode snapshot --cycles 200 --no-repair --json target/soak-no-repair.json; test $$? = 1
	grep -Eq '"lost_kicks": *[1-9]' target/soak-no-repair.json

doc: ## API documentation into target/doc, and the book into docs/book where mdbook is installed
	$(CARGO) doc --no-deps --workspace
	@command -v mdbook >/dev/null && mdbook build docs || echo "mdbook is not installed: docs is plain Markdown"

clean: ## remove what was built
	$(CARGO) clean
	rm -rf docs/book
