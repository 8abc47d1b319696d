"""Names, hosts, character sets and collations of the MySQL family."""
import ipaddress
import re

from trove.common.cfg import CONF
from trove.guestagent.db.base import ANY_HOST, Names, check_text, refuse
from trove.guestagent.db.mysql_charsets import charset_of

MAX_HOST = 255  # characters
_BEHIND_ALL_HOSTS = "\U0010ffff"

# Bytes that the name of a database may have as the name of its directory.
_LONGEST_DIRECTORY = 255
_PLAIN = re.compile(r"[0-9A-Za-z_]")
# Letters of which the servers make three bytes there; they make five of everything else.
_SHORT = re.compile("[\u00c0-\u05ff\u1e00-\u1fff]")


class MySqlNames(Names):
    """See the base. Accounts are name@host; names are compared in lower case."""

    has_hosts = True

    def fold(self, text):
        """See the base."""
        return text.lower()

    def check_name(self, value, name):
        """See the base."""
        if any(character > "\uffff" for character in value):
            refuse(name, "must not contain characters beyond U+FFFF, such as emoji: the servers store no such names.")

    def check_database_name(self, value, name="name"):
        """See the base. The directory of a database must be able to have its name, too."""
        super().check_database_name(value, name)
        if value.lower().startswith("#mysql50#"):
            refuse(name, "must not begin with #mysql50#, which has a meaning of its own to the servers.")
        if _directory_length(value) > _LONGEST_DIRECTORY:
            refuse(name, "is too long for the name of its directory: a character that is no letter, digit or _ takes "
                         f"up to five of {_LONGEST_DIRECTORY} bytes.")

    def check_attributes(self, database, name):
        """See the base."""
        known = charset_of(self.manager)
        charset, collation = database.character_set, database.collate
        if charset is not None and charset.lower() not in known.values():
            refuse(f"{name}.character_set", f"'{charset}' is unknown, for example utf8mb4 is right.")
        if collation is None:
            return
        owner = known.get(collation.lower())
        if owner is None:
            refuse(f"{name}.collate", f"'{collation}' is unknown, for example utf8mb4_bin is right.")
        if charset is not None and charset.lower() != owner:
            refuse(f"{name}.collate", f"'{collation}' belongs to the character set '{owner}', not to '{charset}'.")

    def user_id(self, name, host=ANY_HOST):
        """See the base."""
        return f"{name}@{host}"

    def parse_user_id(self, text):
        """See the base: the last @ separates; none, or one at the end, means any host."""
        name, at, host = text.rpartition("@")
        return (name, host or ANY_HOST) if at else (host, ANY_HOST)

    def marker_of_users(self, marker):
        """See the base. openstacksdk sends the bare name."""
        return marker if "@" in marker else f"{marker}@{_BEHIND_ALL_HOSTS}"

    def check_host(self, value, name="host"):
        """See the base. With hostname_require_valid_ip a host is %, an address in which % and _ are wildcards, or an
        address with a network mask.
        """
        check_text(value, name)
        if not CONF.hostname_require_valid_ip:
            if len(value) > MAX_HOST or not value.isascii() or any(character <= " " for character in value):
                refuse(name, f"must have at most {MAX_HOST} ASCII characters and no blanks.")
            return
        if "/" in value:
            self._check_network(value, name)
        elif not (_is_pattern_of_ipv4(value) or _is_pattern_of_ipv6(value)):
            refuse(name, f"'{value}' must be %, an address in which % and _ are wildcards, such as 10.0.% or 10.0.0.1, "
                         "or a network with its mask, such as 10.0.0.0/255.255.240.0.")

    def _check_network(self, text, name):
        base, _, mask = text.partition("/")
        if (address := _address(base, 4)) and (bits := _address(mask, 4)):
            if int(address) & ~int(bits):
                refuse(name, f"'{text}' matches nobody, as the address has bits outside of the mask: "
                             f"{ipaddress.ip_address(int(address) & int(bits))}/{mask} is right.")
            return
        try:
            network = ipaddress.ip_network(text)
        except ValueError:
            refuse(name, f"'{text}' must be a network with its mask, such as 10.0.0.0/255.255.240.0.")
        if self.manager == "mariadb":
            mask = "255.255.240.0" if network.version == 6 else network.netmask
            refuse(name, f"'{text}': this server knows networks only as IPv4 with a mask, such as "
                         f"{'10.0.0.0' if network.version == 6 else network.network_address}/{mask}.")


def _directory_length(name):
    return sum(1 if _PLAIN.match(character) else 3 if _SHORT.match(character) else 5 for character in name)


def _is_pattern_of_ipv4(text):
    parts = text.split(".")
    if not all(re.fullmatch("[0-9%_]+", part) and ("%" in part or "_" in part or _is_octet(part)) for part in parts):
        return False
    return len(parts) == 4 or (len(parts) < 4 and any("%" in part for part in parts))


def _is_pattern_of_ipv6(text):
    if "%" in text or "_" in text:
        return re.fullmatch("[0-9A-Fa-f:%_]{2,39}", text) is not None and ":" in text
    return _address(text, 6) is not None


def _address(text, version):
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return address if address.version == version else None


def _is_octet(text):
    return text.isascii() and text.isdigit() and len(text) <= 3 and int(text) <= 255
