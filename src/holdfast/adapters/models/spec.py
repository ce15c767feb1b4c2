"""Which model, reached how, with which bounds; and where its key comes from.

Promises that a key comes from the environment only: a file that holds one, and an address with credentials in it, are
refused before anything is sent. Does not promise that the model exists.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from urllib.parse import urlsplit

import msgspec

from holdfast.kernel.errors import BadConfig

PROVIDERS = ("openai", "anthropic", "openai-compatible")
KEY_ENV = {
    "openai": "OPENAI_API_KEY",
    "anthropic": "ANTHROPIC_API_KEY",
    "openai-compatible": "HOLDFAST_MODEL_API_KEY",
}
BASE_URL_ENV = "HOLDFAST_MODEL_BASE_URL"


class ModelSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One model. ``timeout_ms`` bounds a whole answer, ``stall_ms`` the silence before and within one.

    Prices are minor units of ``currency`` for a million tokens; 0: what it costs is not reckoned.
    """

    provider: str
    name: str
    base_url: str = ""
    key_env: str = ""
    stream: bool = True
    max_tokens: int = 4_096
    temperature: float | None = None
    timeout_ms: int = 120_000
    stall_ms: int = 30_000
    input_price: int = 0
    output_price: int = 0
    currency: str = ""

    @property
    def asked_for(self) -> str:
        """As it is written and recorded: ``openai:gpt-x``."""
        return f"{self.provider}:{self.name}"

    def key(self, environ: Mapping[str, str] | None = None) -> str:
        """The key from the environment; empty for a server of one's own that wants none. Raises BadConfig."""
        name = self.key_env or KEY_ENV[self.provider]
        key = (os.environ if environ is None else environ).get(name, "")
        if not key and self.provider != "openai-compatible":
            raise BadConfig(file="the environment", key=name, nearest=None, why=f"{self.asked_for} needs a key there")
        return key


def parse(text: str, *, file: str = "the command line", environ: Mapping[str, str] | None = None) -> ModelSpec:
    """``openai:NAME``, ``anthropic:NAME`` or ``openai-compatible:NAME``. Raises BadConfig with the nearest provider."""
    provider, colon, name = text.partition(":")
    if provider not in PROVIDERS:
        near = difflib.get_close_matches(provider, PROVIDERS, n=1, cutoff=0.4)
        nearest = f"{near[0]}:{name or 'NAME'}" if near else "openai-compatible:NAME"
        raise BadConfig(file=file, key="model", nearest=nearest, why=f'"{provider}" is no provider of models')
    if not colon or not name.strip():
        raise BadConfig(file=file, key="model", nearest=f"{provider}:NAME", why="it names no model")
    base_url = (os.environ if environ is None else environ).get(BASE_URL_ENV, "")
    return ModelSpec(provider=provider, name=name.strip(), base_url=base_url)


def checked(spec: ModelSpec, *, file: str = "the command line") -> ModelSpec:
    """The same spec, if its address can be used. Raises BadConfig."""
    if not spec.base_url:
        if spec.provider == "openai-compatible":
            why = f"an openai-compatible model needs an address, here or in ${BASE_URL_ENV}"
            raise BadConfig(file=file, key="base_url", nearest="http://127.0.0.1:11434/v1", why=why)
        return spec
    parts = urlsplit(spec.base_url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        why = "it is no http or https address"
        raise BadConfig(file=file, key="base_url", nearest="http://127.0.0.1:11434/v1", why=why)
    if parts.username or parts.password or parts.query:
        why = f"credentials belong into the environment (${spec.key_env or KEY_ENV[spec.provider]})"
        raise BadConfig(file=file, key="base_url", nearest=f"{parts.scheme}://{parts.hostname}", why=why)
    return spec
