#!/usr/bin/env bash
# Measures what gramwatt costs, beside Debian's node_exporter on the same tree, in one run. A machine
# with nothing else to do gives figures worth quoting; the ratios hold on any. Then what a lab of a thousand nodes costs
# one Prometheus, in some minutes and 10 GB of disk.
set -euo pipefail
cd "$(dirname "$0")/.."

tools=$PWD/target/tools
export PATH="$tools/bin:$PATH"
scratch=$(mktemp -d "$PWD/target/bench.XXXXXX")
trap 'rm -rf "$scratch"' EXIT

if ! command -v prometheus-node-exporter >/dev/null; then
    echo "bench: unpacking Debian's prometheus-node-exporter into target/tools"
    mkdir -p "$tools/bin"
    (cd "$scratch" && apt-get download prometheus-node-exporter && dpkg-deb -x ./*.deb .) || {
        echo "bench: cannot fetch it; install it: apt-get install prometheus-node-exporter" >&2
        exit 1
    }
    mv "$scratch/usr/bin/prometheus-node-exporter" "$tools/bin/"
fi

cargo bench --locked --bench cost

python3 -B tests/lab/scale.py "$scratch/scale"
