"""From the configuration to what jobs are made with: one way for the pool and for `pool doctor`, so that the doctor
looks at the very job that miners would get.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from chains.primitives.target import target_to_difficulty
from chains.registry import AUX_KINDS, PARENT_KINDS
from pool.chain_setup import strict_chains
from pool.config.configuration import Config
from pool.jobs.pay_rate import PayRate
from pool.jobs.proof_trial import TrialTerms
from pool.jobs.template_set import TemplateSet
from pool.jobs.version_bits import FixedVersionBits
from pool.services.chain_watch import WatchedChain
from pool.services.job_broadcast import JobSettings


def job_settings(
    config: Config,
    parent: WatchedChain,
    propose: Callable[[dict[str, str], str], Any],
    pay_rates: Callable[[TemplateSet], Mapping[str, PayRate]] = lambda templates: {},
) -> JobSettings:
    """`propose` asks a parent node about a block, by its payload and the node's name."""
    pow_name = parent.network.pow_hash
    return JobSettings(
        parent_kind=PARENT_KINDS[config.parent_chain.kind],
        kinds={name: AUX_KINDS[chain.kind] for name, chain in config.aux_chains.items()},
        notify={name: chain.notify for name, chain in config.aux_chains.items()},
        payout_script=parent.script,
        tag=config.pool.tag.encode(),
        difficulty_of=lambda target: target_to_difficulty(target, pow_name),
        propose=propose,
        fixed_version_bits=FixedVersionBits(strict_chains(config)),
        extranonce2_sizes=tuple(dict.fromkeys(port.extranonce2_size for port in config.stratum.ports)),
        pay_rates=pay_rates,
    )


def trial_terms(config: Config, parent: WatchedChain) -> TrialTerms:
    """What a trial of this pool's jobs needs to know."""
    kinds = {name: AUX_KINDS[chain.kind] for name, chain in config.aux_chains.items()}
    return TrialTerms(kinds, parent.network.pow_hash, parent.script, strict_chains(config))
