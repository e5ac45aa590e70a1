# make explains every target; make all builds, lints and tests.

SHELL := bash
# One set of flags for the program, its tests and the linter: other flags compile every package once more.
export CGO_ENABLED := 0
export GOFLAGS := $(strip $(shell go env GOFLAGS) -trimpath)
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# A semantic version: NATS micro takes no other.
VERSION  ?= 0.1.0+$(shell git describe --always --dirty --exclude '*' 2>/dev/null || echo dev)
LDFLAGS  := -s -w -X main.version=$(VERSION)
WEFT     := bin/weft
TOOLS    := bin/tools
REPORTS  := build/reports
# The files that cmd/weft-generate writes.
GENERATED := docs/subjects.md docs/openapi.json docs/providers.md docs/provider.schema.json docs/settings.md \
	cmd/weft/settings/descriptions.json deploy/chart/values.schema.json nats.conf

# Parameters: make test PKG=./kv/..., make torture DURATION=5m, make run ARGS='--data /srv/weft', …
PKG      ?= ./...
ARGS     ?=
# Tests wait for disks and for one another more than they compute: so many of a package run at once.
PARALLEL ?= 8
GOTESTFLAGS ?=
RERUNS   ?= 0
NATS     ?= nats://127.0.0.1:4222
BENCH    ?= .
DURATION ?= 10s
IMAGE    ?= weft:$(subst +,-,$(VERSION))
COMPOSE  ?= docker compose
PLATFORMS ?= linux/amd64,linux/arm64
PUSH     ?=
WEFT_CONFORMANCE ?= $(abspath ../shared/conformance)
SPECS    ?= build/specs

ACTORS := auth integration workflow consent notification

# gotestsum runs go test on packages and prints its lines; the JSON that it keeps is what .ci/run counts. With RERUNS, tests that
# failed get that many more chances, and the report names them: a test that needs one has a fault, which need not be the change's.
gotest = $(TOOLS)/gotestsum --format standard-quiet --jsonfile $(REPORTS)/$(1).json --packages "$(2)" \
	$(if $(filter-out 0,$(RERUNS)),--rerun-fails=$(RERUNS) --rerun-fails-max-failures=4 --rerun-fails-run-root-test \
	--rerun-fails-report $(REPORTS)/$(1).reruns) --

.PHONY: all
all: build lint test ## Build, lint and test

.PHONY: help
help: ## Explain every target
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  %-17s %s\n", $$1, $$2}' \
		$(firstword $(MAKEFILE_LIST))

##@ Running

.PHONY: run
run: build ## Build and start everything in one process, outbound calls to this machine allowed (ARGS='--data DIR')
	$(WEFT) up --dev $(ARGS)

.PHONY: run-auth run-integration run-workflow run-consent run-notification
run-auth: ## Build and start the auth actor alone, against NATS=nats://…
run-integration: ## Build and start the integration actor alone
run-workflow: ## Build and start the workflow actor alone
run-consent: ## Build and start the consent actor alone
run-notification: ## Build and start the notification actor alone
$(ACTORS:%=run-%): run-%: build
	$(WEFT) run --actors $* --nats $(NATS) $(ARGS)

.PHONY: run-gateway
run-gateway: build ## Build and start the gateway alone, against NATS=nats://…
	$(WEFT) run --gateway --nats $(NATS) $(ARGS)

##@ Building and testing

.PHONY: build
build: ## Build bin/weft: static, stripped, without cgo
	@test -x $(WEFT) || echo 'Building bin/weft: the first time it downloads and compiles some 700 packages, which takes one to three minutes.'
	@# -v names each package that is compiled; they are shown as a count.
	@go build -v -ldflags '$(LDFLAGS)' -o $(WEFT) ./cmd/weft 2>&1 | scripts/progress.sh

.PHONY: test
test: $(TOOLS)/gotestsum ## Run all tests with coverage, on SQLite and on PostgreSQL (PKG=./kv/... for some)
	@mkdir -p $(REPORTS)
	scripts/in_memory.sh scripts/postgres.sh with $(call gotest,test,$(PKG)) -timeout 10m -parallel $(PARALLEL) -coverprofile=$(REPORTS)/coverage.out $(GOTESTFLAGS)
	@go tool cover -func=$(REPORTS)/coverage.out | tail -n 1

