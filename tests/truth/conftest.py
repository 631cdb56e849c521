"""Recordings of real kernels, for the tests in this folder.

They are looked for in ``$TTBR_TRUTH``, then beside the checkout. Where they are absent every test
of this folder is skipped, and the summary line says how many that were.
"""

import importlib.util
import os
import pathlib
import shutil
import sys
import tempfile
from collections.abc import Callable
from types import ModuleType

import pytest
import recorded
import unpacked
from browser import browser, page, shoot
from figures import Figures

from ttbr.mmu.image import Image
from ttbr.recover.identify import with_registers
from ttbr.recover.linux import Linux

__all__ = ["browser", "page", "shoot"]

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]


def truth_root() -> pathlib.Path | None:
    """The folder of the recordings, or None."""
    named = os.environ.get("TTBR_TRUTH")
    places = [pathlib.Path(named)] if named else [CHECKOUT.parent / "shared" / "truth"]
    return next((p for p in places if (p / "truth.py").is_file()), None)


def load_truth() -> ModuleType | None:
    """The recordings' own reader (``truth.py``) as a module, or None."""
    root = truth_root()
    if root is None:
        return None
    if "ttbr_truth" not in sys.modules:
        spec = importlib.util.spec_from_file_location("ttbr_truth", root / "truth.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["ttbr_truth"] = module
        spec.loader.exec_module(module)
    return sys.modules["ttbr_truth"]


def pytest_configure(config: pytest.Config) -> None:
    if unpacked.FOLDER not in os.environ:
        folder = tempfile.mkdtemp(prefix="ttbr-unpacked-")
        os.environ[unpacked.FOLDER] = folder
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if truth_root() is not None:
        return
    mine = [item for item in items if pathlib.Path(__file__).parent in item.path.parents]
    reason = f"the recordings are absent: {len(mine)} tests not run (set TTBR_TRUTH)"
    for item in mine:
        item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def truth() -> ModuleType:
    """The recordings' reader: ``truth.data(case, name)``, ``truth.stage(case, name)`` …"""
    module = load_truth()
    assert module is not None
    return module


@pytest.fixture(scope="session", params=recorded.cases(load_truth(), "samples.txt"))
def machine(request: pytest.FixtureRequest, truth: ModuleType) -> recorded.Recorded:
    """The machine of each recording after boot; pytest keeps one at a time in memory."""
    return recorded.load(truth, request.param)


@pytest.fixture(scope="session")
def linux(machine: recorded.Recorded) -> Linux:
    """The Linux in each recording, from its RAM alone: no registers, symbols or types."""
    return Linux(with_registers(Image(machine.image.memory))[0])


@pytest.fixture
def figure(machine: recorded.Recorded, say: Callable[[str], None]) -> Figures:
    """Says what was compared on a recording, and holds it against the documented figure."""
    return Figures(machine.case, say)
