"""Defects of redaction: each leaves something behind by which a value can still be found, or takes too much away."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable
from typing import Any

from holdfast.kernel import standin
from holdfast.kernel.standin import StandIns
from holdfast.store import bodies, survey
from holdfast.store.access import SqliteAccess
from holdfast.store.connection import Erased
from holdfast.store.survey import Survey

Put = Callable[[Any, str, Any], None]


def nonce_stays(put: Put) -> None:
    """The nonce stays in the request: its content is tried with every candidate."""
    honest = bodies.request

    def request(stand: StandIns, row: dict[str, Any]) -> Any:
        new, kept = honest(stand, row)
        return new | {"nonce": row["nonce"]}, kept

    put(bodies, "request", request)


def digests_stay(put: Put) -> None:
    """The digests of a decision's inputs, of a long state and of what a planner was shown stay as they are."""
    put(bodies, "scrubbed", lambda stand, body, before: body)


def documents_stay(put: Put) -> None:
    """Entries go on naming the digest that an item had with the value in it."""
    put(Survey, "_renamed", lambda survey, pos, doubted, last, body, before: body)


def signatures_stay(put: Put) -> None:
    """The signature over a reason stays where the reason was redacted."""
    put(bodies, "unsigned", lambda stand, decision: decision)


def earlier_word_stays(put: Put) -> None:
    """What an earlier redaction said of a body stays, though the body held more then."""
    put(Survey, "_forgot", lambda survey, names, body, before: body)


def signature_over_names_only(put: Put) -> None:
    """Whoever redacts signs what was named and the stand-ins, and not the bodies that are left."""
    put(survey, "done_by", lambda said: " ".join((str(said.get("of", "")), *map(str, said.get("stand_ins", ())))))


def file_stays(put: Put) -> None:
    """The rows change and the file does not: old pages and the log keep what was in them."""
    put(SqliteAccess, "erase", lambda access, values=(): Erased(whole=True, why="", left=0))


def unkeyed(put: Put) -> None:
    """A stand-in that everybody can make."""
    put(standin, "keyed", lambda secret, label, data: hashlib.sha256(data).hexdigest())


def unstable(put: Put) -> None:
    """Each occurrence has a stand-in of its own."""
    honest, count = StandIns.text, itertools.count()

    def text(stand: StandIns, said: str) -> str:
        new = honest(stand, said)
        return new if new == said else new.replace(standin.PREFIX, f"{standin.PREFIX}{next(count):03x}")

    put(StandIns, "text", text)


def changes_digest(put: Put) -> None:
    """The digest of arguments is one of what stands there now, so that an old message looks like another call."""
    honest = bodies.rewritten

    def rewritten(stand: StandIns, body: dict[str, Any]) -> Any:
        new, kept = honest(stand, body)
        return (new | {"args_digest": stand.of_digest(new["args_digest"])} if "args_digest" in new else new), kept

    put(bodies, "rewritten", rewritten)


PLANT = {
    "redaction-nonce-stays": nonce_stays,
    "redaction-digests-stay": digests_stay,
    "redaction-documents-stay": documents_stay,
    "redaction-signatures-stay": signatures_stay,
    "redaction-earlier-word-stays": earlier_word_stays,
    "redaction-file-stays": file_stays,
    "redaction-signature-over-names-only": signature_over_names_only,
    "stand-in-unkeyed": unkeyed,
    "stand-in-unstable": unstable,
    "redaction-changes-digest": changes_digest,
}
