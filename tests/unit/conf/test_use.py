"""Every option is read somewhere: one that nobody reads promises what does not happen."""
import re
from pathlib import Path

from trove.common import cfg

PRODUCT = Path(cfg.__file__).parents[1]
# What is put together from parts where it is read: trove.common.remote.
MADE_OF_PARTS = re.compile(r"remote_\w+_client|(nova_compute|neutron|cinder|glance|swift)_(service|endpoint)_type")


def names_in_the_code():
    """What the product's code outside the declarations has behind a dot or a quotation mark."""
    files = [path for path in PRODUCT.rglob("*.py") if PRODUCT / "conf" not in path.parents]
    return set(re.findall(r"[.\"']([a-z_]\w*)", "\n".join(path.read_text() for path in files)))


def test_every_option_is_read():
    names = names_in_the_code()
    assert len(names) > 1000
    unread = {opt.dest for _group, options in cfg.list_opts() for opt in options
              if opt.dest not in names and not MADE_OF_PARTS.fullmatch(opt.dest)}
    assert unread == set()
