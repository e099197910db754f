"""Numbers in the forms people write become numbers that may be dialed, or a reason."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core.model import PhoneNumber, PhoneType
from engine.phones import FoundPhone, Numbering, PhoneProblem, PhoneReason, find_phones, parse_phone, zones_of

DEMO = Numbering(regions=("UA", "RU"), allow=("+7000XXXXXXX",))


def numbers(cell: object) -> list[str]:
    return [
        found.number.e164 if isinstance(found, FoundPhone) else found.reason.name for found in find_phones(cell, DEMO)
    ]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("8 (916) 123-45-67", "+79161234567"),
        ("+7 916 123 45 67", "+79161234567"),
        ("9161234567", "+79161234567"),
        ("79161234568.0", "+79161234568"),
        (79161234568.0, "+79161234568"),
        (79161234568, "+79161234568"),
        ("7,9161234568E+10", "+79161234568"),
        ("+380671234567", "+380671234567"),
        ("380671234567", "+380671234567"),
        ("0671234567", "+380671234567"),
        ("067 123-45-67", "+380671234567"),
        ("(044) 123 45 67", "+380441234567"),
        ("8 (067) 123-45-67", "+380671234567"),  # the long-distance prefix of old
        ("80671234567", "+380671234567"),
        ("00380671234567", "+380671234567"),
        ("8-10-380-67-123-45-67", "+380671234567"),
        ("\u00a08\u00a0916\u00a0123-45-67\u00a0", "+79161234567"),
        ("+７９１６１２３４５６７", "+79161234567"),
        ("8\u2011916\u2011123\u201345\u201467", "+79161234567"),
        ("'+79161234567", "+79161234567"),
        ("тел. 067 123 45 67", "+380671234567"),
        ("мама: 8 916 123-45-67", "+79161234567"),
        ("+7 701 123 45 67", "+77011234567"),
        ("+1 650-253-0000", "+16502530000"),
        ("8 (000) 123-45-67", "+70001234567"),
        ("+7 000 123 45 67", "+70001234567"),
    ],
)
def test_a_number_is_read_in_the_forms_people_write(written: object, meant: str) -> None:
    assert numbers(written) == [meant]


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("12345", PhoneReason.TOO_SHORT),
        ("067 123 45", PhoneReason.TOO_SHORT),
        ("+38067123456789", PhoneReason.TOO_LONG),
        ("+999 123 456 789", PhoneReason.NO_SUCH_COUNTRY),
        ("+7 001 123 45 67", PhoneReason.NOT_IN_PLAN),
        ("нет телефона", PhoneReason.NOT_A_NUMBER),
        ("1-800-FLOWERS", PhoneReason.NOT_A_NUMBER),
        ("7,91612E+10", PhoneReason.ROUNDED),
        ("ivan@example.org", PhoneReason.NOT_A_NUMBER),
        ("112", PhoneReason.TOO_SHORT),
        ("hang@default/n", PhoneReason.NOT_A_NUMBER),
    ],
)
def test_what_is_no_number_has_a_reason(written: str, why: PhoneReason) -> None:
    found = parse_phone(written, DEMO)
    assert isinstance(found, PhoneProblem)
    assert found.reason is why


@pytest.mark.parametrize("cell", ["", "  ", None, "\u00a0"])
def test_an_empty_cell_has_no_numbers(cell: object) -> None:
    assert numbers(cell) == []


@pytest.mark.parametrize(
    "cell",
    [
        "8 916 123-45-67; 067 123 45 67",
        "8 916 123-45-67, 067 123 45 67",
        "8 916 123-45-67\n067 123 45 67",
        "8 916 123-45-67 / 067 123 45 67",
        "8 916 123-45-67 или 067 123 45 67",
        "8 916 123-45-67; 067 123 45 67; +79161234567",
    ],
)
def test_two_numbers_in_a_cell_are_two_numbers(cell: str) -> None:
    assert numbers(cell) == ["+79161234567", "+380671234567"]


def test_a_good_number_beside_a_bad_one_is_kept_and_the_bad_one_told() -> None:
    assert numbers("8 916 123-45-67; 12") == ["+79161234567", "TOO_SHORT"]


@pytest.mark.parametrize(
    "written", ["8 916 123-45-67 доб. 12", "8 916 123-45-67 дод 12", "+79161234567 ext. 12", "+79161234567 (вн. 12)"]
)
def test_an_extension_is_kept_beside_its_number(written: str) -> None:
    assert find_phones(written, DEMO) == [FoundPhone(PhoneNumber("+79161234567"), "12", PhoneType.MOBILE)]


@pytest.mark.parametrize("again", ["", "again, by what numbers like it have told"])
@pytest.mark.parametrize(
    ("written", "type_"),
    [
        ("067 123 45 67", PhoneType.MOBILE),
        ("8 916 123-45-67", PhoneType.MOBILE),
        ("8 067 123 45 67", PhoneType.MOBILE),
        ("044 123 45 67", PhoneType.NOT_SAID),
        ("8 495 123-45-67", PhoneType.NOT_SAID),
        ("+1 212 456 7890", PhoneType.NOT_SAID),  # a landline or a mobile: there the plan is the same
        ("+7000 123 45 67", PhoneType.NOT_SAID),
    ],
)
def test_a_number_tells_that_it_is_a_mobile_and_never_whether_it_is_home_or_work(
    written: str, type_: PhoneType, again: str
) -> None:
    (found,) = find_phones(written, DEMO)
    assert isinstance(found, FoundPhone)
    assert found.type is type_, again


def test_numbers_outside_every_plan_pass_only_by_configuration() -> None:
    assert isinstance(parse_phone("+70001234567"), PhoneProblem)
    assert parse_phone("+70001234567", DEMO) == PhoneNumber("+70001234567")
    assert isinstance(parse_phone("+7000123456", DEMO), PhoneProblem)


def test_a_ukrainian_number_has_one_zone_a_russian_mobile_many_and_a_demo_number_none() -> None:
    assert zones_of(PhoneNumber("+380671234567")) == ("Europe/Kyiv",)
    assert zones_of(PhoneNumber("+74951234567")) == ("Europe/Moscow",)
    assert len(zones_of(PhoneNumber("+79161234567"))) > 10
    assert zones_of(PhoneNumber("+70001234567")) == ()


def test_a_problem_does_not_show_the_number_in_logs() -> None:
    assert "123456" not in repr(parse_phone("+7 001 123 45 67"))


@given(st.text(max_size=60))
def test_no_text_breaks_the_reader(text: str) -> None:
    for found in find_phones(text, DEMO):
        assert isinstance(found, FoundPhone | PhoneProblem)
