#!/bin/bash
# oslo.config 10.7.0: a list option whose items are all quoted loses its outer quotes only.
#
# The reader of configuration files strips one quote from both ends of a value that begins and ends with the same quote, before
# the value is split into items. So names = "admin","operator" becomes the two items  admin"  and  "operator.  With one quoted item, or
# with quotes around the first item only, nothing is stripped at all. Items of types.String(quotes=True) do not help: the same
# line is then refused as "Non-closed quote".
#
# Seen on 2026-11-27 with Python 3.11. Exits 0 while this is so.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check oslo.config==10.7.0
cat >"$work/look.py" <<'PY'
import sys
from oslo_config import cfg, types

conf = cfg.ConfigOpts()
conf.register_opts([cfg.ListOpt("plain"), cfg.ListOpt("first_only"), cfg.ListOpt("all"),
                    cfg.ListOpt("typed", item_type=types.String(quotes=True))])
conf([], default_config_files=[sys.argv[1]])
for name in ("plain", "first_only", "all"):
    print(name, conf[name])
try:
    print("typed", conf.typed)
except cfg.ConfigFileValueError as error:
    print("typed", str(error).partition("is not valid: ")[2])
PY
cat >"$work/some.conf" <<'INI'
[DEFAULT]
plain = admin,operator
first_only = "admin",operator
all = "admin","operator"
typed = "admin,one","operator"
INI
"$work/venv/bin/python" "$work/look.py" "$work/some.conf" >"$work/seen"
cat "$work/seen"
diff "$work/seen" - <<'OUT'
plain ['admin', 'operator']
first_only ['"admin"', 'operator']
all ['admin"', '"operator']
typed Non-closed quote: "operator
OUT
