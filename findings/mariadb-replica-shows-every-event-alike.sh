#!/bin/bash
# MariaDB 10.11.18: an event that was disabled at the source looks on its replica exactly like one that was enabled there.
#
# A replica does not run the events of its source, so every event arrives as SLAVESIDE_DISABLED. That state replaces DISABLED too: after a
# failover neither information_schema.EVENTS, mysql.event nor SHOW CREATE EVENT of the replica tell which events ran at the source. Whoever
# promotes a replica and enables its events also starts those that somebody had switched off. Ask the source beforehand.
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
start() {   # ID PORT: a server of its own with an empty data directory
    mkdir "$work/$1"
    mariadb-install-db --no-defaults --user="$(id -un)" --basedir="$work/root/usr" --datadir="$work/$1/data" --skip-test-db \
        --auth-root-authentication-method=normal >"$work/$1/install" 2>&1
    mariadbd --no-defaults --user="$(id -un)" --basedir="$work/root/usr" --datadir="$work/$1/data" --socket="$work/$1/s" --port="$2" \
        --bind-address=127.0.0.1 --server-id="$1" --log-bin="$work/$1/binlog" --event-scheduler=ON --pid-file="$work/$1/pid" \
        >"$work/$1/log" 2>&1 &
    for _ in $(seq 120); do sql "$1" "SELECT 1" >/dev/null 2>&1 && return; sleep 0.5; done
    cat "$work/$1/log"; exit 1
}
sql() { mariadb --no-defaults --protocol=socket --socket="$work/$1/s" -u root -N -e "$2"; }
port=$(python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
start 1 "$port"
start 2 0
sql 1 "CREATE DATABASE d; CREATE USER r@'127.0.0.1' IDENTIFIED BY 'not a secret'; GRANT REPLICATION SLAVE ON *.* TO r@'127.0.0.1'"
sql 2 "CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT=$port, MASTER_USER='r', MASTER_PASSWORD='not a secret',
       MASTER_USE_GTID=slave_pos; START SLAVE"
sql 1 "CREATE EVENT d.runs ON SCHEDULE EVERY 1 HOUR ENABLE DO SELECT 1; CREATE EVENT d.switched_off ON SCHEDULE EVERY 1 HOUR DISABLE DO SELECT 1;
       CREATE EVENT d.switched_off_later ON SCHEDULE EVERY 1 HOUR ENABLE DO SELECT 1; ALTER EVENT d.switched_off_later DISABLE;
       CREATE TABLE d.last (i INT)"
for _ in $(seq 120); do sql 2 "SELECT i FROM d.last" >/dev/null 2>&1 && break; sleep 0.5; done
sql 1 "SELECT VERSION()" | cut -d- -f1,2
for server in 1 2; do
    sql "$server" "SELECT CONCAT('server $server ', name, ' ', status) FROM mysql.event WHERE db = 'd' ORDER BY name"
    sql "$server" "SHOW CREATE EVENT d.switched_off" | grep -o "ON COMPLETION NOT PRESERVE [A-Z ]* DO"
done | tee seen
diff seen - <<'OUT'
server 1 runs ENABLED
server 1 switched_off DISABLED
server 1 switched_off_later DISABLED
ON COMPLETION NOT PRESERVE DISABLE DO
server 2 runs SLAVESIDE_DISABLED
server 2 switched_off SLAVESIDE_DISABLED
server 2 switched_off_later SLAVESIDE_DISABLED
ON COMPLETION NOT PRESERVE DISABLE ON SLAVE DO
OUT
