"""The SQL of the SQLite store, each text named once, and how records become rows and come back.

Decides the shape of a row and nothing else. A record is kept whole as JSON beside the few columns that are
searched; digests are 32 raw bytes in the file and hexadecimal text in memory, converted here and nowhere
else.
"""

# Every text below is put together from constants of this module; values are always bound.
# ruff: noqa: S608

from __future__ import annotations

from typing import Any

import msgspec

from holdfast.kernel.model import Approval, Effect, Run

BEGIN = "BEGIN IMMEDIATE"
BEGIN_READ = "BEGIN"
COMMIT = "COMMIT"
ROLLBACK = "ROLLBACK"

META = (
    "SELECT store, incarnation, mode, last_token, high_ms, bound_to, leapt_ms, steady_ms, ahead_ms, boot, offset_ms"
    " FROM meta"
)
MINTS_WITH = "SELECT identity_secret FROM meta"
MOVE_META = "UPDATE meta SET high_ms = max(high_ms, ?), last_token = max(last_token, ?)"
MARK_CLOCK = "UPDATE meta SET leapt_ms = ?, steady_ms = ?, ahead_ms = ?, boot = ?, offset_ms = ?"
MOVE_MODE = "UPDATE meta SET mode = ?, incarnation = ?, last_token = max(last_token, ?), bound_to = ?"

WORDS = "SELECT n, text FROM word WHERE n > ? ORDER BY n"
WORD = "SELECT n FROM word WHERE text = ?"
ADD_WORD = "INSERT INTO word (text) VALUES (?) RETURNING n"

