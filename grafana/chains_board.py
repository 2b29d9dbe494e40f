"""Chains: whether merged mining works, chain by chain, before and after a block is found."""

from __future__ import annotations

from panels import Board, Panel, Row

_OF = '{chain=~"$chain"}'
_FOUND = f"sum(increase(parapool_found_blocks_total{_OF}[7d]))"
_EXPECTED = f"sum(increase(parapool_expected_blocks_total{_OF}[7d]))"
_NEAR = f"sum(increase(parapool_near_misses_total{_OF}[1d]))"
_NEAR_EXPECTED = f"sum(increase(parapool_expected_near_misses_total{_OF}[1d]))"


def band(expected: str) -> list[tuple[str, str]]:
    """The edges between which luck leaves 95 in 100 counts, around what is expected."""
    return [
        (f"{expected} + 1.96 * sqrt({expected})", "95 % upper"),
        (f"clamp_min({expected} - 1.96 * sqrt({expected}), 0)", "95 % lower"),
    ]


CHAINS = Board(
    uid="parapool-chains",
    title="Parapool / Chains",
    description="Does merged mining work? Per chain: freshness, near misses, luck, submissions, nodes, debts.",
    variables=("chain",),
    rows=(
        Row("Fresh work", (
            Panel(
                "State", [(f"max by (chain) (parapool_chain_up{_OF})", "{{chain}}")], kind="states",
                normal="1: a node is usable.", do="0: docs/operating/alerts.md#chaindown.",
            ),
            Panel(
                "Share of jobs that carried it",
                [(
                    f"sum by (chain) (rate(parapool_chain_jobs_total{_OF}[10m]))"
                    " / on () group_left () (sum(rate(parapool_jobs_total[10m])) > 0)",
                    "{{chain}}",
                )],
                unit="percentunit",
                normal="100 % for every chain.", do="less: the chain leaves and comes back, see State and the log (`chain leaves`).",
            ),
            Panel(
                "Tip age", [(f"max by (chain) (parapool_tip_age_seconds{_OF})", "{{chain}}")], unit="s",
                normal="a saw tooth, a few times the chain's block interval at most.",
                do="much more: the node has no peers, or the chain stands still. Compare with an explorer.",
            ),
            Panel(
                "Template age", [(f"max by (chain) (parapool_template_age_seconds{_OF})", "{{chain}}")], unit="s",
                normal="under the chain's `poll_interval_s`; under 90 s for a parent that is long-polled.",
                do="growing: its node does not answer with templates. It leaves the jobs after `away_s`.",
            ),
            Panel(
                "Job ahead of the node's tip",
                [(f"max by (chain) (parapool_job_height{_OF} - on (instance, chain) parapool_tip_height)", "{{chain}}")],
                normal="1: the job works for the next block. 0 for an instant after each block.",
                do="0 for longer: docs/operating/alerts.md#workbehindnode.",
            ),
            Panel(
                "Trials of job forms", [(f"sum by (chain, result) (parapool_job_shape_checks_total{_OF})", "{{chain}} {{result}}")], kind="table",
                normal="only `holds`: each new form of a job was solved for trial and its proof verified.",
                do="`fails`: blocks of that chain would be lost, docs/operating/alerts.md#proofdoesnothold.",
            ),
        )),
        Row("Luck", (
            Panel(
                "Blocks of 7 days: $chain", [(_FOUND, "found"), (_EXPECTED, "expected"), *band(_EXPECTED)], per_chain=True,
                normal="found within the band 19 times of 20.",
                do="below the band for days: look at the near misses; BadLuck comes at 1 in 1000.",
            ),
            Panel(
                "Near misses of a day: $chain", [(_NEAR, "seen"), (_NEAR_EXPECTED, "expected"), *band(_NEAR_EXPECTED)], per_chain=True,
                normal="seen follows expected closely: a hundred times more events than blocks.",
                do="below the band: work is not done or not counted for this chain, docs/operating/alerts.md#nearmissesmissing.",
            ),
            Panel(
                "Effort since the last block", [(f"max by (chain) (parapool_effort_ratio{_OF})", "{{chain}}")],
                normal="around 1.", do="see the band of blocks.",
            ),
            Panel(
                "Solves unseen", [(f"max by (chain) (parapool_solves_unseen_fraction{_OF})", "{{chain}}")], unit="percentunit",
                normal="0: share difficulties are at or below the chain's.",
                do="above 5 %: the chain is easier than your miners' shares; raise `cap_max_shares_per_min` of the port.",
            ),
        )),
        Row("Submissions", (
            Panel(
                "Submit latency",
                [
                    (f"histogram_quantile(0.5, sum by (chain, le) (increase(parapool_block_submit_seconds_bucket{_OF}[1d])))", "{{chain}} p50"),
                    (f"histogram_quantile(0.99, sum by (chain, le) (increase(parapool_block_submit_seconds_bucket{_OF}[1d])))", "{{chain}} p99"),
                ],
                unit="s",
                normal="under 0.1 s, a second for a full block of a large parent; empty on a day without blocks.",
                do="seconds cost blocks: give the node faster disks, or a second node.",
            ),
            Panel(
                "Submissions by result",
                [(f"sum by (chain, result) (increase(parapool_block_submit_total{_OF}[1h]))", "{{chain}} {{result}}")], kind="stacked",
                normal="accepted; with several proofs of one child block also duplicate and stale.",
                do="rejected, given_up, unbuilt: docs/operating/alerts.md#blocknotaccepted.",
            ),
            Panel(
                "Refusals by reason", [(f"sum by (chain, reason) (increase(parapool_block_refusals_total{_OF}[1d]))", "{{chain}} {{reason}}")],
                normal="empty.", do="the reason is the node's own word: high-hash or bad-… is ours to repair, report it.",
            ),
            Panel(
                "Block states", [(f"max by (chain, state) (parapool_blocks_total{_OF})", "{{chain}} {{state}}")], kind="table",
                normal="mature grows; submitted is 0 but for minutes.",
                do="submitted stays: its node or a front end is away.",
            ),
        )),
        Row("Nodes", (
            Panel(
                "Node usable", [(f"max by (chain, node) (parapool_node_up{_OF})", "{{node}}")], kind="states",
                normal="1 for each.", do="0: the log says why, once.",
            ),
            Panel(
                "Node height behind the best",
                [(
                    f"max by (chain) (parapool_tip_height{_OF}) - on (chain) group_right () max by (chain, node) (parapool_node_height{_OF})",
                    "{{node}}",
                )],
                normal="0, or 1 for seconds.", do="stays above 0: that node is not synced or alone on a branch.",
            ),
            Panel(
                "Node answer time", [(f"max by (chain, node) (parapool_node_answer_seconds{_OF})", "{{node}}")], unit="s",
                normal="a few milliseconds for a node nearby.",
                do="over a second: overloaded, or swapping. Over three it counts as hanging.",
            ),
            Panel(
                "Peers", [(f"max by (chain, node) (parapool_node_peers{_OF})", "{{node}}")],
                normal="eight or more, steady; a daemon that does not tell is not here.",
                do="under three: blocks of ours spread slowly. 0: the node's way to its network is shut.",
            ),
            Panel(
                "Mempool", [(f"max by (chain, node) (parapool_node_mempool_transactions{_OF})", "{{node}}")],
                normal="as much as an explorer shows for the chain.",
                do="0 on the parent: our blocks are empty; the node may relay blocks only, or have just started.",
            ),
            Panel(
                "Clock of the parent's node less ours", [("max(parapool_clock_offset_seconds)", "offset")], unit="s",
                normal="within a second or two.", do="over 5 s: let both machines keep time.",
            ),
        )),
        Row("Debts", (
            Panel(
                "Liabilities against wallet",
                [
                    (f"max by (chain, kind) (parapool_liabilities_sat{_OF})", "{{chain}} owed {{kind}}"),
                    (f"max by (chain, kind) (parapool_coins_sat{_OF})", "{{chain}} coins {{kind}}"),
                ],
                normal="coins cover what is owed, kind by kind.", do="see the dashboard Money.",
            ),
            Panel(
                "Oldest unpaid", [(f"max by (chain) (parapool_oldest_unpaid_seconds{_OF})", "{{chain}}")], unit="s",
                normal="under the payout interval plus its confirmations; chains that pay only.",
                do="more: payouts wait for fees, coins, or you: `pool payouts show`.",
            ),
        )),
    ),
)  # fmt: skip
