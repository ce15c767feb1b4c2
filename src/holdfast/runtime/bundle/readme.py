"""The first file of a bundle: what it is, in plain words, and how it is checked with tools that are not ours.

The long form, with every check, is docs/explain/verify-without-us.md; its code is the same.
"""

from __future__ import annotations

from holdfast.kernel.documents import LogKey
from holdfast.runtime.bundle.statement import Head
from holdfast.runtime.record import Record

TEXT = """\
A bundle of holdfast: the record of one run, to be checked without holdfast.

run         {run}
of store    {store}
entries     {entries}
sealed      {sealed}
signed by   {signed}

What is in it
  statement.json        what was intended, allowed, done, verified; SHA-256 of every other file (in-toto Statement v1)
  statement.dsse.json   the same under the signature of the log's key (DSSE), if there was one
  checkpoint            the signed head of the whole log (C2SP checkpoint); .text and .sig are its parts for openssl
  keys/                 the log's public keys
  entries.jsonl         one line an entry: the exact bytes that are hashed. bodies.jsonl: what each says, with its salt
  beside*.jsonl         entries of the store's own run that this run rests on
  documents.jsonl       grants, items, approvers, policies, contracts, keys: each line is what its digest is over
  approvals/            what each person signed: .statement, .sig (64 bytes), .pem
  proofs.json           RFC 6962 proofs that the entries are in the checkpoint's tree
  run.json, approvals.jsonl   the run and its requests as the entries leave them
  story.txt             what happened, for people

How to check the most important parts, in the folder that this was unpacked to
  every file:    python3 -c 'import json,hashlib;[print(s["name"]) for s in json.load(open("statement.json"))["subject"]
                 if hashlib.sha256(open(s["name"],"rb").read()).hexdigest()!=s["digest"]["sha256"]]'   # prints nothing
  the seal:      openssl pkeyutl -verify -pubin -inkey keys/KEY.pem -rawin -in checkpoint.text -sigfile checkpoint.sig
  a yes:         openssl pkeyutl -verify -pubin -inkey approvals/X.pem -rawin -in approvals/X.statement \\
                 -sigfile approvals/X.sig
Everything else: "Verify without us", in the documentation of holdfast. Whose key it is, you learn from elsewhere.
"""


def readme(record: Record, head: Head | None, key: LogKey | None) -> bytes:
    """The text for one bundle."""
    sealed = "no: not covered by a checkpoint"
    if head is not None:
        part = "all" if head.covered == record.run.seq else f"entries 1 to {head.covered}"
        sealed = f"{part}, by a checkpoint over {head.size} entries of {head.origin}"
    return TEXT.format(
        run=record.run.id,
        store=record.store,
        entries=record.run.seq,
        sealed=sealed,
        signed=f"keys/{key.id}.pem" if key is not None else "nobody",
    ).encode()
