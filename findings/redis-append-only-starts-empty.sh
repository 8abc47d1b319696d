#!/bin/bash
# Redis 7.0.15: a server with "appendonly yes" and only a snapshot (dump.rdb) starts empty, without an error or a warning.
#
# The snapshot of a backup, or of a server whose "appendonly" was off, is ignored, and the next snapshot replaces it: the data are gone. The
# same files load when the snapshot is made the first part of the append-only files: a link under another name and a manifest of one line.
#
# Seen on 2026-11-27 with Debian's packages of bookworm. Exits 0 while this is so.
set -euo pipefail
version=5:7.0.15-1~deb12u10
work=$(mktemp -d)
trap 'for pid in $(jobs -p); do kill "$pid" 2>/dev/null || true; done; wait; rm -rf "$work"' EXIT
cd "$work"
apt-get download -q "redis-server=$version" "redis-tools=$version" libjemalloc2 liblua5.1-0 liblzf1 libatomic1 libhiredis0.14 >/dev/null
for package in *.deb; do dpkg-deb -x "$package" root; done
export LD_LIBRARY_PATH=$work/root/usr/lib/x86_64-linux-gnu PATH=$work/root/usr/bin:$PATH
mkdir data
ask() { redis-cli -s "$work/s" "$@"; }
serve() {
    redis-server --port 0 --unixsocket "$work/s" --dir "$work/data" --save "" "$@" >>log 2>&1 &
    for _ in $(seq 100); do ask ping 2>/dev/null | grep -q PONG && return; sleep 0.1; done
    cat log; exit 1
}
finish() { ask shutdown nosave; wait; }
{
    serve --appendonly no
    ask set k v >/dev/null; ask save >/dev/null; finish
    serve --appendonly yes; echo "snapshot alone: $(ask dbsize)"; finish
    rm -r data/appendonlydir; mkdir data/appendonlydir
    ln data/dump.rdb data/appendonlydir/appendonly.aof.1.base.rdb
    echo "file appendonly.aof.1.base.rdb seq 1 type b" >data/appendonlydir/appendonly.aof.manifest
    serve --appendonly yes; echo "snapshot as the first part: $(ask dbsize)"; finish
} | tee seen
diff seen - <<'OUT'
snapshot alone: 0
snapshot as the first part: 1
OUT
