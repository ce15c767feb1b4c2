"""Where a store is: one address for both kinds, and the only way in which it is ever shown.

``sqlite:PATH`` or a bare path is a file; ``postgresql://…`` is a schema of a database, ``?schema=NAME`` of another name
than ``holdfast``. Everything else of such an address is libpq's, and so are PGHOST, PGPASSWORD, PGPASSFILE, PGSERVICE
and their files, which fill in what it leaves out.

Promises that :func:`shown`, and an address printed, formatted or in a traceback, hold no password and no secret of a
query: what is shown is put together from parts that are known to be none, and an address that cannot be read is shown
by its scheme alone. Does not keep secrets from whoever reads this process's memory, its environment or its command
line.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, urlencode

from holdfast.kernel.errors import BadConfig

SCHEMA: Final = "holdfast"
SCHEMA_NAME: Final = re.compile(r"[a-z_][a-z0-9_]{0,48}")
"""What a schema may be called; with room for the endings that name roles within PostgreSQL's 63 bytes."""

SCHEMES: Final = ("postgresql://", "postgres://")
NO_SECRET: Final = ("host", "port", "dbname", "user", "service", "sslmode", "schema")
"""Parts of a query that are shown; every other one is left out."""

_NAME = r"(?:[\w.~!$&'()*+;=-]|%[0-9A-Fa-f]{2})*"
_HOST = r"(?:[\w.-]|%2[Ff]|%[0-9A-Fa-f]{2}|\[[0-9A-Fa-f:.]+\])*(?::\d{0,5})?"
_URL: Final = re.compile(
    rf"postgres(?:ql)?://(?:(?P<user>{_NAME})(?::[^@/?#]*)?@)?(?P<hosts>{_HOST}(?:,{_HOST})*)"
    rf"(?:/(?P<database>{_NAME}))?(?:\?(?P<query>[^#?@]*))?"
)
_WORDS: Final = re.compile(r"(?:^|\s)(?:host|hostaddr|dbname|user|password|service)\s*=")
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,30}(?=:)")


class Address:
    """One store's address. ``url`` is complete and may hold a secret; everything that prints it shows :attr:`shown`."""

    __slots__ = ("path", "schema", "shown", "url")

    def __init__(self, url: str, *, path: Path | None, schema: str) -> None:
        """Built by :func:`address`. ``path`` is the file, None where the store is on a server."""
        self.url = url
        self.path = path
        self.schema = schema
        self.shown = f"sqlite:{path}" if path is not None else shown(url)

    @property
    def on_server(self) -> bool:
        """Whether it is a PostgreSQL store."""
        return self.path is None

    @property
    def dsn(self) -> str:
        """What libpq is given: the address without the part that only we know."""
        head, _, query = self.url.partition("?")
        kept = "&".join(part for part in query.split("&") if part.partition("=")[0] != "schema")
        return f"{head}?{kept}" if kept else head

    def __str__(self) -> str:
        return self.shown

    def __repr__(self) -> str:
        return f"<store {self.shown}>"


def address(where: str | os.PathLike[str] | Address, *, file: str = "open_store", key: str = "where") -> Address:
    """Where a store is. Raises BadConfig, naming ``file`` and ``key``, for what is no address of one."""
    if isinstance(where, Address):
        return where
    text = os.fspath(where)
    if not isinstance(where, str):
        return Address(text, path=Path(text).absolute(), schema="")
    if is_server(text):
        return _on_server(text, file, key)
    if _WORDS.search(text):
        why = "a PostgreSQL store is named by postgresql://…, not by words such as host=… dbname=…"
        raise BadConfig(file=file, key=key, nearest=None, why=why)
    scheme, colon, rest = text.partition(":")
    if colon and scheme != "sqlite" and _SCHEME.match(text):
        why = f"{shown(text)} is no store this command can open: write sqlite:PATH or postgresql://…"
        raise BadConfig(file=file, key=key, nearest="sqlite:holdfast.db", why=why)
    path = rest if scheme == "sqlite" and colon else text
    if not path:
        raise BadConfig(file=file, key=key, nearest="sqlite:holdfast.db", why=f'"{text}" names no file')
    return Address(text, path=Path(path).absolute(), schema="")


def is_server(text: str) -> bool:
    """Whether this is meant to be a PostgreSQL store."""
    return text.startswith(SCHEMES)


def _on_server(text: str, file: str, key: str) -> Address:
    if _URL.fullmatch(text) is None:
        why = (
            "it cannot be read as postgresql://USER:PASSWORD@HOST:PORT/DATABASE?schema=NAME; signs such as / ? # @ "
            "in a password are written %2F %3F %23 %40, or the password is kept out of it: PGPASSWORD, PGPASSFILE"
        )
        raise BadConfig(file=file, key=key, nearest=None, why=why)
    named = [value for name, value in parse_qsl(text.partition("?")[2], keep_blank_values=True) if name == "schema"]
    schema = named[-1] if named else SCHEMA
    if not SCHEMA_NAME.fullmatch(schema):
        why = "a schema is named with at most 49 small letters, digits and underscores"
        raise BadConfig(file=file, key=key, nearest=None, why=why)
    return Address(text, path=None, schema=schema)


def shown(url: str) -> str:
    """An address as anybody may read it: no password, and of a query only what is known to be no secret."""
    if not is_server(url):
        scheme = _SCHEME.match(url)
        return url if url.startswith("sqlite:") or scheme is None else f"{scheme.group()}:…"
    found = _URL.fullmatch(url)
    if found is None or any(part.rpartition(":")[2] > "65535" for part in _ports(found["hosts"])):
        return "postgresql://…"
    user = f"{found['user']}@" if found["user"] else ""
    database = f"/{found['database']}" if found["database"] is not None else ""
    told = [pair for pair in parse_qsl(found["query"] or "") if pair[0] in NO_SECRET]
    return f"postgresql://{user}{found['hosts']}{database}" + (f"?{urlencode(told, safe='/')}" if told else "")


def _ports(hosts: str) -> list[str]:
    """Ports that have five digits: what is no port may be a password whose user name was left out."""
    return [host for host in hosts.split(",") if re.search(r":\d{5}$", host)]
