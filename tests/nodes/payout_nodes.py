"""A chain's payer over a real wallet: books, payout file and daemon, each of which can go away and come back.

The wallet's coins are coinbases that the daemon itself mined. `owe` books one of them as a block of the pool's; what
the books say is compared with what the chain holds, read from its blocks and not from any wallet.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from node_daemons import RealNode
from sqlalchemy import Connection, insert, select, update
from wallet_worlds import WalletWorld

from chains.node_rpc import NodeUnavailableError
from chains.primitives.address import address_to_script, script_to_address
from chains.wallet import ChainWallet, WalletRefusedError
from pool.ledger import income
from pool.ledger.account import ASSET_WALLET, available, reserved
from pool.payouts.batch import Batch
from pool.payouts.terms import PayoutTerms
from pool.services.payout_run import PayoutRun
from pool.storage import ledger_store
from pool.storage.database import Database, sqlite_url, upgrade
from pool.storage.payer_lock import PayerLock
from pool.storage.payout_file import PayoutFile
from pool.storage.payout_rows import latest
from pool.storage.payout_store import SqlPayouts
from pool.storage.scheme_tables import income_events
from pool.storage.tables import accounts, blocks, credits, share_logs

CHAIN = "paid"
UNITS = 10**8


class PointedWallet:
    """The wallet's edge, telling before and after each call which one it is and how far the newest batch has come."""

    def __init__(self, wallet: ChainWallet, point: Callable[[str, str], None]) -> None:
        self._wallet = wallet
        self._point = point

    def __getattr__(self, name: str) -> Any:
        called = getattr(self._wallet, name)

        async def pointed(*arguments: Any) -> Any:
            self._point("before", name)
            answer = await called(*arguments)
            self._point("after", name)
            return answer

        return pointed


