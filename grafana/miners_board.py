"""Miners and shares: verdicts, speed of answers, difficulty, distance, and who is turned away."""

from __future__ import annotations

from panels import Board, Panel, Row


def quantiles(metric: str) -> list[tuple[str, str]]:
    """The usual three over five minutes."""
    return [
        (f"histogram_quantile({part}, sum by (le) (rate({metric}_bucket[5m])))", f"p{100 * part:g}") for part in (0.5, 0.95, 0.99)
    ]


MINERS = Board(
    uid="parapool-miners",
    title="Parapool / Miners and shares",
    description="How miners fare: verdicts by reason, answers, vardiff, distance, limits. Single miners are in the HTTP API.",
    rows=(
        Row("Verdicts", (
            Panel(
                "Shares", [("sum by (result) (rate(parapool_shares_total[$__rate_interval]))", "{{result}}")], unit="ops", kind="stacked",
                normal="connections divided by the ports' `share_interval_s`.", do="a flood without more connections: vardiff is off, or a port's maximum binds.",
            ),
            Panel(
                "Rejected by reason", [('sum by (reason) (rate(parapool_shares_total{result="rejected"}[$__rate_interval]))', "{{reason}}")], unit="ops",
                normal="little, most of it stale right after blocks.",
                do="low_difficulty: a miner ignores its difficulty; duplicate: broken firmware; unauthorized: no login; not_durable: the disk.",
            ),
            Panel(
                "Part rejected by reason",
                [(
                    'sum by (reason) (rate(parapool_shares_total{result="rejected"}[15m]))'
                    " / on () group_left () (sum(rate(parapool_shares_total[15m])) > 0)",
                    "{{reason}}",
                )],
                unit="percentunit",
                normal="stale under 0.3 %, the others near 0.", do="over 1 % stale or 2 % in all is an alert.",
            ),
            Panel(
                "Stale by distance",
                [(
                    'sum by (rtt) (rate(parapool_shares_by_rtt_total{result="stale"}[1h]))'
                    " / (sum by (rtt) (rate(parapool_shares_by_rtt_total[1h])) > 0)",
                    "within {{rtt}} s",
                )],
                unit="percentunit",
                normal="grows with distance: a round trip of 0.2 s costs about 0.2 s of each parent block's time.",
                do="near miners with many stale: the pool is late, see Broadcast of a job. Far ones only: open a front end there.",
            ),
        )),
        Row("Speed", (
            Panel(
                "Share answer", quantiles("parapool_share_answer_seconds"), unit="s", logarithmic=True,
                normal="p50 under 5 ms, p99 under 20 ms: what the disk takes for one sync.",
                do="p99 over 50 ms: the disk is slow or the loop busy (Process). `ack: memory` ports are not in it.",
            ),
            Panel(
                "Broadcast of a job", quantiles("parapool_job_broadcast_seconds"), unit="s", logarithmic=True,
                normal="some 20 ms per thousand connections.", do="much more: the machine is overloaded; more front ends.",
            ),
        )),
        Row("Difficulty and distance", (
            Panel(
                "Retargets", [("sum by (direction) (rate(parapool_vardiff_retargets_total[5m])) * 60", "{{direction}} per min")],
                normal="a burst when miners come, then a few an hour per miner.",
                do="steady and many: a chain's target caps difficulties and moves, or `share_interval_s` is too short.",
            ),
            Panel(
                "Connections by difficulty", [("sum by (difficulty) (parapool_connections_by_difficulty)", "{{difficulty}}")], kind="stacked",
                normal="humps where your kinds of miners are.", do="many at the port's minimum: lower it, or these flood you.",
            ),
            Panel(
                "Connections by distance", [("sum by (rtt) (parapool_connections_by_rtt)", "within {{rtt}} s")], kind="stacked",
                normal="where your miners live. Behind a proxy this is the way to the proxy.", do="many far ones: a front end in their region.",
            ),
            Panel(
                "Connections and workers", [("sum(parapool_connections)", "connections"), ("sum(parapool_workers)", "workers")],
                normal="workers at or above connections (proxies bring many).", do="connections without workers: they never log in, see Disconnections.",
            ),
        )),
        Row("Doors", (
            Panel(
                "Connections by result", [("sum by (result) (rate(parapool_connections_total[5m]))", "{{result}}")], unit="ops",
                normal="mostly accepted.", do="per_address, too_many, banned: a limit turns them away, docs/protocol/stratum-v1.md.",
            ),
            Panel(
                "Disconnections by reason", [("sum by (reason) (rate(parapool_connections_closed_total[5m]))", "{{reason}}")], unit="ops",
                normal="disconnected: the miner left by itself.", do="slow_reader, flood, invalid_shares: a limit; the log has the address of floods and bans.",
            ),
            Panel(
                "Bans", [("sum(increase(parapool_bans_total[15m]))", "addresses")],
                normal="a few a day.", do="ManyBans says what to look at.",
            ),
            Panel(
                "Broken lines", [("sum by (kind) (rate(parapool_parse_errors_total[5m]))", "{{kind}}")], unit="ops",
                normal="a trickle from scanners; empty before the first.", do="nothing, unless miners complain.",
            ),
        )),
    ),
)  # fmt: skip
