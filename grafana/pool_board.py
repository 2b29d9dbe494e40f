"""Pool: what pays and what hurts, at a glance."""

from __future__ import annotations

from panels import Board, Panel, Row

POOL = Board(
    uid="parapool-pool",
    title="Parapool / Pool",
    description="What pays and what hurts. Look here first.",
    rows=(
        Row("Now", (
            Panel(
                "Alerts", [('ALERTS{alertstate="firing"}', "")], kind="table", width=12,
                normal="empty.", do="read the alert's page, docs/operating/alerts.md; its name is the section.",
            ),
            Panel(
                "Hashrate, 10 min", [("sum(rate(parapool_accepted_work_total[10m]))", "")], unit="H/s", kind="number", width=4,
                normal="what your miners have, give or take 10 %.", do="if it falls, look at Connections and Rejected shares.",
            ),
            Panel(
                "Connections", [("sum(parapool_connections)", "")], kind="number", width=4,
                normal="as yesterday.", do="a step down: see Disconnections by reason (Miners and shares).",
            ),
            Panel(
                "Age of the job", [("max(parapool_job_age_seconds)", "")], unit="s", kind="number", width=4,
                normal="under 30 s: a job goes out at least so often.",
                do="over 90 s nobody gets fresh work: is the parent's node there?",
            ),
        )),
        Row("Work", (
            Panel(
                "Hashrate",
                [
                    ("sum(rate(parapool_accepted_work_total[5m]))", "5 min"),
                    ("sum(rate(parapool_accepted_work_total[1h]))", "1 h"),
                    ("sum(rate(parapool_accepted_work_total[1d]))", "24 h"),
                ],
                unit="H/s",
                normal="the shorter, the noisier; all three agree in the long run.",
                do="if 5 min stays below 24 h for half an hour, miners left or are refused.",
            ),
            Panel(
                "Shares by verdict", [("sum by (result, reason) (rate(parapool_shares_total[$__rate_interval]))", "{{result}} {{reason}}")],
                unit="ops", kind="stacked",
                normal="accepted with a thin line of stale after each block of the parent; rejected under 0.5 %.",
                do="one reason growing: Miners and shares tells which, docs/operating/alerts.md#rejectedshares what it means.",
            ),
            Panel(
                "Rejected shares",
                [(
                    'sum(rate(parapool_shares_total{result="rejected"}[15m])) / (sum(rate(parapool_shares_total[15m])) > 0)',
                    "rejected",
                )],
                unit="percentunit",
                normal="under 0.5 %.", do="over 2 % is an alert: RejectedShares.",
            ),
            Panel(
                "Miners", [("sum(parapool_connections)", "connections"), ("sum(parapool_workers)", "workers")],
                normal="flat, with a dip at your own restarts.", do="compare with Connections by result: are they turned away?",
            ),
        )),
        Row("Blocks", (
            Panel(
                "Effort since the last block", [("max by (chain) (parapool_effort_ratio)", "{{chain}}")],
                normal="a saw tooth around 1; over 3 one time in twenty, over 7 one in a thousand.",
                do="very high for long: Chains, near misses tell whether it is luck.",
            ),
            Panel(
                "Age of the newest block", [("time() - max by (chain) (parapool_last_block_timestamp_seconds)", "{{chain}}")], unit="s",
                normal="around the chain's expected interval; empty before the first block.",
                do="compare with the effort, which knows how much work was done meanwhile.",
            ),
            Panel(
                "Blocks in the books", [("max by (chain, state) (parapool_blocks_total)", "{{chain}} {{state}}")], kind="table",
                normal="most are mature; some immature; few orphan, none rejected.",
                do="rejected: docs/operating/alerts.md#blocknotaccepted. Many orphans: blocks reach the network late.",
            ),
            Panel(
                "Submissions not accepted",
                [(
                    'sum by (chain, result) (increase(parapool_block_submit_total{result!~"accepted|duplicate"}[1h]))',
                    "{{chain}} {{result}}",
                )],
                normal="zero, but for `stale` on chains with fast blocks.",
                do="rejected, given_up or unbuilt is money lost: look at the log at once.",
            ),
        )),
        Row("Chains and books", (
            Panel(
                "In the jobs", [("max by (chain) (parapool_aux_in_tree)", "{{chain}}")], kind="states",
                normal="1 for every chain, all the time.", do="0: no work is done for it. Chains tells why.",
            ),
            Panel(
                "Owed for good and in the wallet",
                [
                    ('sum by (chain) (max by (chain, kind) (parapool_liabilities_sat{kind=~"available|reserved"}))', "{{chain}} owed"),
                    ('max by (chain) (parapool_coins_sat{kind="wallet"})', "{{chain}} wallet"),
                ],
                normal="the wallet covers what is owed.", do="below: Money, and docs/operating/alerts.md#walletshort.",
            ),
            Panel(
                "Books behind", [("max by (instance) (parapool_books_lag_seconds)", "{{instance}}")], unit="s",
                normal="under a second.", do="over 120 s: the database or Redis is away or slow.",
            ),
            Panel(
                "Money that does not balance",
                [
                    ("max by (chain) (abs(parapool_ledger_imbalance_sat))", "{{chain}} ledger"),
                    ("max by (chain) (abs(parapool_wallet_diff_sat))", "{{chain}} wallet"),
                ],
                normal="zero, always. A wallet appears once its chain pays.",
                do="anything else: docs/operating/alerts.md#walletdiffers.",
            ),
        )),
    ),
)  # fmt: skip