.PHONY: chart
chart: ## Render the Helm chart with Helm's engine, and judge it by the schemas of three versions of Kubernetes
	scripts/in_memory.sh go -C tools/chart test -count=1 ./...

.PHONY: conformance
conformance: $(TOOLS)/gotestsum ## Run the tests and data that others wrote (WEFT_CONFORMANCE=DIR)
	@test -d '$(WEFT_CONFORMANCE)' || { echo 'no conformance data in $(WEFT_CONFORMANCE): set WEFT_CONFORMANCE' >&2; exit 1; }
	@mkdir -p $(REPORTS)
	@if [[ -n $${CI:-} ]]; then scripts/conformance_tools.sh; fi
	flags=$$(scripts/tagged.sh flags conformance); packages=$$(scripts/tagged.sh packages conformance); \
		WEFT_CONFORMANCE='$(WEFT_CONFORMANCE)' \
		scripts/in_memory.sh scripts/postgres.sh with $(call gotest,conformance,$$packages) -count=1 -timeout 20m $(GOTESTFLAGS) $$flags

.PHONY: specs
specs: ## Fetch the descriptions that providers publish of their APIs into SPECS, cut to what the manifests use
	scripts/specs.sh '$(SPECS)'

.PHONY: conformance-specs
conformance-specs: $(TOOLS)/gotestsum ## Judge every provider by what make specs fetched
	@ls '$(SPECS)'/*.json >/dev/null 2>&1 || { echo 'no descriptions in $(SPECS): run make specs' >&2; exit 1; }
	@mkdir -p $(REPORTS)
	flags=$$(scripts/tagged.sh flags specs); packages=$$(scripts/tagged.sh packages specs); \
		WEFT_SPECS='$(abspath $(SPECS))' $(call gotest,specs,$$packages) -count=1 $(GOTESTFLAGS) $$flags

.PHONY: torture
torture: $(TOOLS)/gotestsum ## Run what is slow by nature: kill storms, statistics (DURATION=5m for each)
	@mkdir -p $(REPORTS)
	flags=$$(scripts/tagged.sh flags torture); packages=$$(scripts/tagged.sh packages torture); \
		WEFT_TORTURE_DURATION='$(DURATION)' \
		scripts/postgres.sh with $(call gotest,torture,$$packages) -count=1 -p 1 -timeout 0 $(GOTESTFLAGS) $$flags

.PHONY: torture-cluster
torture-cluster: $(TOOLS)/gotestsum ## Kill, cut off and upgrade the parts of a cluster under load (DURATION=30s for each)
	@mkdir -p $(REPORTS)
	WEFT_TORTURE_DURATION='$(DURATION)' scripts/postgres.sh with $(call gotest,torture-cluster,./e2e) -count=1 -timeout 0 $(GOTESTFLAGS) \
		-tags torture,cluster -run '^(TestCluster(Server|Process)Faults|TestClusterPartition|TestRollingUpgrade)$$'

.PHONY: bench
bench: ## Run the benchmarks, one package at a time (BENCH=regexp, PKG=./gateway)
	WEFT_POSTGRES_FSYNC=on scripts/postgres.sh with go test -run '^$$' -bench '$(BENCH)' -benchmem -p 1 -timeout 30m $(GOTESTFLAGS) $(PKG)

.PHONY: lint
lint: $(TOOLS)/golangci-lint ## Check the code against .golangci.yml, the import rules, the layout and the retired words
	scripts/names.sh
	scripts/words.sh
	scripts/layout.sh
	$(TOOLS)/golangci-lint run $(PKG)

.PHONY: format
format: $(TOOLS)/golangci-lint ## Rewrite the code as the formatters want it
	$(TOOLS)/golangci-lint fmt

.PHONY: generate
generate: ## Write nats.conf, docs/{subjects.md,openapi.json,providers.md,provider.schema.json,settings.md} and the dashboards
	go run ./cmd/weft-generate
	go -C tools run ./dashboards

.PHONY: check-generated
check-generated: ## Fail unless the generated files are what the contract generates
	@fresh=$$(mktemp -d); trap 'rm -rf "$$fresh"' EXIT; go run ./cmd/weft-generate "$$fresh"; stale=0; \
	for file in $(GENERATED); do diff -u "$$file" "$$fresh/$$file" | head -n 40 || stale=1; done; \
	go -C tools run ./dashboards "$$fresh/dashboards"; diff -ru deploy/monitoring/dashboards "$$fresh/dashboards" | head -n 40 || stale=1; \
	if [[ $$stale -ne 0 ]]; then echo 'not what the contract generates: run make generate' >&2; exit 1; fi

##@ Tools and images

.PHONY: install-tools
install-tools: $(TOOLS)/golangci-lint $(TOOLS)/gotestsum $(TOOLS)/nats ## Build the pinned tools of tools/go.mod into bin/tools

# The tools have a module of their own, so that their dependencies do not decide ours.
$(TOOLS)/golangci-lint: tools/go.mod tools/go.sum
	go -C tools build -o ../$@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint
$(TOOLS)/gotestsum: tools/go.mod tools/go.sum
	go -C tools build -o ../$@ gotest.tools/gotestsum
$(TOOLS)/nats: tools/go.mod tools/go.sum
	go -C tools build -o ../$@ github.com/nats-io/natscli/nats

.PHONY: clean
clean: ## Remove what was built; data folders stay
	rm -rf bin build

.PHONY: image
image: ## Build the container images without a daemon, for docker load and podman load (IMAGE=weft:…, PLATFORMS=linux/amd64)
	go -C tools run ./image --repo .. --out ../build/image --tag '$(IMAGE)' --version '$(VERSION)' --platforms '$(PLATFORMS)' \
		$(if $(PUSH),--push '$(PUSH)')

# What is released: an archive for each system, a bill of materials, and checksums.
RELEASE_FOR ?= linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64

.PHONY: release
release: ## Build the archives of a release with checksums and a bill of materials into build/release (VERSION=1.2.3)
	@rm -rf build/release && mkdir -p build/release
	@for target in $(RELEASE_FOR); do \
		name=weft-$(VERSION)-$${target%/*}-$${target#*/}; dir=build/release/$$name; mkdir "$$dir"; suffix=; \
		[[ $$target != windows/* ]] || suffix=.exe; \
		echo "$$name"; \
		GOOS=$${target%/*} GOARCH=$${target#*/} go build -ldflags '$(LDFLAGS)' -o "$$dir/weft$$suffix" ./cmd/weft; \
		cp LICENSE NOTICE README.md CHANGELOG.md "$$dir"; cp deploy/systemd/weft.service "$$dir"; \
		tar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$$(git log -1 --format=%ct)" -C build/release -cf - "$$name" | gzip -9n >"$$dir.tar.gz"; \
		rm -r "$$dir"; \
	done
	go run github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0 app -json -licenses -main cmd/weft -output build/release/weft-$(VERSION).cdx.json .
	@cd build/release && sha256sum -- * >SHA256SUMS

.PHONY: lint-workflows
lint-workflows: ## Check the workflows of GitHub Actions
	go run github.com/rhysd/actionlint/cmd/actionlint@v1.7.12 -shellcheck= .github/workflows/*.yml

.PHONY: docker-build
docker-build: ## Build the container image with docker (IMAGE=weft:…)
	docker build --build-arg VERSION='$(VERSION)' --tag '$(IMAGE)' --file deploy/Dockerfile .

.PHONY: docker-up
docker-up: ## Start weft as six processes with NATS, PostgreSQL and Prometheus (deploy/compose.yaml)
	VERSION='$(VERSION)' $(COMPOSE) --file deploy/compose.yaml up --detach --build

.PHONY: docker-down
docker-down: ## Stop them; their volumes stay
	$(COMPOSE) --file deploy/compose.yaml down
