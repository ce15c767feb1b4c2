"""E-mail under holdfast: the barest protocol there is, and what can be promised over it all the same.

SMTP takes no idempotency key and no fencing token, has no condition, and cannot be asked what became of a message. The
contract claims none of that. Two things are left:

- The **answers are clear where there are any**: no connection, or a 4yz or 5yz answer, means that nothing is delivered
  (RFC 5321 §4.2.5). Only silence after the message was sent is doubt.
- The **Message-ID is ours to choose**. It is derived from the effect's key, so whoever may read the recipient's
  mailbox can look it up: ``send_mail`` (mailboxes of our own house) has a probe and a verification. ``send_outside``
  has neither: what is in doubt there goes to a human, and is never sent a second time.

A message that is not in the mailbox *yet* may still be on its way. The absence counts only once its sender is proved
dead and ``lands_within`` has passed. ``MAIL_SERVER`` (host:port) and ``MAIL_FOLDER`` (the mailboxes, as Maildir
folders) say where things are; over IMAP the probe would be ``UID SEARCH HEADER Message-ID``.
"""

from __future__ import annotations

import email.policy
import hashlib
import mailbox
import os
import smtplib
from collections.abc import Iterator
from contextlib import closing
from email.message import EmailMessage
from email.parser import BytesParser
from email.utils import formatdate
from pathlib import Path
from typing import Any

import holdfast as hf

SENDER = "agent@example.org"
LANDS_WITHIN = os.environ.get("MAIL_LANDS_WITHIN", "2m")
"""How long the mail server may still deliver what it was sent. Ask whoever runs it; greylisting and queues count."""
ACCEPTED, GO_ON = 250, 354
NO = range(400, 600)


class NotSent(Exception):  # noqa: N818  # it says what happened
    """Nothing was delivered and nothing will be: the server said so, or never got the message."""


def message_id(key: str) -> str:
    """The Message-ID of an effect. The key itself is nobody's business who reads the mail."""
    return f"<{hashlib.sha256(key.encode()).hexdigest()[:32]}@agents.example.org>"


def written(key: str, to: str, subject: str, text: str, greeting: str) -> EmailMessage:
    """The message; raises NotSent for one that cannot be written (a line break in the subject, say)."""
    message = EmailMessage(policy=email.policy.SMTP)
    try:
        message["From"], message["To"], message["Subject"] = SENDER, to, subject
        message["Date"], message["Message-ID"] = formatdate(), message_id(key)
        message.set_content(f"{greeting}\n\n{text}\n" if greeting else f"{text}\n")
    except ValueError as error:
        raise NotSent(f"this is no message: {error}") from error
    return message


def submit(message: EmailMessage, to: str, timeout_s: float) -> str:
    """Hand a message to the server once; its answer. Raises NotSent, or an OSError where nobody knows.

    The envelope comes first: whatever goes wrong in it, the message itself was never sent.
    """
    host, port = os.environ["MAIL_SERVER"].rsplit(":", 1)
    try:
        smtp = smtplib.SMTP(host, int(port), timeout=timeout_s)
    except OSError as error:
        raise NotSent(f"no connection came about: {error}") from error
    with closing(smtp):
        try:
            smtp.ehlo_or_helo_if_needed()
            for code, said in (smtp.mail(SENDER), smtp.rcpt(to)):
                if code != ACCEPTED:
                    raise NotSent(f"the server answered {code} {said.decode(errors='replace')}")
        except OSError as error:
            raise NotSent(f"the connection ended before the message: {error}") from error
        try:
            code, said = smtp.data(message.as_bytes())
        except smtplib.SMTPDataError as error:  # it did not want the message at all
            raise NotSent(f"the server answered {error.smtp_code} to DATA") from error
        except smtplib.SMTPServerDisconnected as error:
            raise ConnectionResetError("the line went dead after the message was handed over") from error
    answer = f"{code} {said.decode(errors='replace')}"
    if code in NO:
        raise NotSent(f"the server answered {answer}")
    if code != ACCEPTED:
        raise ConnectionError(f"the server answered {answer}, which says nothing")
    return answer


