"""Stand-ins: what is written where a redacted value was, and the walk that puts them there.

Decides what counts as an occurrence of a value, and what stands in its place: ``redacted:`` and twenty hexadecimal
digits of an HMAC under the store's identity secret. The same value has the same stand-in wherever it stood, so what
was equal stays equal; without the secret nobody can try values against it. Pure.

An occurrence is the value itself, or the part of a text that is the value but for case, composed or decomposed letters,
invisible characters and the width of blanks, also where that text is JSON, percent-encoded or HTML. Values of fewer
than six characters, and such as look like digits of a number or a digest, count only as words of their own.

Does not find a value that is spelled otherwise (another order of words, base64, a translation): who redacts names it.
"""

from __future__ import annotations

import html
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from holdfast.kernel.canon import encode, keyed

PREFIX: Final = "redacted:"
DIGITS: Final = 20
STAND_IN: Final = re.compile(rf"({PREFIX}[0-9a-f]{{{DIGITS}}})")
LEAST_CHARS: Final = 3
"""A shorter text would be taken out of words all over the record."""

FREE_CHARS: Final = 6
"""From this length on a text is found inside longer words too."""

_DIGITS_ONLY: Final = re.compile(r"[0-9a-f.+-]+")
_BLANKS: Final = re.compile(r"[\t\n\r\x0b\x0c]|  ")
_BREAKS: Final = re.compile(r'[\s"\\%+&;\x00-\x1f]+')
_UNRESERVED: Final = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~"
_ESCAPED: Final = ("\\n", "\\r", "\\t", "\\b", "\\f")


class _Form(NamedTuple):
    """One way in which a value may be written: folded, whether only as a word of its own, and its stand-in."""

    folded: str
    bounded: bool
    stand_in: str


def is_stand_in(text: str) -> bool:
    """Whether a text is nothing but a stand-in."""
    return STAND_IN.fullmatch(text) is not None


def holds_stand_in(value: object) -> bool:
    """Whether a stand-in is anywhere in plain data: then it is not what was said any more."""
    if isinstance(value, str):
        return PREFIX in value and STAND_IN.search(value) is not None
    if isinstance(value, dict):
        return any(holds_stand_in(part) for pair in value.items() for part in pair)
    return isinstance(value, list | tuple) and any(map(holds_stand_in, value))


def why_not(value: object) -> str:
    """Why a value cannot be taken out of a record, in words; empty if it can."""
    if value is None or isinstance(value, bool):
        return "true, false and null are no values that say anything about somebody"
    if isinstance(value, str) and STAND_IN.search(value):
        return "it is a stand-in already"
    if isinstance(value, str) and len(bare := fold(value).strip()) < LEAST_CHARS - _dense(bare):
        return f"a text of fewer than {LEAST_CHARS} characters would be taken out of words all over the record"
    if isinstance(value, int | float) and len(_digits(value)) < LEAST_CHARS:
        return f"a number of fewer than {LEAST_CHARS} digits stands for too much else"
    if isinstance(value, dict | list) and not any(True for _ in _leaves(value)):
        return "nothing in it is long enough to be found again"
    return ""


