"""Where the value of one argument may lead: paths that stay in a folder, URLs whose host is listed. Pure.

Decides by the text alone, and only by what is allowed: a path is plain names joined by single slashes, an address is
one spelling of RFC 3986, and whatever two readers could understand differently is refused rather than mended.
Promises that an accepted path has no way up, and that every parser of an accepted address sees the same listed host.
Does NOT see the file system (:mod:`holdfast.tools.folders` does, just before a body is entered), and does NOT promise
where a listed host sends a client that follows redirects.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any, Final

from holdfast.kernel.model import Bound

MAX_PATH_BYTES: Final = 4_096
MAX_NAME_BYTES: Final = 255
MAX_URL_CHARS: Final = 8_192
STANDARD_PORTS: Final = {"http": 80, "https": 443, "ws": 80, "wss": 443, "ftp": 21, "ssh": 22}

# Signs that are drawn like a slash, a backslash or a full stop and that NFKC leaves as they are.
_DRAWN_ALIKE: Final = frozenset(
    "\u2044\u2215\u2571\u29f8\u27cb\u2cc6\u3033\u31d3\U0001d23a\u1735"
    "\u2216\u29f5\u29f9\u2572\u27cd\U0001d20f"
    "\u0701\u0702\u06d4\ua4f8\ua4fa\U00010a50\U0001d16d"
)
# Signs that are drawn as nothing, or as a blank, though their category is that of a letter or a mark (Unicode
# standard annex 44, Default_Ignorable_Code_Point); those of category Cf are refused by category.
_NOT_DRAWN: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
_ENCODED: Final = re.compile(r"%(?:[0-9A-Fa-f]{2}|[uU])")
_DRIVE: Final = re.compile(r"[A-Za-z]:")

_LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
# A name whose last label is a number is an address in some spelling to whoever resolves it (WHATWG URL, 3.5).
_HOST: Final = re.compile(rf"(?=.{{1,253}}\Z)(?!(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)\Z){_LABEL}(?:\.{_LABEL})*")
_IPV4: Final = re.compile(r"(?:(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])(?:\.(?!\Z)|\Z)){4}")
_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]{0,31}")
_PIECE: Final = r"(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})"
_URL: Final = re.compile(
    rf"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<host>[a-z0-9._-]+)(?::(?P<port>[1-9][0-9]{{0,4}}))?"
    rf"(?:/(?:{_PIECE}|/)*(?:\?(?:{_PIECE}|[/?])*)?)?"
)


def not_within(bounds: Mapping[str, Bound], args: Mapping[str, Any]) -> tuple[str, ...]:
    """Why these arguments lead out of their bounds, one sentence each; empty where all stay inside.

    An argument that is absent or null leads nowhere; each member of a list is judged.
    """
    return tuple(why for name, value, bound in led(bounds, args) if (why := _leads_out(name, value, bound)))


def led(bounds: Mapping[str, Bound], args: Mapping[str, Any]) -> Iterator[tuple[str, object, Bound]]:
    """Every value that a bound judges, with the name of its argument."""
    for name, bound in bounds.items():
        value = args.get(name)
        for one in value if isinstance(value, list) else () if value is None else (value,):
            yield name, one, bound


def _leads_out(name: str, value: object, bound: Bound) -> str:
    if not isinstance(value, str):
        return f"argument {name} is bounded and is no text"
    if bound.folder:
        why = path_problem(value)
        return f"argument {name} leads out of {bound.folder}: {why}" if why else ""
    why = url_problem(value, bound)
    return f"argument {name} leads to where it may not: {why}" if why else ""


def path_problem(path: str) -> str:
    """Why this is no plain relative path that stays below where it starts, in words; empty if it is one."""
    if not path:
        return "it is empty"
    if why := _unclear(path):
        return why
    if len(path.encode()) > MAX_PATH_BYTES:
        return f"it is longer than {MAX_PATH_BYTES} bytes"
    if path.startswith("/"):
        return "it is absolute"
    if "\\" in path or _DRIVE.match(path):
        return "it has a backslash or a drive letter"
    if path.startswith("~"):
        return "it begins with ~, which means another place"
    if _ENCODED.search(path):
        return "it has a percent-encoded sign, which whoever decodes it would read as another path"
    for name in path.split("/"):
        if not name:
            return "it has an empty segment"
        if not name.strip(". "):
            return f'its segment "{name}" is a way up, or stays in place'
        if name[0] == " " or name[-1] in ". ":
            return "a segment begins or ends with a blank, or ends with a full stop"
        if len(name.encode()) > MAX_NAME_BYTES:
            return f"a segment is longer than {MAX_NAME_BYTES} bytes"
    return ""


def _unclear(text: str) -> str:
    """Why two readers could see two texts in this one."""
    for sign in text:
        kind = unicodedata.category(sign)
        if kind in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") or (kind == "Zs" and sign != " "):
            return f"it has {_named(sign)}, which is not drawn, or turns the text around it"
        if sign in _DRAWN_ALIKE:
            return f"it has {_named(sign)}, which looks like another sign"
    if found := _NOT_DRAWN.search(text):
        return f"it has {_named(found[0])}, which is not drawn"
    if unicodedata.normalize("NFKC", text) != text:
        return "it is not in the one form of its signs (Unicode NFKC)"
    return ""


def _named(sign: str) -> str:
    return f"U+{ord(sign):04X}"


def url_problem(url: str, bound: Bound) -> str:
    """Why this address does not lead to a listed host, in words; empty if it does.

    The text must be the one spelling that RFC 3986 (section 3) has for it, in lower case up to the host, without
    user-info and without a fragment: then there is nothing left that two parsers could read as two hosts.
    """
    if len(url) > MAX_URL_CHARS:
        return f"it is longer than {MAX_URL_CHARS} characters"
    if not url.isascii() or not url.isprintable() or " " in url:
        return "it has a sign outside printable ASCII, or a blank"
    found = _URL.fullmatch(url)
    if found is None:
        return _misspelled(url)
    scheme, host, port = found["scheme"], found["host"], found["port"]
    if scheme not in bound.schemes:
        return f"its scheme is {scheme}, not {' or '.join(bound.schemes)}"
    if host not in bound.hosts:
        return f"its host is {host[:100]}, which is not listed"
    reached = int(port) if port else STANDARD_PORTS.get(scheme, 0)
    allowed = bound.ports or (STANDARD_PORTS.get(scheme, 0),)
    if not 0 < reached <= 0xFFFF or reached not in allowed:
        return f"its port is {reached or 'not known'}, not {' or '.join(map(str, allowed))}"
    return ""


def _misspelled(url: str) -> str:
    """What keeps a text from being an address in its one spelling."""
    scheme, separated, rest = url.partition("://")
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if not separated or not _SCHEME.fullmatch(scheme):
        return "it does not begin with a scheme in lower case and ://"
    if "\\" in url:
        return "it has a backslash"
    if "@" in authority:
        return "it has user-info before its host"
    if "#" in url:
        return "it has a fragment"
    if authority != authority.lower():
        return "its host is not in lower case"
    if not re.fullmatch(r"[a-z0-9._-]+(?::[1-9][0-9]{0,4})?", authority):
        return "what stands where its host belongs is none"
    return "it is not in the one spelling of RFC 3986: a path before a query, and every other sign percent-encoded"


# ---------------------------------------------------------------------------------------------- declarations


def bound_problems(bound: Bound) -> Iterator[str]:
    """What is wrong with a declared bound."""
    if bool(bound.folder) == bool(bound.hosts):
        yield "name either a folder or hosts"
    if bound.folder and (not bound.folder.startswith("/") or (bound.folder != "/" and path_problem(bound.folder[1:]))):
        yield f'"{bound.folder}" is no absolute path in its plain form, without a slash at its end'
    if not bound.schemes:
        yield "no scheme is allowed"
    for host in bound.hosts:
        if not (_HOST.fullmatch(host) or _IPV4.fullmatch(host)):
            yield f'"{host}" is no host name in lower case (punycode where it is not ASCII) and no IPv4 address'
    for scheme in bound.schemes:
        if not _SCHEME.fullmatch(scheme):
            yield f'"{scheme}" is no scheme in lower case'
        elif bound.hosts and not bound.ports and scheme not in STANDARD_PORTS:
            yield f"{scheme} has no port of its own: name ports"
    for port in bound.ports:
        if not 0 < port <= 0xFFFF:
            yield f"{port} is no port"
