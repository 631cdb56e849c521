"""Both forms of the loops in `ttbr.mmu.kernels`."""

import importlib.util
from collections.abc import Iterator

import pytest

FORMS = ("numpy", "numba")


@pytest.fixture(scope="module", params=FORMS)
def kernels(request: pytest.FixtureRequest) -> Iterator[str]:
    """Has the tests of a module run once with each form."""
    if request.param == "numba" and importlib.util.find_spec("numba") is None:
        pytest.skip("numba is not installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TTBR_KERNELS", request.param)
        yield request.param