class NodePayouts:
    """`fund` mines coins, `owe` books them, `settle` lets payer and chain go on together. With `kill_at` (side, state
    of the newest batch, call) the daemon is killed there, once; `points` are those that were passed."""

    def __init__(self, folder: Path, world: WalletWorld, *, wallet: ChainWallet | None = None, **terms: Any) -> None:
        self.world = world
        self.node: RealNode = world.node
        self.wallet = wallet or world.wallet(timeout_s=10.0)
        values: dict[str, Any] = {
            "chain": CHAIN, "addresses": self.node.network.addresses, "minimum_payout": 100_000,
            "maturity": world.maturity, "confirmations": 2, "interval_ms": 3_600_000, "default_fee_rate": 5_000,
        }  # fmt: skip
        self.terms = PayoutTerms(**(values | terms))
        self.url = sqlite_url(folder / "books.db")
        self.file_path = folder / "payouts" / f"{CHAIN}.hex"
        self.now_ms = 1_700_000_000_000
        self.points: list[tuple[str, str]] = []
        self.kill_at: tuple[str, str, str] | None = None
        self.dead = False
        self._funded: list[tuple[str, int]] = []
        self._ids = itertools.count(1)
        self._scanned: dict[str, dict[str, int]] = {}
        upgrade(self.url)
        self.open()
        with self.database.write() as connection:
            log = {"name": "main", "segment": 0, "byte_offset": 0, "sequence": 0, "updated_ms": 0}
            connection.execute(insert(share_logs).values(**log))

    # -- the pool -----------------------------------------------------------------------------------------------------

    def open(self) -> None:
        self.database = Database(self.url)
        lock = PayerLock(self.database, CHAIN, "test", self.now_ms)
        self.books = SqlPayouts(self.database, lock, PayoutFile(self.file_path))
        pointed: Any = PointedWallet(self.wallet, self._point)
        self.payer = PayoutRun(
            pointed, self.books, self.terms, _at_once, now_ms=lambda: self.now_ms, new_id=lambda: f"id{next(self._ids)}"
        )

    def close(self) -> None:
        self.books.close()
        self.database.close()

    async def step(self) -> bool:
        """One pass; a daemon that is dead afterwards is started again, and so is the pool."""
        try:
            await self.payer.step()
            return True
        except (NodeUnavailableError, WalletRefusedError):
            return False
        finally:
            if self.dead:
                self.world.start_again()
                self.dead = False
                self.close()
                self.open()

    async def passes(self, count: int) -> None:
        """So many passes, a minute and a block apart."""
        for _ in range(count):
            await self.step()
            self.now_ms += 60_000
            self.world.mine()

    async def settle(self) -> None:
        """Until nothing is open or owed any more, an hour later than whatever was before."""
        self.now_ms += 3_600_000
        for _ in range(30):
            await self.passes(1)
            owed = sum(amount for name, amount in self.balances().items() if name.startswith("liab."))
            if not owed and all(batch.state in ("settled", "void") for batch in self.books.batches()):
                return
        raise AssertionError(f"not settled: {[(b.state, b.reason) for b in self.books.batches()]} {self.books.holds()}")

    def _point(self, side: str, call: str) -> None:
        newest = self.batches()[:1]
        state = newest[0].state.value if newest else "none"
        if side == "before":
            self.points.append((state, call))
            self._state = state
        if self.kill_at == (side, self._state, call):
            self.kill_at = None
            self.dead = True
            self.world.kill()
            if side == "after":
                raise NodeUnavailableError("the answer is lost")

    # -- the chain ----------------------------------------------------------------------------------------------------

    def fund(self, count: int) -> None:
        """Coinbases to the wallet, buried until they may be spent."""
        for _ in range(count):
            address = self.node.call("getnewaddress")
            script_hex = address_to_script(address, self.node.network.addresses).hex()
            (hash_hex,) = self.node.call("generatetoaddress", 1, address)
            self._funded.append((hash_hex, self._outputs(hash_hex)[script_hex]))
        self.world.mine(self.world.maturity + 1)

    def paid(self, number: int) -> int:
        """What the chain's blocks pay to an account's script, over all."""
        tip = self.node.call("getblockcount")
        hashes = [self.node.call("getblockhash", height) for height in range(1, tip + 1)]
        return sum(self._outputs(hash_hex).get(self.script(number).hex(), 0) for hash_hex in hashes)

    def _outputs(self, hash_hex: str) -> dict[str, int]:
        if hash_hex not in self._scanned:
            sums: dict[str, int] = {}
            for transaction in self.node.call("getblock", hash_hex, 2)["tx"]:
                for output in transaction["vout"]:
                    script_hex = output.get("scriptPubKey", {}).get("hex")
                    if script_hex is not None:
                        sums[script_hex] = sums.get(script_hex, 0) + int(output["value"] * UNITS)
            self._scanned[hash_hex] = sums
        return self._scanned[hash_hex]

    def block_of(self, batch: Batch) -> str:
        """The block that holds a batch's transaction."""
        assert batch.txid is not None
        hash_hex: str = self.node.call("gettransaction", batch.txid[::-1].hex())["blockhash"]
        return hash_hex

    def waits(self, batch: Batch) -> bool:
        """Whether the batch's transaction is in the daemon's mempool."""
        assert batch.txid is not None
        return batch.txid[::-1].hex() in self.node.call("getrawmempool")

    # -- the books ----------------------------------------------------------------------------------------------------

    def script(self, number: int) -> bytes:
        return b"\x76\xa9\x14" + (2**100 + number).to_bytes(20, "big") + b"\x88\xac"

    def owe(self, amounts: dict[int, int]) -> None:
        """One of the funded blocks was the pool's: it owes accounts (by number) these amounts, the rest is its fee."""
        hash_hex, reward = self._funded.pop(0)
        height = self.node.call("getblockheader", hash_hex)["height"]
        fee = reward - sum(amounts.values())
        with self.database.write() as connection:
            owed = {self._account(connection, number): amount for number, amount in amounts.items()}
            group = income.credit(CHAIN, hash_hex, income=reward, fee=fee, amounts=owed)
            ledger_store.post(connection, group, self.now_ms)
            ledger_store.post(connection, income.mature(CHAIN, hash_hex, income=reward, amounts=owed), self.now_ms)
            _add_block(connection, hash_hex, height, reward, fee, owed)

    def _account(self, connection: Connection, number: int) -> int:
        script = self.script(number)
        query = select(accounts.c.id).where(accounts.c.chain == CHAIN, accounts.c.script_hex == script.hex())
        found = connection.execute(query).scalar_one_or_none()
        if found is not None:
            return int(found)
        address = script_to_address(script, self.terms.addresses)
        row = {"chain": CHAIN, "kind": "miner", "script_hex": script.hex(), "address": address}
        made = connection.execute(insert(accounts).values(**row)).inserted_primary_key
        assert made is not None
        return int(made[0])

    def batches(self) -> list[Batch]:
        """All batches, newest first."""
        with self.database.read() as connection:
            return latest(connection, CHAIN, 1000)

    def balances(self) -> dict[str, int]:
        with self.database.read() as connection:
            assert ledger_store.audit(connection) == []
            return dict(ledger_store.chain_balances(connection, CHAIN))

    async def check_exact(self, amounts: dict[int, int], *, paid: Iterable[int] | None = None) -> None:
        """Each account was paid what it was owed, once (`paid`: only these were paid, the others are owed it still);
        ledger and wallet agree to the unit."""
        balances = self.balances()
        for number, amount in amounts.items():
            with self.database.read() as connection:
                account_id = self._account(connection, number)
            left = balances.get(available(account_id), 0) + balances.get(reserved(account_id), 0)
            got = amount if paid is None or number in paid else 0
            assert (self.paid(number), left) == (got, amount - got), f"account {number}"
        unbooked = sum(amount for _, amount in self._funded)
        assert balances[ASSET_WALLET] == sum(coin.amount for coin in await self.wallet.coins()) - unbooked


async def _at_once(call: Callable[..., Any], *arguments: object) -> Any:
    return call(*arguments)


def _add_block(
    connection: Connection, hash_hex: str, height: int, reward: int, fee: int, owed: dict[int, int]
) -> None:
    made = connection.execute(
        insert(blocks).values(
            chain=CHAIN, hash_hex=hash_hex, height=height, state="submitted", reward=reward, fee=fee, log_id=1,
            share_sequence=1, target_hex="ff", found_ms=0, confirmations=0, reason="", orphaned_times=0, watched=0,
            updated_ms=0,
        )
    ).inserted_primary_key  # fmt: skip
    assert made is not None
    event = {"operator_amount": 0, "unexplained": 0, "scheme": "pplns", "total_weight": "1"}
    connection.execute(
        insert(income_events).values(block_id=made[0], event_index=0, reward=reward, fee=fee, **event)
    )
    for account_id, amount in owed.items():
        connection.execute(insert(credits).values(block_id=made[0], account_id=account_id, weight="1", amount=amount))
    connection.execute(update(blocks).where(blocks.c.id == made[0]).values(state="mature"))
