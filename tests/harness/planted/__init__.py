"""Defects for marked tests, one module an area. Each has a ``PLANT``: name of the defect -> what plants it.

A planter is given ``put(owner, attribute, value)``, which replaces a named function wherever it was imported to.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from typing import Any

Put = Callable[[Any, str, Any], None]

PLANTED: dict[str, Callable[[Put], None]] = {}
for _found in sorted(pkgutil.iter_modules(__path__), key=lambda module: module.name):
    _plant: dict[str, Callable[[Put], None]] = importlib.import_module(f"{__name__}.{_found.name}").PLANT
    assert not PLANTED.keys() & _plant.keys(), _found.name
    PLANTED |= _plant
