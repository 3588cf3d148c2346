#!/usr/bin/env bash
# Format, code, dependencies and scripts, as `make lint` checks them.
set -euo pipefail
cd "$(dirname "$0")/.."

step() {
    echo "+ $*"
    "$@"
}

step cargo fmt --check
step cargo clippy --locked --all-targets --quiet -- -D warnings
step cargo fmt --check --manifest-path fuzz/Cargo.toml
for folder in grafana/source tests/lab tests/cluster tests/image helm; do
    (cd "$folder" && step mypy --strict --cache-dir=/dev/null --no-error-summary ./*.py)
done
(cd scripts && step mypy --strict --cache-dir=/dev/null --no-error-summary oci.py sbom.py)
step shellcheck scripts/*.sh .ci/run deploy/debian/* deploy/rpm/*
step cargo-deny --locked --log-level warn check --hide-inclusion-graph licenses bans sources

# Advisories are news, and come over the network: where there is none, that is said and is no failure.
echo "+ cargo-deny check advisories"
if cargo-deny --log-level off fetch db 2>/dev/null; then
    cargo-deny --locked --log-level warn check --hide-inclusion-graph advisories
else
    echo "lint: WARNING: the database of advisories (github.com/rustsec/advisory-db) cannot be reached," >&2
    echo "lint: WARNING: so dependencies were NOT checked for known vulnerabilities" >&2
fi
