"""Every metric of the pool: its name, kind, unit, labels and meaning. The one place where a metric is named.

The collectors (pool/metrics/collector.py) and docs/reference/metrics.md are made from this table. Alerts and dashboards
are built on these names: a rename is a breaking change.

Labels are chains, nodes and ports of the configuration, and words of ours: states, reasons, results, kinds, classes.
There is no miner, worker or address label, ever: what a stranger may choose must not make a series, and who mines here
is nobody's business (figures of a miner are in the HTTP API).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from stratum.counters import RTT_CLASSES

PREFIX = "parapool_"
MAX_SERIES = 2200
"""Promise to whoever stores the series: no configuration with up to MAX_CHAINS chains of two nodes and MAX_PORTS
Stratum ports makes more."""

MAX_CHAINS = 20
MAX_PORTS = 8
MAX_FREE_VALUES = 24
"""Distinct values of a label whose words come from outside (a node's refusal); further ones count as `other`."""

MAX_CHAIN_REASONS = 4
"""The same for a metric that has them for each chain."""

CHAIN_STATES = ("ok", "syncing", "down", "wrong_network")
SUBMIT_RESULTS = ("accepted", "duplicate", "inconclusive", "stale", "rejected", "given_up", "unbuilt")
BLOCK_STATES = ("submitted", "immature", "mature", "orphan", "rejected", "lost")
BATCH_STATES = ("planned", "built", "signed", "broadcast", "confirming", "conflicted", "hold")
LIABILITIES = ("immature", "available", "reserved")
DIFFICULTY_CLASSES = ("below_1", *(f"from_{16**power}" for power in range(12)))
"""A class holds the difficulties up to sixteen times its number."""

Group = Literal["miners", "shares", "jobs", "chains", "blocks", "books", "money", "process"]
GROUPS: dict[Group, str] = {
    "miners": "Miners",
    "shares": "Shares",
    "jobs": "Jobs",
    "chains": "Chains and nodes",
    "blocks": "Found blocks and luck",
    "books": "Share log and books",
    "money": "Money",
    "process": "The process",
}
Kind = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True, slots=True)
class MetricDefinition:
    """One metric. `name` is without the prefix. `max_words` bounds what a free label may bring, see
    pool/metrics/collector.py."""

    name: str
    kind: Kind
    unit: str
    labels: tuple[str, ...]
    group: Group
    meaning: str
    max_words: int = MAX_FREE_VALUES

    @property
    def full_name(self) -> str:
        return PREFIX + self.name


def _counter(name: str, unit: str, labels: str, group: Group, meaning: str, words: int = 24) -> MetricDefinition:
    return MetricDefinition(name, "counter", unit, tuple(labels.split()), group, meaning, words)


def _gauge(name: str, unit: str, labels: str, group: Group, meaning: str) -> MetricDefinition:
    return MetricDefinition(name, "gauge", unit, tuple(labels.split()), group, meaning)


def _histogram(name: str, unit: str, labels: str, group: Group, meaning: str) -> MetricDefinition:
    return MetricDefinition(name, "histogram", unit, tuple(labels.split()), group, meaning)


