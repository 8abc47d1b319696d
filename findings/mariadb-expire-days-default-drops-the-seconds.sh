#!/bin/bash
# MariaDB 10.11.18: SET GLOBAL expire_logs_days = DEFAULT also sets binlog_expire_logs_seconds to 0, so binary logs are kept for ever.
#
# The two variables are one setting since 10.6, and the last statement wins, also when it only takes back a setting that was never made.
# A program that resets each variable of a group to its default one by one loses the other one's value, or keeps it, depending on the order.
#
# Seen on 2026-11-27 with Debian's packages of bookworm. Exits 0 while this is so.
set -euo pipefail
version=1:10.11.18-0+deb12u1
work=$(mktemp -d)
trap 'for pid in $(jobs -p); do kill "$pid" 2>/dev/null || true; done; wait; rm -rf "$work"' EXIT
cd "$work"
apt-get download -q "mariadb-server-core=$version" "mariadb-client-core=$version" "mariadb-server=$version" "mariadb-client=$version" \
    libaio1 liburing2 libnuma1 libedit2 libbsd0 >/dev/null
for package in *.deb; do dpkg-deb -x "$package" root; done
export LD_LIBRARY_PATH=$work/root/usr/lib/x86_64-linux-gnu:$work/root/lib/x86_64-linux-gnu PATH=$work/root/usr/sbin:$work/root/usr/bin:$PATH
mkdir "$work/1"
mariadb-install-db --no-defaults --user="$(id -un)" --basedir="$work/root/usr" --datadir="$work/1/data" --skip-test-db \
    --auth-root-authentication-method=normal >"$work/1/install" 2>&1
port=$(python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
mariadbd --no-defaults --user="$(id -un)" --basedir="$work/root/usr" --datadir="$work/1/data" --socket="$work/1/s" --port="$port" \
    --bind-address=127.0.0.1 --server-id=1 --log-bin="$work/1/binlog" --pid-file="$work/1/pid" >"$work/1/log" 2>&1 &
sql() { mariadb --no-defaults --protocol=socket --socket="$work/1/s" -u root -N "$@"; }
for _ in $(seq 120); do sql -e "SELECT 1" >/dev/null 2>&1 && break; sleep 0.5; done
state() { sql -e "SELECT '$1', @@expire_logs_days, @@binlog_expire_logs_seconds"; }
{
    state "at the start"
    sql -e "SET GLOBAL binlog_expire_logs_seconds = 86400"
    state "a day in seconds"
    sql -e "SET GLOBAL expire_logs_days = DEFAULT"
    state "days to their default"
    sql -e "SET GLOBAL expire_logs_days = 0.5"
    state "half a day"
} | tee seen
diff seen - <<'OUT'
at the start	0.000000	0
a day in seconds	1.000000	86400
days to their default	0.000000	0
half a day	0.500000	43200
OUT