def mailboxes() -> Path:
    """The folder with one Maildir for each address."""
    return Path(os.environ["MAIL_FOLDER"])


def messages(to: str) -> Iterator[EmailMessage]:
    """What is in the mailbox of an address; nothing where no mail has come yet."""
    folder = mailboxes() / to
    if not folder.is_dir():
        return
    box = mailbox.Maildir(str(folder), create=False)
    parser = BytesParser(EmailMessage, policy=email.policy.default)
    for key in box.keys():  # noqa: SIM118 - iterating over a Maildir itself reads every message into memory
        yield parser.parsebytes(box.get_bytes(key))


def copies(to: str, key: str) -> list[EmailMessage]:
    """The messages in a mailbox that carry the Message-ID of this effect."""
    wanted = message_id(key)
    return [message for message in messages(to) if message["Message-ID"] == wanted]


def shown(message: EmailMessage) -> dict[str, str]:
    """A delivered message as data."""
    return {"to": message["To"], "subject": message["Subject"], "id": message["Message-ID"]}


@hf.tool(
    effect="irreversible",
    resource="mailbox:{to}",
    identity=("to", "subject"),
    volatile=("greeting",),
    lands_within=LANDS_WITHIN,
    visible_within="1s",
    timeout="5s",
    owner="postmaster",
    shared=True,  # letters to one mailbox do not get in each other's way
    did_not_happen=(NotSent,),
    side_effects=("a filter of the recipient may answer, forward or delete it",),
)
def send_mail(fx: hf.Fx, *, to: str, subject: str, text: str, greeting: str = "") -> dict[str, str]:
    """Send a message to a mailbox of our own house."""
    message = written(fx.key, to, subject, text, greeting)
    return {**shown(message), "answer": submit(message, to, fx.remaining_s())}


@send_mail.probe
def _send_probe(look: hf.Look, *, to: str) -> hf.Happened | hf.Absent:
    """Look the Message-ID up. Not there is not final, and it is not for the probe to say when it is."""
    found = copies(to, look.key)
    return hf.Happened(shown(found[0])) if found else hf.Absent(why="no message with this Message-ID yet")


@send_mail.verify
def _send_verify(
    look: hf.Look, *, to: str, subject: str, text: str, greeting: str
) -> hf.Holds | hf.Differs | hf.CannotTell:
    """Read the mailbox: one message, and it says what was meant."""
    found = copies(to, look.key)
    if not found:
        return hf.CannotTell("it is not in the mailbox: not delivered yet, or moved by its owner")
    if len(found) > 1:
        return hf.Differs(f"{len(found)} copies were delivered")
    # Line ends are the protocol's own affair: what left with one character arrives with two.
    wanted = (f"{greeting}\n\n{text}" if greeting else text).rstrip().splitlines()
    if found[0]["Subject"] != subject or found[0].get_content().rstrip().splitlines() != wanted:
        return hf.Differs("the delivered message says something else")
    return hf.Holds(shown(found[0]))


@send_mail.list
def _send_list(look: hf.Look) -> list[dict[str, str]]:
    """Every message of an agent in every mailbox."""
    everything = (message for box in sorted(mailboxes().iterdir()) for message in messages(box.name))
    return [shown(message) for message in everything if message["From"] == SENDER]


@hf.tool(
    effect="irreversible",
    resource="mailbox:{to}",
    identity=("to", "subject"),
    volatile=("greeting",),
    lands_within="5d",
    timeout="5s",
    owner="postmaster",
    shared=True,  # letters to one mailbox do not get in each other's way
    no_probe="nobody of us can read a mailbox outside our house",
    did_not_happen=(NotSent,),
)
def send_outside(fx: hf.Fx, *, to: str, subject: str, text: str, greeting: str = "") -> dict[str, str]:
    """Send a message to somebody outside our house. What is in doubt is for a person to find out, by telephone."""
    message = written(fx.key, to, subject, text, greeting)
    return {**shown(message), "answer": submit(message, to, fx.remaining_s())}


TOOLS: list[hf.Tool[..., Any]] = [send_mail, send_outside]
