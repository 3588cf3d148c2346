#!/bin/sh
# As Fedora's own packages do: the distribution's preset says whether the service is enabled, and the operator starts it.
[ -d /run/systemd/system ] && systemctl daemon-reload >/dev/null 2>&1
if [ "$1" -eq 1 ]; then
    systemctl --no-reload preset gramwatt.service >/dev/null 2>&1
fi
exit 0
