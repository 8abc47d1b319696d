"""The character sets of the MySQL family and the collations of each: plain data for the value objects beside it.

As MariaDB 10.11 and MySQL 9.7 list them; tests hold them to running servers.
"""
import functools
import itertools

_UNICODE = ("unicode_ci icelandic_ci latvian_ci romanian_ci slovenian_ci polish_ci estonian_ci spanish_ci swedish_ci "
            "turkish_ci czech_ci danish_ci lithuanian_ci slovak_ci spanish2_ci roman_ci persian_ci esperanto_ci "
            "hungarian_ci sinhala_ci german2_ci croatian_ci unicode_520_ci vietnamese_ci")
_WIDE = f"general_ci bin {_UNICODE}"

_SUFFIXES = {
    "armscii8": "general_ci bin", "ascii": "general_ci bin", "big5": "chinese_ci bin",
    "cp1250": "general_ci czech_cs croatian_ci bin polish_ci",
    "cp1251": "general_ci bulgarian_ci ukrainian_ci bin general_cs", "cp1256": "general_ci bin",
    "cp1257": "general_ci lithuanian_ci bin", "cp850": "general_ci bin", "cp852": "general_ci bin",
    "cp866": "general_ci bin", "cp932": "japanese_ci bin", "dec8": "swedish_ci bin", "eucjpms": "japanese_ci bin",
    "euckr": "korean_ci bin", "gb2312": "chinese_ci bin", "gbk": "chinese_ci bin", "geostd8": "general_ci bin",
    "greek": "general_ci bin", "hebrew": "general_ci bin", "hp8": "english_ci bin", "keybcs2": "general_ci bin",
    "koi8r": "general_ci bin", "koi8u": "general_ci bin",
    "latin1": "swedish_ci german1_ci danish_ci german2_ci bin general_ci general_cs spanish_ci",
    "latin2": "general_ci czech_cs hungarian_ci croatian_ci bin", "latin5": "turkish_ci bin",
    "latin7": "general_ci estonian_cs general_cs bin", "macce": "general_ci bin", "macroman": "general_ci bin",
    "sjis": "japanese_ci bin", "swe7": "swedish_ci bin", "tis620": "thai_ci bin", "ucs2": _WIDE,
    "ujis": "japanese_ci bin", "utf16": _WIDE, "utf16le": "general_ci bin", "utf32": _WIDE,
    "utf8": _WIDE, "utf8mb3": _WIDE, "utf8mb4": _WIDE,
}

# Both servers take the old name for the set of three bytes.
_WITHOUT_OLD_NAMES = tuple(charset for charset in _SUFFIXES if charset != "utf8")

# Only in MariaDB: each set without padding, and for Unicode the weights of its version 14.
_UNICODE_SETS = ("ucs2", "utf16", "utf32", "utf8mb3", "utf8mb4")
_LANGUAGES_1400 = ("croatian czech danish esperanto estonian german2 hungarian icelandic latvian lithuanian persian "
                   "polish roman romanian sinhala slovak slovenian spanish spanish2 swedish turkish vietnamese")
_LANGUAGES = ("", *(f"{language}_" for language in _LANGUAGES_1400.split()))
_UCA1400 = tuple(f"uca1400_{language}{pad}{accents}_{case}" for language, pad, accents, case in itertools.product(
    _LANGUAGES, ("", "nopad_"), ("ai", "as"), ("ci", "cs")))
_MARIADB_UNICODE = ("croatian_mysql561_ci", "myanmar_ci", "thai_520_w2", "unicode_520_nopad_ci", "unicode_nopad_ci",
                    *_UCA1400)

# Only in MySQL: a set, and for utf8mb4 the weights of Unicode 9.
_LANGUAGES_0900 = ("bg bs cs da de_pb eo es es_trad et gl hr hu is la lt lv mn_cyrl nb nn pl ro ru sk sl sr_latn sv tr "
                   "vi")
_ONCE_0900 = "0900_ai_ci 0900_as_ci 0900_as_cs 0900_bin ja_0900_as_cs ja_0900_as_cs_ks zh_0900_as_cs"
_0900 = (*_ONCE_0900.split(), *(f"{language}_0900_{kind}" for language, kind in itertools.product(
    _LANGUAGES_0900.split(), ("ai_ci", "as_cs"))))


def _more_of_mariadb(charset):
    first = _SUFFIXES[charset].split()[0].removesuffix("_ci")
    return (f"{first}_nopad_ci", "nopad_bin",
            *(_MARIADB_UNICODE if charset in _UNICODE_SETS else ()),
            *(("general_mysql500_ci",) if charset in ("ucs2", "utf8mb3") else ()))


_MORE_OF_MYSQL = {"gb18030": ("bin", "chinese_ci", "unicode_520_ci"), "ucs2": ("general_mysql500_ci",),
                  "utf8mb3": ("general_mysql500_ci", "tolower_ci"), "utf8mb4": _0900}


@functools.cache
def charset_of(manager):
    """{collation: its character set} of the server of a datastore manager: mariadb, mysql or percona."""
    suffixes = {charset: set(names.split()) for charset, names in _SUFFIXES.items()}
    more = _MORE_OF_MYSQL if manager != "mariadb" else {
        charset: _more_of_mariadb(charset) for charset in _WITHOUT_OLD_NAMES}
    for charset, names in more.items():
        suffixes.setdefault(charset, set()).update(names)
    return {"binary": "binary",
            **{f"{charset}_{name}": charset for charset, names in suffixes.items() for name in names}}
