"""Names, encodings and collations of PostgreSQL."""
import re

from trove.guestagent.db.base import Names, check_text, refuse

# The roles that own the databases, in which the users of each are members, begin with this.
OWNERS = "os_db_"
# The encodings that a database can have on the server, as SQL writes them; case and punctuation do not matter.
_ENCODINGS = """SQL_ASCII EUC_JP EUC_CN EUC_KR EUC_TW EUC_JIS_2004 UTF8 LATIN1 LATIN2 LATIN3 LATIN4 LATIN5 LATIN6 LATIN7
    LATIN8 LATIN9 LATIN10 WIN1250 WIN1251 WIN1252 WIN1253 WIN1254 WIN1255 WIN1256 WIN1257 WIN1258 WIN866 WIN874 KOI8R
    KOI8U ISO_8859_5 ISO_8859_6 ISO_8859_7 ISO_8859_8"""


def _plain(text):
    return re.sub(r"[^0-9a-z]", "", text.lower())


_BY_PLAIN = {**{_plain(name): name for name in _ENCODINGS.split()}, "unicode": "UTF8"}


def encoding_of(text):
    """Return the encoding that a text means, as SQL writes it, or None."""
    return _BY_PLAIN.get(_plain(text))


class PostgreSqlNames(Names):
    """See the base. Names are told apart by case, and have up to 63 bytes; the server would cut longer ones."""

    counts_bytes = True

    def check_attributes(self, database, name):
        """See the base. Which collations there are depends on the guest's system: the server refuses the others."""
        if database.character_set is not None and encoding_of(database.character_set) is None:
            refuse(f"{name}.character_set", f"'{database.character_set}' is unknown, for example UTF8 is right.")
        if database.collate is not None:
            check_text(database.collate, f"{name}.collate")
            if not re.fullmatch(r"[A-Za-z0-9_.@-]{1,63}", database.collate):
                refuse(f"{name}.collate", f"'{database.collate}' is no locale, for example C.UTF-8 is right.")

    def is_own_user(self, value):
        """See the base: names that the server reserves, and the owners of databases."""
        return value.startswith(("pg_", OWNERS)) or value in ("public", "none")

    def is_own_database(self, value):
        """See the base."""
        return value in ("template0", "template1")
