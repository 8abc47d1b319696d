#!/bin/bash
# MariaDB 10.11.18: CREATE USER u@'127.0.0.0/8' succeeds, and nobody can ever log in with it.
#
# MySQL understands a prefix length in the host of an account since 8.0.23. MariaDB takes the same text without a warning, stores it,
# and compares it as a name. The netmask form works in both. It is a silent loss when accounts of MySQL are moved to MariaDB.
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
{
    sql --show-warnings -e "CREATE USER prefix@'127.0.0.0/8' IDENTIFIED BY 'not a secret'; CREATE USER mask@'127.0.0.0/255.0.0.0' IDENTIFIED BY 'not a secret';
        SELECT User, Host FROM mysql.user WHERE User IN ('prefix', 'mask') ORDER BY 1"
    for user in mask prefix; do
        MYSQL_PWD='not a secret' mariadb --no-defaults --protocol=tcp -h 127.0.0.1 -P "$port" -u "$user" -N -e "SELECT CURRENT_USER()" 2>&1 || true
    done
} | tee seen
diff seen - <<'OUT'
mask	127.0.0.0/255.0.0.0
prefix	127.0.0.0/8
mask@127.0.0.0/255.0.0.0
ERROR 1045 (28000): Access denied for user 'prefix'@'localhost' (using password: YES)
OUT
