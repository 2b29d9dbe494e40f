"""What the books must hold of votes, beyond what they must hold of blocks (sim_oracle.py): each paid in one place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sim_oracle import Model, Reading, demand


def check_places(reading: Reading) -> None:
    """No income is told by two rows, no vote is paid twice, and the votes paid at a height are of one block."""
    places: set[tuple[str, str, int]] = set()
    votes: set[tuple[str, str]] = set()
    heights: dict[tuple[str, int], str] = {}
    for row in reading.blocks:
        if row[0] not in reading.places:
            continue
        chain, name, height, state = row[1:5]
        place = (chain, *reading.places[row[0]])
        demand(place not in places, f"{place} is the income of two rows")
        places.add(place)
        if state in ("immature", "mature"):
            vote = (chain, name.partition(".")[0])
            demand(vote not in votes, f"the vote {vote} is paid twice")
            votes.add(vote)
            one = heights.setdefault((chain, height), place[1])
            demand(one == place[1], f"votes of two blocks are paid at {chain} {height}")


def check_votes(model: Model, reading: Reading, chains: Mapping[str, Any]) -> None:
    """At the end, when every node says the truth: each vote is paid where its chain has it, and nowhere else."""
    stored = {(row[1], row[2]) for row in reading.blocks}
    for chain, vote in model.solves:
        if hasattr(chains[chain], "votes") and (chain, vote) in stored:
            _check_vote(reading, chain, vote, chains[chain])


def _check_vote(reading: Reading, name: str, vote: str, chain: Any) -> None:
    """A vote at the end: paid where its chain has it, and nowhere else."""
    at = chain.place(vote)
    rows = [row for row in reading.blocks if row[1] == name and row[2].partition(".")[0] == vote]
    told = {reading.places.get(row[0]): row[4] for row in rows}
    demand(at is None or at in told, f"{name} vote {vote[-6:]} is at {at} and not credited there: {told}")
    for row in rows:
        place, state = reading.places.get(row[0]), row[4]
        matured = f"mature:{name}:{row[2]}" in reading.groups
        if place is None:
            # While its block is the tip it may be in the next one, which no node needs to know of.
            allowed = {"orphan", "rejected"} | ({"submitted"} if row[3] >= chain.height else set())
        elif place != at:
            allowed = {"lost"} if matured else {"orphan"}
        elif chain.confirmations(place[0]) >= chain.maturity:
            allowed = {"mature"}
        else:
            allowed = {"mature"} if matured else {"immature"}
        text = f"{name} vote {row[2][-8:]} is {state} at {place}, expected {sorted(allowed)}, it is at {at}"
        demand(state in allowed, text)
