# What a person does with this repository. `make help` lists it.

# Zone of the grid whose yearly average `make run` uses. There is no silent default: it is said on
# start, and where a configuration file or a --grid flag decides, nothing is added here.
ZONE ?= $(if $(findstring --config.file,$(ARGS))$(findstring --grid.,$(ARGS)),,WORLD)
# Further flags for `make run`, such as ARGS="--demo --sensors.interval=5s".
ARGS ?=
# Seconds for each fuzz target.
SECONDS_EACH ?= 60

RUN := cargo run --quiet --release --locked --
FLAGS := $(if $(ZONE),--grid.zone=$(ZONE)) $(ARGS)

# What setup-tests.sh puts there goes before what the machine has.
export PATH := $(CURDIR)/target/tools/bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help run demo setup test test-cluster lint fuzz golden docs dashboards chart lab image packages bench clean

help: ## List what can be done
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

run: ## Build, look at this machine, and serve its watts, joules and CO2e on :10061 (ZONE=DE, ARGS=...)
	@cargo build --release --locked
	@echo
	@echo '== what can be measured here (gramwatt doctor) =='
	@$(RUN) doctor $(FLAGS) || true
	@echo
ifeq ($(ZONE),WORLD)
	@echo 'CO2e is computed with the average of the WORLD: `make run ZONE=DE` (or US-CA, SE-SE3, ...) gives yours.'
endif
	@echo '== serving until Ctrl-C =='
	@exec $(RUN) $(FLAGS)

demo: setup ## Serve a synthetic node with eight GPUs, a Prometheus with our rules on :9090, an Alertmanager on :9093
	@cargo build --release --locked
	@scripts/demo.sh target/release/gramwatt

setup: ## Fetch what test and lint need, into target/tools
	@scripts/setup-tests.sh

test: setup ## Run all tests, and each fuzz target for some seconds, always with the same inputs
	@scripts/fuzz.sh --same 5
	cargo test --locked

test-cluster: setup ## Install the chart in the cluster of KUBECONFIG with the image IMAGE, and look whether it does what it says
	python3 -B tests/cluster/cluster.py

lint: setup ## Check format, code, licences of dependencies, and scripts
	@scripts/lint.sh

fuzz: setup ## Run each fuzz target for SECONDS_EACH=60 seconds
	@scripts/fuzz.sh $(SECONDS_EACH)

golden: ## Write the golden pages anew; read the difference before you commit it
	UPDATE_GOLDEN=1 cargo test --locked --test suite golden
	git diff --stat -- tests

docs: ## Write the generated parts of README.md and docs/prediction.md anew
	UPDATE_DOCS=1 cargo test --locked --test suite -- repo prediction
	git diff --stat -- README.md docs tests/fixtures/runs

dashboards: ## Write the dashboards in grafana/ anew from grafana/source
	python3 -B grafana/source/build.py
	git diff --stat -- grafana

chart: setup ## Write the chart's rules, dashboards, schema and table of values anew
	python3 -B helm/chart.py
	git diff --stat -- helm

lab: setup ## Serve thirty days of a made-up lab of forty nodes from a Prometheus on :9090, to look at dashboards with
	python3 -B tests/lab/fill.py now target/lab --serve 127.0.0.1:9090

image: ## Pack a container image of this machine's architecture as target/gramwatt.oci.tar
	cargo build --release --locked
	@scripts/image_debs.sh target/tools/image-debs
	@rm -rf target/image
	@scripts/rootfs.sh target/image target/release/gramwatt
	@python3 -B scripts/oci.py target/image target/gramwatt.oci.tar "$$(git rev-parse HEAD)"

packages: setup ## Build the packages for Debian and Fedora, into target/packages
	cargo build --release --locked
	rm -rf target/manual
	cargo run --quiet --locked --example manual -- target/manual
	mkdir -p target/packages
	cargo deb --no-build --locked --output target/packages/
	cargo generate-rpm --output target/packages/
	@ls -l target/packages

bench: setup ## Measure speed and size against node_exporter, and what a large lab costs a Prometheus
	@scripts/bench.sh

clean: ## Remove everything that was built or fetched
	cargo clean
	rm -rf target fuzz/target