METRICS: tuple[MetricDefinition, ...] = (
    # -- miners
    _gauge("connections", "connections", "", "miners", "Open Stratum connections."),
    _gauge("workers", "workers", "", "miners", "Workers logged in on open connections; every quarter of a minute."),
    _counter(
        "connections_total", "connections", "result", "miners",
        "Connections that came in, by what became of them: accepted, or the limit that turned them away.",
    ),
    _counter(
        "connections_closed_total", "connections", "reason", "miners",
        "Connections that ended: the miner left, or the limit that dropped it.",
    ),
    _gauge(
        "connections_by_rtt", "connections", "rtt", "miners",
        "Open connections by the round-trip time to the miner (the proxy, behind one), the upper bound in seconds:"
        f" {', '.join(RTT_CLASSES)}. Every quarter of a minute.",
    ),
    _gauge(
        "connections_by_difficulty", "connections", "difficulty", "miners",
        "Open connections by their share difficulty, in classes of a factor of 16. Every quarter of a minute.",
    ),
    _counter(
        "vardiff_retargets_total", "retargets", "direction", "miners",
        "Connections that were told another difficulty than before, up or down.",
    ),
    _gauge(
        "certificate_end_timestamp_seconds", "seconds", "port", "miners",
        "Unix time of the last second of the certificate that a port with `tls` shows; a reload takes a renewed one.",
    ),
    _counter("bans_total", "bans", "", "miners", "Addresses banned for a time."),
    _counter(
        "parse_errors_total", "lines", "kind", "miners",
        "Stratum lines that were no proper request, by what was wrong.",
    ),
    # -- shares
    _counter(
        "shares_total", "shares", "result reason", "shares",
        "Submissions answered, by result (accepted, rejected) and the reason of a rejection.",
    ),
    _counter(
        "shares_by_rtt_total", "shares", "rtt result", "shares",
        "Submissions answered as accepted or stale, by the round-trip time to the miner (as connections_by_rtt).",
    ),
    _counter(
        "accepted_work_total", "hashes", "", "shares",
        "Expected hashes of all accepted shares; its rate is the pool's hashrate.",
    ),
    _histogram(
        "share_answer_seconds", "seconds", "", "shares",
        "From taking an accepted share to writing its answer, of one share in each sync of the share log. Ports that"
        " answer at once (`ack: memory`) are not in it.",
    ),
    _gauge(
        "solves_unseen_fraction", "fraction", "chain", "shares",
        "Part of a chain's expected solves that no share showed, because difficulties were above its target.",
    ),
    _counter(
        "solves_expected_total", "solves", "chain", "shares",
        "Solves that the work of shares harder than the chain's target should hold (only those: see"
        " expected_blocks_total).",
    ),
    _counter("solves_seen_total", "solves", "chain", "shares", "Solves that those same shares showed."),
    # -- jobs
    _gauge(
        "job_age_seconds", "seconds", "", "jobs", "Age of the newest job sent to miners; absent before the first."
    ),
    _counter("jobs_total", "jobs", "", "jobs", "Jobs sent to miners."),
    _counter(
        "chain_jobs_total", "jobs", "chain", "jobs",
        "Jobs that worked for the chain; its share of jobs_total is how much of the time the chain is mined.",
    ),
    _gauge(
        "job_height", "blocks", "chain", "jobs",
        "Height of the block that the newest job works for; absent while the job does not carry the chain, or its node"
        " tells no height.",
    ),
    _histogram(
        "job_broadcast_seconds", "seconds", "", "jobs", "From a new job to its last connection being written to."
    ),
    _counter(
        "template_rejected_total", "proposals", "reason", "jobs",
        "Block forms that the parent refused as a proposal: mining goes on with less in it. Alarm.",
    ),
    _gauge(
        "refused_shapes", "shapes", "", "jobs",
        "Block forms that the parent refuses at present; mining goes on with less in it. Alarm unless 0.",
    ),
    _counter(
        "job_shape_checks_total", "trials", "chain result", "jobs",
        "New forms of jobs that were solved for trial: `holds` when every verifier takes the chain's proof, `fails`"
        " when one refuses it (its blocks would be lost), `broken` when there was no trial. Alarm on the latter two.",
    ),
    # -- chains and nodes
    _gauge("tip_height", "blocks", "chain", "chains", "Best height of the chain's usable or syncing nodes."),
    _gauge(
        "tip_age_seconds", "seconds", "chain", "chains",
        "How long ago the chain's best height changed, since the start at most; absent while it is unknown.",
    ),
    _gauge(
        "template_age_seconds", "seconds", "chain", "chains",
        "How long ago a node last said what to mine. A parent that is long-polled says it when that changes, or about"
        " once a minute. Absent before the first, and of a chain whose node hangs.",
    ),
    _gauge("chain_up", "boolean", "chain", "chains", "1 while a node of the chain is usable (state ok)."),
    _gauge(
        "chain_state", "boolean", "chain state", "chains",
        "1 for the state the chain is in: ok, syncing, down or wrong_network.",
    ),
    _gauge("aux_in_tree", "boolean", "chain", "chains", "1 while new jobs work for the chain, the parent included."),
    _gauge("node_up", "boolean", "chain node", "chains", "1 while the node is usable (state ok)."),
    _gauge("node_height", "blocks", "chain node", "chains", "The node's own height; absent while it is unknown."),
    _gauge(
        "node_answer_seconds", "seconds", "chain node", "chains",
        "How long the node's last health check took, a few calls; absent while it gives no answer.",
    ),
    _gauge(
        "node_peers", "peers", "chain node", "chains",
        "The node's connections to its network, every quarter of a minute; absent of a node that does not tell.",
    ),
    _gauge(
        "node_mempool_transactions", "transactions", "chain node", "chains",
        "Transactions that wait in the node's mempool, every quarter of a minute; absent of a node that does not tell.",
    ),
    _gauge(
        "clock_offset_seconds", "seconds", "", "chains",
        "The parent node's clock less ours, whole seconds, as of its newest template; absent before the first.",
    ),
    # -- found blocks and luck
    _counter(
        "expected_blocks_total", "blocks", "chain", "blocks",
        "Blocks that the accepted shares should have found: the sum of their work over the chain's own.",
    ),
    _counter(
        "found_blocks_total", "blocks", "chain", "blocks",
        "Solves that were handed in, whatever their node made of them.",
    ),
    _counter(
        "expected_near_misses_total", "shares", "chain", "blocks",
        "Near misses that the accepted shares should hold.",
    ),
    _counter(
        "near_misses_total", "shares", "chain", "blocks",
        "Accepted shares that would have solved a chain with a target 100 times easier, solves included: tells in hours"
        " what blocks tell in weeks, that the chain's work is done and counted.",
    ),
    _gauge(
        "effort_ratio", "blocks", "chain", "blocks",
        "Expected blocks since the last solve that was handed in, since the start at most: 1 on average, over 7 once in"
        " a thousand blocks.",
    ),
    _gauge(
        "last_block_timestamp_seconds", "seconds", "chain", "blocks",
        "Unix time of the chain's newest found block in the books that was not refused; absent before the first.",
    ),
    _gauge(
        "blocks_total", "blocks", "chain state", "blocks",
        "Found blocks in the books by the state they are in now; a block changes its state, so this is a gauge.",
    ),
    _counter(
        "block_submit_total", "submissions", "chain result", "blocks",
        "Final answers to submitted blocks: accepted, duplicate, inconclusive, stale, rejected; given_up when none"
        " came, unbuilt when no block could be made of a solve.",
    ),
    _counter(
        "block_refusals_total", "submissions", "chain reason", "blocks",
        "Submitted blocks whose final answer was `rejected`, by the node's words.", MAX_CHAIN_REASONS,
    ),
    _gauge(
        "leads_blocks", "yes or no", "chain", "blocks",
        "1 while this process can sign the blocks that its votes lead, 0 while it cannot; only of chains of votes.",
    ),
    _counter(
        "led_blocks_total", "blocks", "chain result", "blocks",
        "Blocks that a vote of ours should lead: accepted, inconclusive (another one is preferred); rejected by all"
        " nodes, unavailable when none answered, unsigned when the signer refused.",
    ),
    _histogram(
        "block_submit_seconds", "seconds", "chain", "blocks", "From the solve of a block to its final answer."
    ),
    # -- share log and books
    _gauge("spool_bytes", "bytes", "", "books", "Size of the share log's segments on disk, room ahead included."),
    _gauge(
        "spool_pending_shares", "shares", "", "books",
        "Accepted shares that wait for the disk before they are answered.",
    ),
    _gauge(
        "share_fsync_seconds", "seconds", "", "books", "Duration of the share log's latest write and fdatasync."
    ),
    _gauge(
        "consumer_lag_shares", "shares", "", "books",
        "Durable shares that the books have not read yet; absent until they have read those of before the start.",
    ),
    _gauge(
        "books_lag_seconds", "seconds", "", "books",
        "How long ago everything durable was in the books, under 5 when all is well; since the start at most.",
    ),
    _gauge(
        "last_backup_timestamp_seconds", "seconds", "", "books",
        "Unix time of the last change of DATA_DIR/last-backup, which a backup touches when it is done; absent without"
        " that file.",
    ),
    # -- money
    _gauge(
        "liabilities_sat", "smallest units", "chain kind", "money",
        "What the pool owes to miners: immature, available, reserved for payouts on their way. Every 5 s.",
    ),
    _gauge(
        "coins_sat", "smallest units", "chain kind", "money",
        "What the books say is there: in immature blocks, in the wallet. Every 5 s.",
    ),
    _gauge("fee_income_sat", "smallest units", "chain", "money", "The pool's fees so far. Every 5 s."),
    _gauge(
        "ledger_imbalance_sat", "smallest units", "chain", "money",
        "Debits less credits of the chain's ledger. Alarm unless 0.",
    ),
    _gauge(
        "oldest_unpaid_seconds", "seconds", "chain", "money",
        "How long somebody has been owed the chain's `minimum_payout` or more and was not paid: since the last payment"
        " to that account, or its first final credit. 0 when nobody is; chains that pay only, once a minute. Frozen"
        " miners count.",
    ),
    _gauge(
        "payout_batches", "batches", "chain state", "money", "Payout batches that something may still move, by state."
    ),
    _gauge(
        "payout_oldest_open_seconds", "seconds", "chain", "money",
        "Age of the oldest batch that is not final; 0 without any.",
    ),
    _gauge("payout_hold", "boolean", "chain", "money", "1 while nothing new is paid on the chain. Alarm."),
    _gauge(
        "wallet_diff_sat", "smallest units", "chain", "money",
        "What the wallet holds over what the books say; absent before the first look. Alarm unless 0.",
    ),
    _gauge(
        "wallet_sat", "smallest units", "chain", "money",
        "What the hot wallet held, confirmed, at the last look; absent before it.",
    ),
    _gauge(
        "wallet_ceiling_sat", "smallest units", "chain", "money",
        "The configured `payouts.hot_ceiling`; absent without one.",
    ),
    _gauge(
        "pps_buying", "boolean", "chain", "money",
        "Whether the shares of new jobs are bought (0: they count for PPLNS); chains that buy only.",
    ),
    _gauge(
        "pps_reserve", "smallest units", "chain", "money",
        "The operator's available money less what shares have earned already; absent before it is known.",
    ),
    # -- the process
    _gauge(
        "front_end_up", "boolean", "frontend", "process",
        "1 while the front end's ports are open. One for each process of stratum.processes (and at a graceful restart"
        " for those before them); a pool of one process has none.",
    ),
    _gauge("front_end_connections", "connections", "frontend", "process", "The front end's part of connections."),
    _counter("front_end_cpu_seconds_total", "seconds", "frontend", "process", "Processor time that it used."),
    _counter(
        "front_end_starts_total", "processes", "", "process",
        "Processes that were started as front ends: beyond stratum.processes, one for each that died.",
    ),
    _gauge("front_end_resident_memory_bytes", "bytes", "", "process", "Memory in use (RSS) of all front ends."),
    _gauge(
        "reactor_lag_seconds", "seconds", "", "process",
        "How late the loop came to a timer, the worst of the last minute.",
    ),
    _gauge("disk_free_bytes", "bytes", "", "process", "What the pool may still write on the disk of its data_dir."),
    _gauge("disk_size_bytes", "bytes", "", "process", "Size of that disk."),
    _gauge("process_resident_memory_bytes", "bytes", "", "process", "Memory in use (RSS)."),
    _gauge("process_virtual_memory_bytes", "bytes", "", "process", "Address space in use."),
    _counter("process_cpu_seconds_total", "seconds", "", "process", "Processor time used, all threads."),
    _gauge("process_open_fds", "files", "", "process", "Open files; each miner is one."),
    _gauge("process_max_fds", "files", "", "process", "Open files allowed."),
    _gauge(
        "process_start_time_seconds", "seconds", "", "process", "Unix time of the start; it changes at each restart."
    ),
)  # fmt: skip

DEFINITIONS = {metric.name: metric for metric in METRICS}
OF_PROMETHEUS_CLIENT = frozenset(name for name in DEFINITIONS if name.startswith("process_"))
"""Read by prometheus_client's own ProcessCollector, not by ours."""

OF_SEVERAL_PROCESSES = frozenset(name for name in DEFINITIONS if name.startswith("front_end_"))
"""There with `stratum.processes` of two or more only (pool/fleet_status.py)."""
