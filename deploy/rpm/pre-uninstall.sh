#!/bin/sh
# The last version goes, and not for a newer one.
if [ "$1" -eq 0 ]; then
    systemctl --no-reload disable --now gramwatt.socket gramwatt-runs.socket gramwatt.service >/dev/null 2>&1
fi
exit 0
