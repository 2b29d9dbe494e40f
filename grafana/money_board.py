"""Money: what is owed, what is there, what is on its way, and whether it all balances."""

from __future__ import annotations

from panels import Board, Panel, Row

_OF = '{chain=~"$chain"}'

MONEY = Board(
    uid="parapool-money",
    title="Parapool / Money",
    description="Smallest units of each chain. The books are told by every process that has the database: greatest, never summed.",
    variables=("chain",),
    rows=(
        Row("Must be zero", (
            Panel(
                "Ledger imbalance", [(f"max by (chain) (parapool_ledger_imbalance_sat{_OF})", "{{chain}}")],
                normal="0.", do="anything else: stop payouts, `pool ledger audit`, report it.",
            ),
            Panel(
                "Wallet difference", [(f"max by (chain) (parapool_wallet_diff_sat{_OF})", "{{chain}}")],
                normal="0; chains that pay only.", do="docs/operating/alerts.md#walletdiffers.",
            ),
            Panel(
                "Paying", [(f"1 - max by (chain) (parapool_payout_hold{_OF})", "{{chain}}")], kind="states",
                normal="1; chains that pay only.", do="0, a hold: `pool payouts show` says why, docs/operating/paying-out.md what to do.",
            ),
        )),
        Row("Owed and there", (
            Panel(
                "Owed: $chain", [(f"max by (kind) (parapool_liabilities_sat{_OF})", "{{kind}}")], kind="stacked", per_chain=True,
                normal="immature becomes available with maturity, reserved while a payout is on its way.",
                do="available only grows: nobody is paid. See Oldest unpaid.",
            ),
            Panel(
                "There: $chain",
                [(f"max by (kind) (parapool_coins_sat{_OF})", "{{kind}} by the books"), (f"max(parapool_wallet_sat{_OF})", "wallet by its node")],
                per_chain=True,
                normal="the node's wallet is at or a little above the books': it counts coins before the books call them mature.",
                do="below: Wallet difference, which takes all that into account.",
            ),
        )),
        Row("Payouts", (
            Panel(
                "Oldest unpaid", [(f"max by (chain) (parapool_oldest_unpaid_seconds{_OF})", "{{chain}}")], unit="s",
                normal="under the payout interval plus its confirmations.", do="more: fees, coins, a hold, or frozen miners.",
            ),
            Panel(
                "Batches by state", [(f"max by (chain, state) (parapool_payout_batches{_OF})", "{{chain}} {{state}}")], kind="stacked",
                normal="0, or 1 on its way to confirming.", do="conflicted or hold: you decide, `pool payouts show`.",
            ),
            Panel(
                "Oldest open batch", [(f"max by (chain) (parapool_payout_oldest_open_seconds{_OF})", "{{chain}}")], unit="s",
                normal="an hour or so, until it is buried.", do="over two hours in no block: PayoutStuck.",
            ),
            Panel(
                "Hot wallet against ceiling",
                [
                    (f"max by (chain) (parapool_wallet_sat{_OF})", "{{chain}}"),
                    (f"max by (chain) (parapool_wallet_ceiling_sat{_OF})", "{{chain}} ceiling"),
                ],
                normal="below the ceiling, where one is configured.", do="above: sweep, docs/operating/paying-out.md.",
            ),
        )),
        Row("The operator's", (
            Panel(
                "Fees earned", [(f"max by (chain) (parapool_fee_income_sat{_OF})", "{{chain}}")],
                normal="a step with each block; down again when one becomes an orphan.", do="nothing.",
            ),
            Panel(
                "Reserve for bought shares", [(f"max by (chain) (parapool_pps_reserve{_OF})", "{{chain}}")],
                normal="saws between blocks; chains that buy shares only.", do="falls to the minimum: put money in, or shares count for PPLNS.",
            ),
            Panel(
                "Shares are bought", [(f"max by (chain) (parapool_pps_buying{_OF})", "{{chain}}")], kind="states",
                normal="1; chains that buy shares only.", do="0: SharesNotBought.",
            ),
            Panel(
                "Age of the last backup", [("time() - max(parapool_last_backup_timestamp_seconds)", "age")], unit="s",
                normal="under a day; empty while no backup touches DATA_DIR/last-backup.", do="over 26 h: look why the backup did not end.",
            ),
        )),
    ),
)  # fmt: skip
