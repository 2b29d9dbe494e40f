"""For every alert a history in which it fires and one beside it in which nothing does.

Values are promtool's: `a+bxN` begins at a and goes on N times by b, `axN` stays; steps are of 15 s in FAST, of 10
minutes in SLOW, of an hour in HOURLY. A history ends at `at`. A case expects exactly its own alert, with these
labels, and no other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Series = Mapping[str, str]


@dataclass(frozen=True)
class AlertCase:
    """`fires` and `quiet` by series, the metric without its prefix; `labels` beside alertname and severity."""

    alert: str
    severity: str
    at: str
    fires: Series
    quiet: Series
    labels: Mapping[str, str] = field(default_factory=dict)


POOL = {"instance": "p"}
ALPHA = {"instance": "p", "chain": "alpha"}
SUBMITTED = 'block_submit_total{instance="p",chain="alpha",result="%s"}'
ANSWERS = 'share_answer_seconds_bucket{instance="p",le="%s"}'
SHARES = 'shares_total{instance="p",result="%s",reason="%s"}'
WALLET = 'wallet_sat{instance="p",chain="alpha"}'
OWED = 'liabilities_sat{instance="p",chain="alpha",kind="%s"}'
OWED_TO = 'liabilities_sat{instance="%s",chain="alpha",kind="%s"}'
BATCHES = 'payout_batches{instance="p",chain="alpha",state="%s"}'
OPEN_S = 'payout_oldest_open_seconds{instance="p",chain="alpha"}'


def alpha(name: str, values: str, more: str = "") -> Series:
    return {f'{name}{{instance="p",chain="alpha"{more}}}': values}


def pool(name: str, values: str, more: str = "") -> Series:
    return {f'{name}{{instance="p"{more}}}': values}


def front_ends(values: str, *names: str) -> Series:
    return {f'front_end_up{{instance="p",frontend="{name}"}}': values for name in names or ("main-1", "main-2")}


FAST = (
    AlertCase(
        "BlockNotAccepted", "page", "5m", labels=ALPHA,
        fires={SUBMITTED % "accepted": "0+1x20", SUBMITTED % "rejected": "0x9 1x10"},
        quiet={SUBMITTED % "accepted": "0+1x20", SUBMITTED % "stale": "0+1x20", SUBMITTED % "rejected": "3x20"},
    ),
    AlertCase(
        "ProofDoesNotHold", "page", "2m", labels=ALPHA | {"result": "fails"},
        fires=alpha("job_shape_checks_total", "_x4 1x10", ',result="fails"'),
        quiet=alpha("job_shape_checks_total", "0x10", ',result="fails"')
        | alpha("job_shape_checks_total", "0+1x10", ',result="holds"'),
    ),
    AlertCase("ParentRefusesBlocks", "page", "1m", pool("refused_shapes", "1x9"), pool("refused_shapes", "0x9"), POOL),
    AlertCase("NoFreshWork", "page", "1m", pool("job_age_seconds", "91x5"), pool("job_age_seconds", "31x5"), POOL),
    AlertCase(
        "WorkBehindNode", "page", "2m", labels=ALPHA,
        fires=alpha("job_height", "8x10") | alpha("tip_height", "7x5 8x5"),
        quiet=alpha("job_height", "8x5 9x5") | alpha("tip_height", "7x5 8x5"),
    ),
    AlertCase("ChainDown", "page", "2m", alpha("chain_up", "0x10"), alpha("chain_up", "1x4 0 0 1x4"), ALPHA),
    AlertCase(
        "NodeDown", "ticket", "6m", labels=ALPHA | {"node": "alpha[1]"},
        fires=alpha("node_up", "0x30", ',node="alpha[1]"') | alpha("chain_up", "1x30"),
        quiet=alpha("node_up", "1x30", ',node="alpha[1]"') | alpha("chain_up", "1x30"),
    ),
    AlertCase(
        "BlocksNotLed", "ticket", "16m", alpha("leads_blocks", "0x70"),
        {**alpha("leads_blocks", "0x70"), 'leads_blocks{instance="q",chain="alpha"}': "1x70"}, {"chain": "alpha"},
    ),
    AlertCase(
        "ChainOutOfTree", "ticket", "11m", alpha("aux_in_tree", "0x50"), alpha("aux_in_tree", "0x38 1x9"), ALPHA
    ),
    AlertCase(
        "ClockOff", "ticket", "6m", pool("clock_offset_seconds", "-6x30"), pool("clock_offset_seconds", "-2x30"), POOL
    ),
    AlertCase(
        "StaleShares", "ticket", "31m", labels=POOL,
        fires={SHARES % ("accepted", ""): "0+985x130", SHARES % ("rejected", "stale"): "0+15x130"},
        quiet={SHARES % ("accepted", ""): "0+995x130", SHARES % ("rejected", "stale"): "0+5x130"},
    ),
    AlertCase(
        "RejectedShares", "ticket", "31m", labels=POOL,
        fires={SHARES % ("accepted", ""): "0+97x130", SHARES % ("rejected", "low_difficulty"): "0+3x130"},
        quiet={SHARES % ("accepted", ""): "0+99x130", SHARES % ("rejected", "low_difficulty"): "0+1x130"},
    ),
    AlertCase(
        "AnswersSlow", "ticket", "11m", labels=POOL,
        fires={ANSWERS % "0.05": "0+97x50", ANSWERS % "0.25": "0+100x50", ANSWERS % "+Inf": "0+100x50"},
        quiet={ANSWERS % "0.05": "0+1000x50", ANSWERS % "0.25": "0+1001x50", ANSWERS % "+Inf": "0+1001x50"},
    ),
    AlertCase(
        "CertificateEnds", "ticket", "16m", labels=POOL | {"port": "0.0.0.0:3443"},
        fires=pool("certificate_end_timestamp_seconds", "1209000x70", ',port="0.0.0.0:3443"'),
        quiet=pool("certificate_end_timestamp_seconds", "1211000x70", ',port="0.0.0.0:3443"'),
    ),
    AlertCase(
        "LedgerDoesNotBalance", "page", "1m", labels=ALPHA,
        fires=alpha("ledger_imbalance_sat", "0 -1x5"), quiet=alpha("ledger_imbalance_sat", "0x6"),
    ),
    AlertCase("WalletDiffers", "page", "2m", alpha("wallet_diff_sat", "-5x9"), alpha("wallet_diff_sat", "0x9"), ALPHA),
    AlertCase(
        "PayoutStuck", "page", "1m", labels=ALPHA,
        fires={OPEN_S: "7201x5", BATCHES % "broadcast": "1x5", BATCHES % "signed": "0x5"},
        quiet={OPEN_S: "7201x5", BATCHES % "confirming": "1x5", BATCHES % "signed": "0x5"},
    ),
    AlertCase("PayoutsOnHold", "page", "1m", alpha("payout_hold", "1x5"), alpha("payout_hold", "0x5"), ALPHA),
    AlertCase(
        "PayoutsOnHold", "page", "1m", labels=ALPHA,
        fires=alpha("payout_hold", "0x5") | {BATCHES % "conflicted": "1x5", BATCHES % "hold": "0x5"},
        quiet=alpha("payout_hold", "0x5") | {BATCHES % "conflicted": "0x5", BATCHES % "hold": "0x5"},
    ),
    AlertCase(
        "WalletAboveCeiling", "ticket", "11m", labels={"chain": "alpha"},
        fires={WALLET: "1001x50"} | alpha("wallet_ceiling_sat", "1000x50"),
        quiet={WALLET: "1000x50"} | alpha("wallet_ceiling_sat", "1000x50"),
    ),
    AlertCase(
        "WalletShort", "ticket", "11m", labels={"chain": "alpha"},
        fires={WALLET: "1000x50", OWED % "available": "700x50", OWED % "reserved": "301x50"},
        quiet={WALLET: "1000x50", OWED % "available": "700x50", OWED % "immature": "900x50"},
    ),
    AlertCase(  # roles: the payer tells of the wallet, several others of the books
        "WalletShort", "ticket", "11m", labels={"chain": "alpha"},
        fires={WALLET: "1000x50"} | {OWED_TO % (who, "available"): "1001x50" for who in ("books", "standby")},
        quiet={WALLET: "1000x50"} | {OWED_TO % (who, "available"): "1000x50" for who in ("books", "standby")},
    ),
    AlertCase("SharesNotBought", "ticket", "11m", alpha("pps_buying", "0x50"), alpha("pps_buying", "1x50"), ALPHA),
    AlertCase(
        "PoolDown", "page", "2m", labels=POOL | {"job": "parapool"},
        fires={'up{job="parapool",instance="p"}': "1 0x9"},
        quiet={'up{job="parapool",instance="p"}': "1x9", 'up{job="other",instance="p"}': "0x9"},
    ),
    AlertCase(
        "PoolRestarts", "page", "10m", labels=POOL,
        fires=pool("process_start_time_seconds", "100x5 200x5 300x5 400x5 500x20"),
        quiet=pool("process_start_time_seconds", "100x10 200x10 300x10 400x10"),
    ),
    AlertCase(
        "BooksBehind", "page", "2m", pool("books_lag_seconds", "90+15x9"), pool("books_lag_seconds", "9x9"), POOL
    ),
    AlertCase(
        "BooksBehind", "page", "12m", labels=POOL,
        fires={SHARES % ("accepted", ""): "0+150x50"} | pool("consumer_lag_shares", "7000x50", ',job="parapool"'),
        quiet={SHARES % ("accepted", ""): "0+150x50"} | pool("consumer_lag_shares", "5000x50", ',job="parapool"'),
    ),
    AlertCase(
        "LoopLate", "ticket", "6m", pool("reactor_lag_seconds", "0.11x30"), pool("reactor_lag_seconds", "0.09x30"), POOL
    ),
    AlertCase(
        "DiskFull", "page", "6m", labels=POOL,
        fires=pool("disk_free_bytes", "9x30") | pool("disk_size_bytes", "100x30"),
        quiet=pool("disk_free_bytes", "11x30") | pool("disk_size_bytes", "100x30"),
    ),
    AlertCase(
        "DiskFull", "page", "30m", labels=POOL,
        fires=pool("disk_free_bytes", "40000-8x130") | pool("disk_size_bytes", "100000x130"),  # 46080 a day, of 40000
        quiet=pool("disk_free_bytes", "40000-6x130") | pool("disk_size_bytes", "100000x130"),
    ),
    AlertCase(
        "FrontEndDown", "page", "4m", labels=POOL | {"frontend": "main-2"},
        fires=front_ends("1x40", "main-1") | pool("front_end_up", "1x4 0x30", ',frontend="main-2"'),
        quiet=front_ends("1x40", "main-1") | pool("front_end_up", "1x4 0x3 1x30", ',frontend="main-2"'),
    ),
    AlertCase(
        "FrontEndsDie", "ticket", "30m", labels=POOL,
        fires=front_ends("1x130") | pool("front_end_starts_total", "2x10 2+1x6 8x120"),
        quiet=front_ends("1x130") | pool("front_end_starts_total", "2x10 2+1x3 2x120"),
    ),
    AlertCase(
        "BackupOld", "ticket", "1m", labels=POOL,  # promtool's clock begins at 0
        fires=pool("last_backup_timestamp_seconds", "-93600x5"),
        quiet=pool("last_backup_timestamp_seconds", "-90000x5"),
    ),
)

DAY = 144  # steps of 10 minutes

SLOW = (
    AlertCase(
        "HashrateLow", "page", "50h",
        fires={'accepted_work_total{instance="p"}': f"0+600x{2 * DAY} {2 * DAY * 600}+300x20"},
        quiet={'accepted_work_total{instance="p"}': f"0+600x{2 * DAY} {2 * DAY * 600}+400x20"},
    ),
    AlertCase(
        "ManyBans", "ticket", "26h", labels=POOL,
        fires=pool("bans_total", "0+1x153 154+300x10"), quiet=pool("bans_total", "0+20x153 3080+30x10"),
    ),
    AlertCase(
        "ManyParseErrors", "ticket", "26h", labels=POOL,
        fires=pool("parse_errors_total", "0+1x153 154+900x10", ',kind="not_json"'),
        quiet=pool("parse_errors_total", "0+200x160", ',kind="not_json"'),
    ),
)

HOURLY = (
    AlertCase(
        "SubmissionsFail", "ticket", "2d", labels={"chain": "alpha"},
        fires={SUBMITTED % "accepted": "0+6x50", SUBMITTED % "stale": "0+0.6x50"},
        quiet={SUBMITTED % "accepted": "0+6x50", SUBMITTED % "stale": "0x50"},
    ),
    AlertCase(
        "BadLuck", "ticket", "8d", labels={"chain": "alpha"},
        fires=alpha("expected_blocks_total", "0+0.6x200") | alpha("found_blocks_total", "0+0.3x200"),
        quiet=alpha("expected_blocks_total", "0+0.6x200") | alpha("found_blocks_total", "0+0.5x200"),
    ),
    AlertCase(
        "BadLuck", "ticket", "8d", labels={"chain": "alpha"},
        fires=alpha("expected_blocks_total", "0+0.042x200") | alpha("found_blocks_total", "3x200"),
        quiet=alpha("expected_blocks_total", "0+0.040x200") | alpha("found_blocks_total", "3x200"),
    ),
    AlertCase(
        "NearMissesMissing", "ticket", "2d", labels={"chain": "alpha"},
        fires=alpha("expected_near_misses_total", "0+6x50") | alpha("near_misses_total", "0+3.6x50"),
        quiet=alpha("expected_near_misses_total", "0+6x50") | alpha("near_misses_total", "0+4.2x50"),
    ),
)