class StandIns:
    """Puts stand-ins where these values were. ``names`` are the stand-ins; ``given`` those of each value."""

    def __init__(self, secret: bytes, values: Iterable[object]) -> None:
        """For values of which :func:`why_not` says nothing; those inside of lists and objects are values too."""
        self._secret = secret
        self._whole: dict[bytes, str] = {}
        self._numbers: dict[str, str] = {}
        self.names: tuple[str, ...] = ()
        self.given: tuple[frozenset[str], ...] = ()
        forms: dict[str, _Form] = {}
        for value in values:
            mine: set[str] = set()
            if isinstance(value, dict | list):
                self._whole[encode(value)] = self._named(encode(value))
                mine.add(self._whole[encode(value)])
            for leaf in _leaves(value):
                text = leaf if isinstance(leaf, str) else _digits(leaf)
                name = self._of_text(text)
                mine.add(name)
                if re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", text):
                    self._numbers[text] = name
                for form in _forms(text):
                    bounded = len(form) < FREE_CHARS or _DIGITS_ONLY.fullmatch(form) is not None
                    forms.setdefault(form, _Form(form, bounded, name))
            self.given += (frozenset(mine),)
        self._forms = sorted(forms.values(), key=lambda form: (-len(form.folded), form.folded))
        pieces = {max(_BREAKS.split(form.folded), key=len, default="") for form in self._forms}
        self._pieces = () if "" in pieces else tuple(sorted(pieces, key=len))
        self._records = tuple(raw.decode() for raw in self._whole)

    def _named(self, data: bytes) -> str:
        name = PREFIX + keyed(self._secret, "stand-in", data)[:DIGITS]
        self.names = tuple(dict.fromkeys((*self.names, name)))
        return name

    def _of_text(self, text: str) -> str:
        return self._named(encode(fold(text).strip()))

    def of_digest(self, digest: str) -> str:
        """What stands for a digest (or a signature) that was made of a value and could be guessed back."""
        return digest if is_stand_in(digest) else PREFIX + keyed(self._secret, "stand-in", digest.encode())[:DIGITS]

    # -- texts --

    def maybe(self, record: str) -> bool:
        """Whether canonical JSON may hold one of the values; quick, and never no where one is."""
        if not self._pieces:
            return True
        folded = record.casefold() if record.isascii() else fold(record)
        return any(piece in folded for piece in self._pieces) or any(raw in record for raw in self._records)

    def text(self, text: str) -> str:
        """A text with stand-ins where values were; what is a stand-in already is left alone."""
        if PREFIX not in text:
            return self._part(text)
        return "".join(part if n % 2 else self._part(part) for n, part in enumerate(STAND_IN.split(text)))

    def _part(self, text: str) -> str:
        folded, places = _mapped(text)
        taken: list[tuple[int, int, str]] = []
        for form in self._forms:
            at = folded.find(form.folded)
            while at >= 0:
                end = at + len(form.folded)
                free = all(end <= first or at >= last for first, last, _ in taken)
                if free and (not form.bounded or _alone(folded, at, end)):
                    taken.append((at, end, form.stand_in))
                at = folded.find(form.folded, at + 1)
        if not taken:
            return text
        out, before = [], 0
        for at, end, stand_in in sorted(taken):
            first = places[at][0] if places else at
            last = places[end - 1][1] if places else end
            out += [text[before:first], stand_in]
            before = max(before, last)
        return "".join((*out, text[before:]))

    # -- plain data --

    def plain(self, value: Any, *, keys: bool = False, numbers: bool = False) -> Any:
        """Plain data with stand-ins where values were; ``keys`` and ``numbers``: in place of these too."""
        if isinstance(value, str):
            return self.text(value)
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int | float):
            return self._numbers.get(_digits(value), value) if numbers else value
        if self._whole and (whole := self._whole.get(encode(value))) is not None:
            return whole
        if isinstance(value, dict):
            return {
                (self.text(name) if keys else name): self.plain(part, keys=keys, numbers=numbers)
                for name, part in value.items()
            }
        return [self.plain(part, keys=keys, numbers=numbers) for part in value]

    def meets(self, value: Any) -> bool:
        """Whether one of the values is in plain data, in the keys of its objects too."""
        return bool(self.plain(value, keys=True) != value)


# ------------------------------------------------------------------------------------------ folding


def fold(text: str) -> str:
    """A text without what two spellings of it may differ in: case, composition, invisible characters, blanks.

    The caseless match of the Unicode standard (D145), with blanks of any kind and number as one.
    """
    return _mapped(text)[0]


def _mapped(text: str) -> tuple[str, list[tuple[int, int]]]:
    """The folded text, and for each of its characters where it comes from; no places where each is its own."""
    if text.isascii() and _BLANKS.search(text) is None:
        return text.lower(), []
    folded: list[str] = []
    places: list[tuple[int, int]] = []
    start = 0
    while start < len(text):
        end = start + 1
        while end < len(text) and unicodedata.combining(text[end]):
            end += 1
        cluster = text[start:end]
        if cluster.isspace():
            new = "" if folded and folded[-1] == " " else " "
        else:
            seen = cluster[1:] if unicodedata.category(cluster[0]) == "Cf" else cluster  # marks on nothing are drawn
            new = unicodedata.normalize("NFD", unicodedata.normalize("NFD", seen).casefold())
        folded.extend(new)
        places.extend([(start, end)] * len(new))
        start = end
    return "".join(folded), places


def _alone(folded: str, at: int, end: int) -> bool:
    """Whether what stands there is no part of a longer word or number."""
    before, after = folded[at - 1] if at else "", folded[end] if end < len(folded) else ""
    left = _joined(before, folded[at]) and folded[max(0, at - 2) : at] not in _ESCAPED
    return not left and not _joined(folded[end - 1], after)


def _joined(one: str, other: str) -> bool:
    return all(char.isdigit() or char.upper() != char for char in (one, other) if char) and bool(one and other)


def _forms(text: str) -> Iterator[str]:
    """How a text may be written, folded."""
    for spelled in (text, unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text)):
        plain = spelled.strip()
        yield fold(plain)
        for ascii_only in (False, True):
            yield fold(json.dumps(plain, ensure_ascii=ascii_only)[1:-1])
        for written in (_percent(plain, "/"), _percent(plain), _percent(plain).replace("%20", "+"), html.escape(plain)):
            yield fold(written)


def _percent(text: str, safe: str = "") -> str:
    """A text as a URL has it (RFC 3986, section 2.1)."""
    kept = {*_UNRESERVED, *safe.encode()}
    return "".join(chr(byte) if byte in kept else f"%{byte:02X}" for byte in text.encode())


def _leaves(value: object) -> Iterator[str | int | float]:
    """The texts and numbers of a value that are long enough to be values of their own."""
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _leaves(part)
    elif isinstance(value, str | int | float) and not why_not(value):
        yield value


def _dense(text: str) -> bool:
    """Whether every character is a letter of a script without case, of which two may be a whole name."""
    return text.isalpha() and text.upper() == text.lower()


def _digits(number: float) -> str:
    return encode(number).decode()
