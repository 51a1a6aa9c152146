# What people type here. `make help` lists it; `make check` is what CI runs after the tests.

tool = go tool -modfile=tools/$(1)/go.mod $(1)
# Proto changes are compared with this commit, so that no client of yesterday breaks.
against ?= .git#branch=main

.DEFAULT_GOAL := help
.PHONY: help gen fresh lint test race docs check build sbom vuln bench demo up

help:  ## list the targets
	@grep -hE '^[a-z]+: .*##' $(MAKEFILE_LIST) | sed -E 's/:.*## */\t/' | expand -t 10

gen:  ## regenerate gen/ and the *db packages
	$(call tool,buf) generate
	$(call tool,sqlc) generate

docs:  ## rewrite the pages of docs/ that the code knows
	go test ./cmd/dayof -run TestGeneratedPages -update

fresh:  ## fail when generated code differs from its source
	.ci/fresh

lint:  ## proto, SQL and Go
	$(call tool,buf) lint
	$(call tool,buf) format --diff --exit-code proto
	$(call tool,buf) breaking --against '$(against)'
	$(call tool,sqlc) diff
	$(call tool,golangci-lint) run ./...

test:  ## all tests; needs Go and nothing else
	go test ./...

race:  ## the tests under the race detector
	go test -race ./...

check: lint fresh race  ## what CI runs

build:  ## both programs, into bin/
	CGO_ENABLED=0 go build -trimpath -o bin/ ./cmd/dayof ./cmd/dayof-server

sbom:  ## the bill of materials of bin/dayof-server, into bin/
	mkdir -p bin && .ci/sbom bin/dayof-server.cdx.json

vuln:  ## known vulnerabilities that the code calls
	.ci/vulnerabilities

bench:  ## repeat the measurements of docs/performance.md; takes an hour and more
	go run ./bench/checkout -costs
	go run ./bench/checkout -idle 60
	go run ./bench/checkout -orders 10000,100000,1000000 -rounds 1
	go run ./bench/checkout -orders 100000 -callers 64 -replicas 2
	go run ./bench/checkout -orders 100000 -callers 64 -replicas 4
	go run ./bench/passes -rounds 3
	go run ./bench/reconcile
	go run ./bench/webhooks
	go run ./bench/holds
	go run ./bench/holds -rush 20000
	go run ./bench/holds -rush 20000 -seated
	cd bench/engines && go run . && go run . -jobs && go run . -sale

demo:  ## sell one ticket, keep the three files
	go run ./cmd/dayof demo

up:  ## run everything in the foreground
	go run ./cmd/dayof up