_VIEW = "SELECT effect.n, effect.id, effect.version, effect_view.view FROM effect LEFT JOIN effect_view USING (n)"
EFFECT = _VIEW + " WHERE id = ?"
LATEST = _VIEW + " WHERE identity = ? ORDER BY generation DESC LIMIT 1"
LAST_EFFECT = "SELECT coalesce(max(n), 0) FROM effect"
ADD_EFFECT = (
    "INSERT INTO effect (n, id, tenant, run, identity, generation, tool, state, version, open, due_ms)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
MOVE_EFFECT = "UPDATE effect SET state = ?, version = ?, open = ?, due_ms = ? WHERE n = ?"
PUT_VIEW = "INSERT INTO effect_view (n, view) VALUES (?, ?) ON CONFLICT (n) DO UPDATE SET view = excluded.view"
DROP_VIEW = "DELETE FROM effect_view WHERE n = ?"
FOLDED = (
    "SELECT kind, at_ms, by, token, body, run.id"
    " FROM entry JOIN entry_body USING (pos) JOIN run ON run.n = entry.run"
    " WHERE entry.effect = ? AND entry.effect <> 0 ORDER BY pos"
)

RUN = "SELECT n, view FROM run WHERE id = ?"
LAST_RUN = "SELECT coalesce(max(n), 0) FROM run"
ADD_RUN = "INSERT INTO run (n, id, tenant, intent, state, seq, head, view) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
MOVE_RUN = "UPDATE run SET state = ?, seq = ?, head = ?, view = ? WHERE n = ?"

LEASE = "SELECT resource, effect, holder, token, until_ms FROM lease WHERE resource = ?"
PUT_LEASE = "INSERT OR REPLACE INTO lease (resource, tenant, effect, holder, token, until_ms) VALUES (?, ?, ?, ?, ?, ?)"
DROP_LEASE = "DELETE FROM lease WHERE resource = ?"

APPROVAL = "SELECT view FROM approval WHERE id = ?"
PUT_APPROVAL = (
    "INSERT INTO approval (id, tenant, effect, state, view) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT (id) DO UPDATE SET state = excluded.state, view = excluded.view"
)

FACT = "SELECT scope, epoch, raised, value, by, reason FROM fact WHERE scope = ?"
FACTS = "SELECT scope, epoch, raised, value, by, reason FROM fact ORDER BY scope LIMIT ?"
PUT_FACT = (
    "INSERT INTO fact (scope, tenant, epoch, raised, value, by, reason) VALUES (?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (scope) DO UPDATE SET epoch = excluded.epoch, raised = excluded.raised,"
    " value = excluded.value, by = excluded.by, reason = excluded.reason"
)

DOCUMENT = "SELECT view FROM document WHERE kind = ? AND id = ?"
DOCUMENTS = "SELECT view FROM document WHERE kind = ? ORDER BY id LIMIT ?"
DOCUMENTS_OF_RUN = "SELECT view FROM document WHERE run = ? AND run <> '' AND kind = ? ORDER BY id LIMIT ?"
DOCUMENTS_DUE = (
    "SELECT view FROM document WHERE kind = ? AND lane = ? AND lane <> '' AND due_ms <= ?"
    " ORDER BY rank DESC, due_ms, id LIMIT ?"
)
LANES = "SELECT lane, count(*), min(due_ms) FROM document WHERE kind = ? AND lane <> '' GROUP BY lane ORDER BY lane"
PUT_DOCUMENT = (
    "INSERT INTO document (kind, id, run, view, lane, rank, due_ms) VALUES (?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (kind, id) DO UPDATE SET view = excluded.view, lane = excluded.lane, rank = excluded.rank,"
    " due_ms = excluded.due_ms"
)

LAST_POS = "SELECT coalesce(max(pos), 0) FROM entry"
ENDS = (
    "SELECT run.id, min(entry.seq) FROM entry JOIN run ON run.n = entry.run"
    " WHERE pos > (SELECT coalesce(max(pos), 0) FROM entry) - ? GROUP BY run.id"
)
NEWEST_HASH = "SELECT hash FROM entry ORDER BY pos DESC LIMIT 1"
HASH_BETWEEN = (
    "SELECT 1 FROM entry WHERE hash >= ?1 AND hash <= ?2"
    " UNION ALL SELECT 1 FROM archived WHERE hash >= ?1 AND hash <= ?2 LIMIT 1"
)
LAST_REDACTION = "SELECT coalesce(max(by_pos), 0) FROM redaction"
HASH_AT = "SELECT hash FROM entry WHERE pos = ?1 UNION ALL SELECT hash FROM archived WHERE pos = ?1"
ADD_ENTRY = (
    "INSERT INTO entry"
    " (pos, run, seq, effect, kind, before, after, at_ms, by, token, tenant, commitment, hash)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
ADD_BODY = "INSERT INTO entry_body (pos, salt, body) VALUES (?, ?, ?)"

_ENTRY = (
    "SELECT entry.pos, run.id, entry.seq, coalesce(effect.id, ''), entry.kind, entry.before, entry.after,"
    " entry.at_ms, entry.by, entry.token, entry.tenant, entry.commitment, entry.hash,"
    " (SELECT hash FROM entry AS earlier WHERE earlier.run = entry.run AND earlier.seq = entry.seq - 1),"
    " entry_body.salt, entry_body.body"
    " FROM entry JOIN run ON run.n = entry.run"
    " LEFT JOIN effect ON effect.n = entry.effect LEFT JOIN entry_body ON entry_body.pos = entry.pos"
)
ENTRIES_OF_RUN = (
    _ENTRY + " WHERE entry.run = (SELECT n FROM run WHERE id = ?) AND entry.seq > ? ORDER BY entry.seq LIMIT ?"
)
ENTRIES_OF_EFFECT = (
    _ENTRY + " WHERE entry.effect = (SELECT n FROM effect WHERE id = ?) AND entry.effect <> 0"
    " AND entry.pos > ? ORDER BY entry.pos LIMIT ?"
)
SAID = (
    "SELECT run.id, coalesce(effect.id, ''), kind.text, entry.at_ms, entry.by, entry.seq, entry_body.body"
    " FROM entry JOIN word AS kind ON kind.n = entry.kind JOIN run ON run.n = entry.run"
    " JOIN entry_body ON entry_body.pos = entry.pos LEFT JOIN effect ON effect.n = entry.effect"
    " WHERE entry.run BETWEEN ? AND ? AND kind.text IN ('proposed', 'refused', 'waiting', 'admitted')"
    " ORDER BY entry.run, entry.seq"
)
RUN_NUMBERS = "SELECT n FROM run WHERE n > 1 AND (?1 = '' OR id = ?1) ORDER BY n"
RUNS_NUMBERED = "SELECT id, view FROM run WHERE n BETWEEN ? AND ?"
RUNS = "SELECT view FROM run WHERE n > 1 ORDER BY n DESC LIMIT ?"
RUNS_OF_INTENT = "SELECT view FROM run WHERE intent = ? AND n > 1 ORDER BY n LIMIT ?"
EVERY_RUN = "SELECT id, seq, head, view, state, intent FROM run ORDER BY n"
EVERY_APPROVAL = "SELECT id, effect, state, view FROM approval ORDER BY id"
EVERY_LEASE = "SELECT resource, effect, holder, token, until_ms FROM lease ORDER BY resource"
EVERY_DOCUMENT = "SELECT kind, id, run, view, lane, rank, due_ms FROM document ORDER BY kind, id"
EFFECTS = _VIEW + " ORDER BY n DESC LIMIT ?"
EFFECTS_IN_STATE = _VIEW + " WHERE state = ? ORDER BY n DESC LIMIT ?"
EFFECTS_OF_RUN = _VIEW + " WHERE run = (SELECT run.n FROM run WHERE run.id = ?) ORDER BY n LIMIT ?"
OPEN_EFFECTS = _VIEW + " WHERE open = 1 ORDER BY due_ms LIMIT ?"
APPROVALS = "SELECT view FROM approval ORDER BY id LIMIT ?"
APPROVALS_IN_STATE = "SELECT view FROM approval WHERE state = ? ORDER BY id LIMIT ?"
COUNTS = "SELECT state, count(*) FROM effect GROUP BY state"
COUNT_OPEN = "SELECT count(*) FROM effect WHERE open = 1"
EFFECT_COLUMNS = "SELECT id, state, version, open, due_ms, identity FROM effect WHERE id = ?"
HOW_MANY = (
    "SELECT (SELECT count(*) FROM entry), (SELECT coalesce(max(pos), 0) FROM entry), (SELECT count(*) FROM effect),"
    " (SELECT count(*) FROM approval)"
)
IDS_LIKE = (
    "SELECT id, 'run' FROM run WHERE id >= ?1 AND id < ?2"
    " UNION ALL SELECT id, 'effect' FROM effect WHERE id >= ?1 AND id < ?2"
    " UNION ALL SELECT id, 'approval' FROM approval WHERE id >= ?1 AND id < ?2 LIMIT ?3"
)

encode = msgspec.json.Encoder().encode
decode_effect = msgspec.json.Decoder(Effect).decode
decode_run = msgspec.json.Decoder(Run).decode
decode_approval = msgspec.json.Decoder(Approval).decode

NO_LIMIT = -1
STORE_RUN = "ru_store"


def blob(digest: str) -> Any:
    """A digest as the file keeps it: 32 raw bytes; anything but 64 hexadecimal digits stays text."""
    if len(digest) == 64:
        try:
            raw = bytes.fromhex(digest)
        except ValueError:
            return digest
        return raw if raw.hex() == digest else digest
    return digest


def same_kind(identity: str, there: object) -> Any:
    """An identity as a column that holds ``there`` would have it: PostgreSQL keeps as bytes also what is no digest."""
    kept = blob(identity)
    return kept.encode() if isinstance(kept, str) and isinstance(there, bytes) else kept
