"""Every way of hashing a share, for tests that must hold for all of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from chains.primitives import _share_kernel  # not there: the package was installed without a C compiler
from chains.primitives.share_kernel import PythonShareKernel


def native() -> list[str]:
    """The SHA-256 that the C kernel can use here."""
    best = _share_kernel.use("best")
    return [best] if best == "portable" else ["portable", best]


KERNELS = ["python", *native()]


@pytest.fixture(params=KERNELS)
def every_kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[PythonShareKernel]]:
    """The class; jobs made meanwhile use it too."""
    chosen = PythonShareKernel if request.param == "python" else _share_kernel.ShareKernel
    monkeypatch.setattr("pool.jobs.job.ShareKernel", chosen)
    if chosen is not PythonShareKernel:
        assert _share_kernel.use(request.param) == request.param
    yield chosen
    _share_kernel.use("best")
