"""Page blocks: the alignment of CMA areas. The values are those that kernels report."""

import pytest

from ttbr.kernel.config import Config
from ttbr.kernel.kernel import Kernel
from ttbr.kernel.pageblock import pageblock_bytes
from ttbr.kernel.release import Release
from ttbr.kernel.symbols import Symbols

M = 1 << 20


def kernel(release: str, arch: str, **options: str) -> Kernel:
    symbols = Symbols([("_text", 0), ("_end", 1)])
    return Kernel(arch, Release.parse(release), Config(options), symbols, "k", 0, 1)


@pytest.mark.parametrize(
    ("made", "size"),
    [
        (kernel("6.12.117", "arm64", HUGETLB_PAGE="y", ARCH_FORCE_MAX_ORDER="10"), 2 * M),
        (kernel("6.1.176", "arm64", HUGETLB_PAGE="y", ARCH_FORCE_MAX_ORDER="11"), 2 * M),
        (kernel("6.12.1", "arm64", HUGETLB_PAGE="y", ARM64_16K_PAGES="y"), 16 * M),
        (
            kernel(
                "6.12.1", "arm64", TRANSPARENT_HUGEPAGE="y", ARM64_16K_PAGES="y",
                ARCH_FORCE_MAX_ORDER="11",
            ),
            32 * M,
        ),
        (
            kernel(
                "6.12.1", "arm64", HUGETLB_PAGE="y", ARM64_64K_PAGES="y", ARCH_FORCE_MAX_ORDER="13"
            ),
            512 * M,
        ),
        (kernel("6.1.176", "arm", ARCH_FORCE_MAX_ORDER="12"), 8 * M),
        (kernel("6.1.176", "arm"), 4 * M),
        (kernel("6.12.1", "arm", ARCH_FORCE_MAX_ORDER="10"), 4 * M),
        (kernel("6.12.1", "arm", HUGETLB_PAGE="y", ARM_LPAE="y"), 2 * M),
        (kernel("6.1.1", "arm64", TRANSPARENT_HUGEPAGE="y"), 4 * M),
    ],
)  # fmt: skip
def test_size(made: Kernel, size: int) -> None:
    assert pageblock_bytes(made) == size
