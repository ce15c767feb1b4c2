"""Names of code in a case: the module that is meant is the one that lies beside the file."""

from __future__ import annotations

import pytest

from holdfast.harness.case.collect import find
from holdfast.kernel.errors import BadConfig

CASE = (
    'name = "{name}"\ntools = "{module}:tools"\n[world]\nmake = "{module}:world"\n'
    '[intent]\ngoal = "g"\n[planner]\nscript = []\n'
)


def folders(path, module, *, file):
    """Two folders, each with a case and a module of one name that says which folder it is of."""
    for name in ("one", "two"):
        own = path / name / file
        own.parent.mkdir(parents=True)
        own.write_text(f"def tools(world):\n    return []\n\ndef world(seed):\n    return {name!r}\n")
        (path / name / "x.case.toml").write_text(CASE.format(name=name, module=module))


def test_two_modules_of_one_name_in_two_folders_stay_two(tmp_path):
    """Each case gets the code that lies beside it, and not that of the case that was loaded first."""
    folders(tmp_path, "a_shop_of_two", file="a_shop_of_two.py")
    assert [one.case.world(1) for one in find([tmp_path])] == ["one", "two"]


def test_a_package_that_another_hides_is_an_error(tmp_path):
    """Where the second cannot be loaded beside the first it is said, and the first is not taken for it."""
    folders(tmp_path, "a_package_of_two", file="a_package_of_two/__init__.py")
    with pytest.raises(BadConfig, match="was imported from"):
        find([tmp_path])
