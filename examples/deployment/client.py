"""The client library of the deployment service, as such a company would ship it.

Decides which exceptions mean that nothing was done: `Refused` (the service answered no) and `Unreachable` (no
connection came about). Every other `OSError` is doubt. It sends every request once. Knows nothing of holdfast.
"""

# ruff: noqa: N818 -- these are answers, named after what was said

from __future__ import annotations

import http.client
import json
from contextlib import closing
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

Json = dict[str, Any]


class Refused(Exception):
    """The service said no and did nothing; `code` says why: fenced, changed, busy, over, key_conflict, and others."""

    def __init__(self, code: str, body: Json) -> None:
        super().__init__(f"{code}: {body}")
        self.code = code
        self.body = body


class Unreachable(Exception):
    """No connection came about: nothing left."""


class DeploymentClient:
    """Calls one deployment service; a connection per request, so threads may share it."""

    def __init__(self, base_url: str, timeout_s: float = 5.0) -> None:
        parts = urlsplit(base_url)
        self._host, self._port, self._timeout_s = parts.hostname or "", parts.port or 80, timeout_s

    def deploy(
        self, environment: str, version: str, *, key: str | None = None, token: int | None = None,
        running: str | None = None,
    ) -> Json:  # fmt: skip
        """Begin a rollout; it is over some time later."""
        given = {"Idempotency-Key": key, "Fence-Token": token, "If-Running": running}
        headers = {name: str(value) for name, value in given.items() if value is not None}
        return self.send("POST", "/deployments", {"environment": environment, "version": version}, headers)

    def cancel(self, deployment: str) -> Json:
        """Stop a rollout that is not over."""
        return self.send("POST", f"/deployments/{quote(deployment, safe='')}/cancel", {})

    def deployment(self, deployment: str) -> Json:
        """How a rollout stands: rolling, done, declined or cancelled."""
        return self.send("GET", f"/deployments/{quote(deployment, safe='')}")

    def under(self, key: str) -> Json | None:
        """The rollout that was accepted under a key."""
        found: list[Json] = self.send("GET", f"/deployments?{urlencode({'key': key})}")["deployments"]
        return found[0] if found else None

    def environment(self, environment: str) -> Json:
        """What runs, what is being rolled out, and what ran before."""
        return self.send("GET", f"/environments/{quote(environment, safe='')}")

    def raise_fence(self, environment: str, token: int) -> None:
        """Make every lower token useless for one environment."""
        self.send("POST", "/fences", {"environment": environment, "token": token})

    def send(self, method: str, path: str, body: Json | None = None, headers: dict[str, str] | None = None) -> Json:
        """One request, one answer."""
        with closing(http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)) as line:
            try:
                line.connect()
            except ConnectionRefusedError as error:
                raise Unreachable(str(error)) from error
            try:
                line.request(method, path, None if body is None else json.dumps(body), headers or {})
                reply = line.getresponse()
                answer: Json = json.loads(reply.read())
            except (http.client.HTTPException, ValueError) as error:
                raise OSError(f"the answer could not be read: {error}") from error
        if reply.status >= 500:
            raise OSError(f"the service answered {reply.status}")
        if reply.status >= 400:
            raise Refused(str(answer.get("error")), answer)
        return answer
