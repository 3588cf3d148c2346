#!/usr/bin/env bash
# A synthetic node with eight GPUs, a Prometheus with our rules, and an Alertmanager, on this machine, until Ctrl-C: what
# deploy/compose.yaml does, without Docker and without Grafana. Everything is below target/demo.
#
#     demo.sh [GRAMWATT]     PORTS="10061 9090 9093" are those of gramwatt, Prometheus, Alertmanager
set -euo pipefail
cd "$(dirname "$0")/.."

program=${1:-target/release/gramwatt}
read -r own prometheus alertmanager <<<"${PORTS:-10061 9090 9093}"
folder=${FOLDER:-$PWD/target/demo}
export PATH="$PWD/target/tools/bin:$PATH"

mkdir -p "$folder"
# The same configuration as compose.yaml's, on this machine's addresses.
sed -e "s|\.\./rules|$PWD/deploy/rules|" -e "s|gramwatt:10061|127.0.0.1:$own|" \
    -e "s|alertmanager:9093|127.0.0.1:$alertmanager|" -e "s|localhost:9090|127.0.0.1:$prometheus|" \
    deploy/prometheus/prometheus.yaml >"$folder/prometheus.yaml"

# Whoever ends, all end.
trap 'trap - EXIT; kill 0' EXIT
trap 'exit 0' INT TERM

"$program" --demo --grid.zone=DE --node.pue=1.3 --web.listen-address="127.0.0.1:$own" --state.directory="$folder" \
    --log.level=warn &
prometheus --config.file="$folder/prometheus.yaml" --storage.tsdb.path="$folder/history" --log.level=warn \
    --storage.tsdb.retention.time=400d --web.listen-address="127.0.0.1:$prometheus" &
prometheus-alertmanager --config.file=deploy/alertmanager/alertmanager.yaml --storage.path="$folder/alerts" \
    --cluster.listen-address= --log.level=warn --web.listen-address="127.0.0.1:$alertmanager" &

echo "gramwatt      http://127.0.0.1:$own/"
echo "Prometheus    http://127.0.0.1:$prometheus/graph?g0.expr=gramwatt_node_power_watts&g0.tab=0"
echo "alerts        http://127.0.0.1:$prometheus/alerts"
echo "Alertmanager  http://127.0.0.1:$alertmanager/"
wait -n
