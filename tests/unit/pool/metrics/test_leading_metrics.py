"""The metrics of led blocks: every result from the beginning, and whether anything can be signed."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest

from pool.metrics.leading import LeadingCollector
from pool.services.block_leading import RESULTS, BlockLeading


def test_leading_metrics_tell_what_was_led_and_what_was_not() -> None:
    leading: dict[str, BlockLeading] = {}
    registry = CollectorRegistry()
    registry.register(LeadingCollector(leading))
    leading["votes"] = BlockLeading("votes", lambda: [])
    leading["votes"].results["accepted"] = 2
    text = generate_latest(registry).decode()
    assert 'parapool_leads_blocks{chain="votes"} 0.0' in text, "no signer yet"
    assert 'parapool_led_blocks_total{chain="votes",result="accepted"} 2.0' in text
    assert text.count('led_blocks_total{chain="votes"') == len(RESULTS)
    leading["votes"].problem = ""
    assert 'parapool_leads_blocks{chain="votes"} 1.0' in generate_latest(registry).decode()
