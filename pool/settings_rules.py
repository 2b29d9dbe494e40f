"""From a configuration to the rules that miners' settings messages and balance files are read by."""

from __future__ import annotations

from pool.config.configuration import Config
from pool.miners.notice_target import NoticeTerms
from pool.miners.settings_message import SettingsRules


def settings_rules(config: Config) -> SettingsRules:
    """The pool's name, its parent chain, and every configured chain's network, the parent first; and which notices it
    sends.
    """
    names = [config.parent, *config.aux_chains]
    sections = config.chains
    networks = {name: sections[name].chain_network for name in names}
    notices = NoticeTerms() if config.miner_notices is None else config.miner_notices.terms
    return SettingsRules(config.pool.name, config.parent, networks, notices)
