# `make` lists the targets.

CARGO ?= cargo
VMM   := target/release/vmm

# Nothing for a loader to find and bind: a third of a start without a guest. Where the C library is not
# there to be linked so, vmm is linked as usual. gettid, because Rust's library asks for it weakly,
# which finds nothing in an archive, and link-time optimisation makes one of its wish and of vmm's.
LIBC    = $(shell $(or $(CC),cc) -print-file-name=libc.a)
comma  := ,
STATIC  = $(if $(filter /%,$(LIBC)),-- -C target-feature=+crt-static -C link-arg=-Wl$(comma)-u$(comma)gettid)

# Where `make install` puts things; packagers add DESTDIR.
PREFIX  ?= /usr/local
DESTDIR ?=
# The version of cargo-deb that `make deb` installs where there is none.
CARGO_DEB := 3.8.0
ROOT    := $(DESTDIR)$(PREFIX)
SHARE   := $(ROOT)/share

.PHONY: help build run test linux-guest test-linux check fuzz supply-chain bench bench-compare soak long-run doc install uninstall deb package clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build vmm, the payload inside it
	$(CARGO) rustc --release -p vmm --bin vmm $(STATIC)

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

fuzz: ## run every fuzz target for a minute; needs a C++ compiler
	tests/fuzz/run

supply-chain: ## licences, sources, duplicates and known vulnerabilities of the dependencies
	tests/supply-chain

bench: build ## measure against the floors and peers; writes target/bench.json
	$(CARGO) build --release -p vmm-tests --bins
	target/release/bench --json target/bench.json

bench-compare: build ## compare OLD with NEW, two builds, git revisions or files of `make bench`; NEW is this build unless given
	tests/bench-compare "$(OLD)" "$(or $(NEW),$(VMM))" $(OPTIONS)

soak: build ## 10,000 snapshots, 1,000 migrations and the control that has to lose kicks; target/soak-*.json
	$(VMM) soak --mode snapshot --cycles 10000 --json target/soak-snapshot.json
	$(VMM) soak --mode migrate --cycles 1000 --json target/soak-migrate.json
	$(VMM) soak --mode snapshot --cycles 200 --no-repair --json target/soak-no-repair.json; test $$? = 1
	grep -Eq '"lost_kicks": *[1-9]' target/soak-no-repair.json

long-run: build ## the same and 200 runs of an experiment: whether memory and descriptors stay flat; target/long-run
	tests/long-run

doc: ## API documentation into target/doc, and the book into docs/book where mdbook is installed
	$(CARGO) doc --no-deps --workspace
	@if command -v mdbook > /dev/null; then mdbook build docs; \
	else echo "mdbook is not installed: docs is plain Markdown"; fi

install: $(VMM) ## vmm, its manual pages and completions into PREFIX (/usr/local), below DESTDIR if that is set
	install -D -m 755 $(VMM) "$(ROOT)/bin/vmm"
	install -d "$(SHARE)/man/man1" "$(SHARE)/bash-completion/completions" \
	  "$(SHARE)/zsh/site-functions" "$(SHARE)/fish/vendor_completions.d"
	$(VMM) man "$(SHARE)/man/man1" > /dev/null
	$(VMM) completions bash > "$(SHARE)/bash-completion/completions/vmm"
	$(VMM) completions zsh > "$(SHARE)/zsh/site-functions/_vmm"
	$(VMM) completions fish > "$(SHARE)/fish/vendor_completions.d/vmm.fish"
	install -D -m 644 -t "$(SHARE)/doc/vmm" README.md CHANGELOG.md LICENSE-APACHE LICENSE-MIT
	install -D -m 644 -t "$(SHARE)/doc/vmm/third-party" packaging/third-party/*

uninstall: ## remove what `make install` with the same PREFIX and DESTDIR has put there
	rm -f "$(ROOT)/bin/vmm" "$(SHARE)/man/man1/vmm.1" "$(SHARE)/man/man1/vmm-"*.1 \
	  "$(SHARE)/bash-completion/completions/vmm" "$(SHARE)/zsh/site-functions/_vmm" \
	  "$(SHARE)/fish/vendor_completions.d/vmm.fish"
	rm -rf "$(SHARE)/doc/vmm"

deb: build ## a Debian package, into target/debian
	command -v cargo-deb > /dev/null || $(CARGO) install cargo-deb --version $(CARGO_DEB) --locked
	rm -rf target/deb
	$(MAKE) install DESTDIR=target/deb PREFIX=/usr
	$(CARGO) deb --no-build -p vmm

package: ## the packages for a registry, and vmm built from them alone
	tests/package

# Built if it is missing only: `sudo make install` needs no cargo for root then.
$(VMM):
	$(MAKE) build

clean: ## remove what was built
	$(CARGO) clean
	rm -rf docs/book
