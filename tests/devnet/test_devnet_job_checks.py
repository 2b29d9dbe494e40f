"""The running pool tries each new form of its jobs, and its metric says that every chain would take the proofs."""

from __future__ import annotations

from typing import Any

from support.devnet import CHAINS, Devnet


async def test_devnet_pool_tries_every_new_form_of_its_jobs(make_devnet: Any) -> None:
    devnet: Devnet = await make_devnet()

    async def held() -> bool:
        values = await devnet.metric("job_shape_checks_total")
        return all(values.get(f'chain="{chain}",result="holds"', 0) > 0 for chain in CHAINS)

    await devnet.until(held, "every chain's proof was tried")
    values = await devnet.metric("job_shape_checks_total")
    assert {labels for labels, value in values.items() if value and 'result="holds"' not in labels} == set()
    assert "alarm:" not in devnet.logs()
