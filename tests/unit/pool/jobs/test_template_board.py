"""The newest template of every chain, and what jobs may share of them."""

from __future__ import annotations

from dataclasses import replace

from support.job_factory import aux_template, parent_template

from chains.kind import TemplateTransaction
from pool.jobs.template_board import TemplateBoard


def transaction(number: int) -> TemplateTransaction:
    """Always a new object, as out of a node's answer."""
    return TemplateTransaction(bytes([number]) * 100, bytes([number]) * 32, bytes([number]) * 32, number)


def test_board_keeps_the_transactions_that_templates_have_in_common_only_once():
    board = TemplateBoard(())
    board.post_parent(parent_template(transactions=tuple(map(transaction, range(1, 100)))))
    first = board.parent
    board.post_parent(parent_template(transactions=tuple(map(transaction, range(2, 102)))))
    assert first is not None and board.parent is not None
    shared, own = board.parent.transactions[:98], board.parent.transactions[98:]
    assert all(a is b for a, b in zip(shared, first.transactions[1:], strict=True))
    assert own == (transaction(100), transaction(101)) and len(board._transactions) == 100
    assert board.parent == parent_template(transactions=tuple(map(transaction, range(2, 102))))


def test_board_tells_a_new_tip_from_a_new_template():
    board = TemplateBoard(())
    assert board.post_parent(parent_template())
    assert not board.post_parent(parent_template(height=102, merkle_branch=()))
    assert board.post_parent(parent_template(previous=b"n" * 32))


def test_board_tells_what_changes_jobs():
    board = TemplateBoard(("alpha", "beta"))
    assert not board.post_aux("alpha", None)
    assert board.post_aux("alpha", aux_template("alpha", 1))
    assert not board.post_aux("alpha", replace(aux_template("alpha", 1), value_sat=1))
    assert board.post_aux("alpha", aux_template("alpha", 2))
    assert board.post_aux("alpha", None)


def test_board_names_the_chain_another_one_clashes_with():
    board = TemplateBoard(("regnmc", "alpha", "beta"))
    board.post_aux("alpha", aux_template("alpha"))
    board.post_aux("regnmc", aux_template("regnmc"))
    same = replace(aux_template("beta"), context=aux_template("alpha").context)
    assert board.clash("beta", same) == "alpha" and board.clash("alpha", aux_template("alpha")) is None
    assert board.clash("beta", aux_template("beta")) is None
    board.post_aux("alpha", None)
    assert board.clash("beta", same) is None


def test_board_names_the_chain_whose_slot_is_always_the_same():
    board = TemplateBoard(("regnmc", "regdoge"))
    board.post_aux("regnmc", aux_template("regnmc"))
    doge = aux_template("regdoge")
    for chain_id, other in ((1, "regnmc"), (1 + 2**30, "regnmc"), (1 + 2**29, None), (2, None), (98, None)):
        assert board.clash("regdoge", replace(doge, chain_id=chain_id)) == other


def test_board_has_no_job_to_offer_before_the_parents_template():
    board = TemplateBoard(("alpha", "beta"))
    board.post_aux("beta", aux_template("beta"))
    board.post_aux("alpha", aux_template("alpha"))
    assert board.snapshot() is None
    board.post_parent(parent_template())
    templates = board.snapshot()
    assert templates is not None and templates.chains() == ("regbtc", "alpha", "beta"), "in configured order"
