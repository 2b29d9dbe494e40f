from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stratum.words import Login, LoginError, parse_login, parse_password


@pytest.mark.parametrize(
    ("text", "login"),
    [
        ("addr", Login("addr")),
        ("addr.rig1", Login("addr", (), "rig1")),
        ("addr.", Login("addr")),
        ("addr.a.b", Login("addr", (), "a.b")),
        ("A+alpha=B+regnmc=C.w", Login("A", (("alpha", "B"), ("regnmc", "C")), "w")),
        ("bitcoincash:qq+alpha=same", Login("bitcoincash:qq", (("alpha", "same"),))),
        ("a" * 447 + "." + "w" * 64, Login("a" * 447, (), "w" * 64)),
    ],
)
def test_words_login_is_taken_apart(text: str, login: Login) -> None:
    assert parse_login(text) == login


@pytest.mark.parametrize(
    "text",
    ["", ".w", "+alpha=B", "alpha=B", "A+", "A+alpha", "A+alpha=", "A+=B", "A+alpha=B=C", "A+x=B+x=C", "a b", "a\n",
     "a\x1b[31m", "a/b", "ä", "\ud800", "a" * 513, "é" * 300, "a." + "w" * 65],
)  # fmt: skip
def test_words_login_refusals_are_sentences(text: str) -> None:
    with pytest.raises(LoginError, match=r"login|worker"):
        parse_login(text)


def test_words_login_length_is_512_bytes() -> None:
    assert parse_login("a" * 512).parent == "a" * 512


@pytest.mark.parametrize(
    ("text", "difficulty", "values"),
    [
        ("x", None, {}),
        ("", None, {}),
        ("d=1024", 1024.0, {}),
        ("d=0.001,regnmc=ABC;alpha=same", 0.001, {"regnmc": "ABC", "alpha": "same"}),
        ("d=1e3", 1000.0, {}),
        ("d=nan", None, {}),
        ("d=inf", None, {}),
        ("d=1e999", None, {}),
        ("d=-5", None, {}),
        ("d=0", None, {}),
        ("d=1_000", None, {}),
        (" d = 8 ; k = v ", 8.0, {"k": "v"}),
        ("a=1,a=2", None, {"a": "1"}),
        ("d=2,d=3", 2.0, {}),
        ("a=b=c", None, {"a": "b=c"}),
        ("=,=x,,;;", None, {}),
        ("k" * 33 + "=v,a=" + "v" * 129, None, {}),
    ],
)
def test_words_password(text: str, difficulty: float | None, values: dict[str, str]) -> None:
    arguments = parse_password(text)
    assert (arguments.difficulty, arguments.values) == (difficulty, values)


@given(st.text())
def test_words_never_raise_anything_else(text: str) -> None:
    assert len(parse_password(text).values) <= 64
    try:
        login = parse_login(text)
    except LoginError:
        return
    assert login.parent and len(login.worker) <= 64
