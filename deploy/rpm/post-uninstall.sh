#!/bin/sh
[ -d /run/systemd/system ] && systemctl daemon-reload >/dev/null 2>&1
# An upgrade: the books go on. What was stopped stays so.
if [ "$1" -ge 1 ]; then
    systemctl try-restart gramwatt.service >/dev/null 2>&1
fi
exit 0
