#!/bin/sh
# Tells how far it is, by the socket of runs: gramwatt run -- sh progress.sh
set -eu

# Tells that so many of so many units of work are done; nothing where `gramwatt run` does not run this.
tell() {
    [ -n "${GRAMWATT_RUN:-}" ] || return 0
    curl --silent --show-error --fail --unix-socket "$GRAMWATT_SOCKET" \
        --data "{\"done\": $1, \"total\": $2}" "http://localhost/v1/runs/$GRAMWATT_RUN/progress"
}

for epoch in 1 2 3 4 5; do
    seq 1 500000 | sha256sum >/dev/null # the work
    tell "$epoch" 5
done
