"""The grammar of rule expressions, and its messages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plastic_core.plan.expression import ExpressionError, Term, parse

HELP = "  an expression is a sum of rules with optional numbers: 0.01*bp + oja"


@pytest.mark.parametrize(
    ("text", "rule", "schedule"),
    [
        ("cosine(0.1)*bp", "bp", "cosine(0.1)"),
        ("oja + decay(0.1, 0.01) * mine:b-c + fa", "mine:b-c", "decay(0.1, 0.01)"),
    ],
)
def test_a_schedule_in_an_expression_is_told_how_it_is_written(text, rule, schedule):
    with pytest.raises(ExpressionError) as caught:
        parse(text)
    hint = f"; a theta over time is a setting: write {rule}, and --set {rule}.theta={schedule}"
    assert str(caught.value).endswith(HELP + hint)


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("bp", [("bp", None)]),
        ("oja+bp", [("oja", None), ("bp", None)]),
        ("0.01*bp + 3e-4*oja", [("bp", 0.01), ("oja", 3e-4)]),
        (" -.5 * hebbian-error+ +2.*b-update ", [("hebbian-error", -0.5), ("b-update", 2.0)]),
        ("1*my-dist.x:oja", [("my-dist.x:oja", 1.0)]),
        ("fa+hebbian-error+oja", [("fa", None), ("hebbian-error", None), ("oja", None)]),
    ],
)
def test_terms(text, terms):
    assert parse(text) == tuple(Term(*term) for term in terms)


@pytest.mark.parametrize(
    ("text", "position", "expected", "found"),
    [
        ("", 1, "a number or the name of a rule", "the end"),
        ("bp +", 5, "a number or the name of a rule", "the end"),
        ("bp oja", 4, "'+' or the end", "'o'"),
        ("bp + * oja", 6, "a number or the name of a rule", "'*'"),
        ("0.1 bp", 5, "'*' and the name of a rule after the number", "'b'"),
        ("0.1*", 5, "the name of a rule", "the end"),
        ("__import__('os').system('ls')", 1, "a number or the name of a rule", "'_'"),
        ("bp+exec('1')", 8, "'+' or the end", "'('"),
        ("1e999*bp", 1, "a finite number", "'1'"),
        ("inf*bp", 4, "'+' or the end", "'*'"),
        ("2**bp", 3, "the name of a rule", "'*'"),
    ],
)
def test_malformed(text, position, expected, found):
    with pytest.raises(ExpressionError) as caught:
        parse(text)
    assert str(caught.value) == (
        f"rule expression, position {position}: expected {expected}, found {found}\n"
        f"  {text}\n  {' ' * (position - 1)}^\n{HELP}"
    )


def test_a_setting_is_none_of_an_expression():
    with pytest.raises(ExpressionError) as caught:
        parse("oja.__class__")
    assert str(caught.value) == (
        "rule expression, position 4: expected '+' or the end, found '.'\n  oja.__class__\n     ^\n"
        f"{HELP}; a setting is given by --set oja.NAME=VALUE, in a stage also oja.layers=5"
    )


NEGATIVE = "to take away a rule whose theta may be negative, write "


def test_a_decimal_comma():
    with pytest.raises(ExpressionError) as caught:
        parse("oja + 0,01*bp")
    assert str(caught.value) == (
        "rule expression, position 8: expected '*' and the name of a rule after the number, found "
        f"','\n  oja + 0,01*bp\n         ^\n{HELP}; a decimal point is a point: 0.01"
    )


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("bp - 1e-5*oja", "+ -1e-5*oja"),
        ("bp -oja", "+ -1*oja"),
        ("bp --oja", "+ -1*oja"),
        ("bp - .5 *oja", "+ -.5 *oja"),
    ],
)
def test_what_is_taken_away_has_a_negative_number(text, written):
    with pytest.raises(ExpressionError) as caught:
        parse(text)
    assert str(caught.value).endswith(f"{HELP}; {NEGATIVE}{written}")
    assert len(parse(f"bp {written}")) == 2


def test_a_term_twice():
    with pytest.raises(ExpressionError) as caught:
        parse("bp + 0.1*bp")
    assert str(caught.value) == (
        "rule expression, position 10: 'bp' stands twice in 'bp + 0.1*bp'; "
        "write it once, with one coefficient"
    )


names = st.from_regex(r"[A-Za-z][A-Za-z0-9_-]{0,8}", fullmatch=True)
numbers = st.none() | st.floats(allow_nan=False, allow_infinity=False)


@given(st.dictionaries(names, numbers, min_size=1, max_size=5), st.sampled_from(["+", " + "]))
def test_what_is_written_is_read_back(terms, plus):
    text = plus.join(n if c is None else f"{c!r}*{n}" for n, c in terms.items())
    assert parse(text) == tuple(Term(n, c) for n, c in terms.items())


@given(st.text(alphabet="ab01.+-*e: ()_", max_size=20))
def test_any_text_is_read_or_refused(text):
    try:
        terms = parse(text)
    except ExpressionError:
        return
    assert len({term.name for term in terms}) == len(terms)
