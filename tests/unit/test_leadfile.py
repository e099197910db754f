"""Lead files as people send them become leads, duplicates or rejects with a reason; as attackers do, nothing at all."""

import asyncio
import csv
import fcntl
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import python_calamine

from engine.config import Loaded, load
from engine.core.model import CampaignId, PhoneNumber, PhoneType
from engine.leads.columns import Choice, Meaning, Role, recognise, zone_of_city, zone_of_text
from engine.leads.files import (
    ImportChoice,
    ImportReport,
    check_file,
    chosen_for,
    folder_of,
    import_file,
    keep_file,
    meaning_of,
    resume_imports,
)
from engine.leads.plan import ImportRow, RejectedRow, Remark, RowReason
from engine.leads.reader import CPU_SECONDS_MAX, MEMORY_BYTES_MAX, ROWS_MAX, decide, received
from engine.leads.sheets import COLUMNS_MAX, FILE_BYTES_MAX, UNPACKED_BYTES_MAX, Refused, RefusedReason, read
from engine.phones import Numbering, PhoneReason
from engine.store import imports
from engine.store.database import Database, InlineDatabase
from engine.store.dnc import DoNotCall
from engine.store.imports import (
    ImportState,
    begin_import,
    import_of,
    import_rejects,
    latest_imports,
    open_imports,
    profile_of,
    revert_import,
    start_import,
)
from engine.store.rows import ImportMode
from scripts.make_ugly_leads import CORPUS, text, write_corpus
from tests.contract.store_people import NOON, SPRING, add_lead
from tests.contract.store_people import rows as stored

ROOT = Path(__file__).parents[2]
MEANING = Meaning(numbering=Numbering(allow=("+7000XXXXXXX",)), fields={"city": ("Город", "Місто")})


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """No engine runs beside, so there is nothing to wait for when an import is undone."""
    monkeypatch.setattr(imports, "REVERT_SETTLE_S", 0)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("leads")
    write_corpus(directory)
    return directory


def rows(path: Path) -> dict[int, ImportRow]:
    # In this process: a child each time would cost more than all else here.
    return {row.line: row for row in decide(path, MEANING)[1] if isinstance(row, ImportRow)}


def check(path: Path, rejects_to: Path | None = None) -> ImportReport:
    return asyncio.run(check_file(path, meaning=MEANING, file_name=path.name, rejects_to=rejects_to))


def refusal(path: Path) -> RefusedReason:
    with pytest.raises(Refused) as refused:
        list(decide(path, MEANING)[1])
    return refused.value.reason


def write(path: Path, *lines: tuple[str, ...]) -> Path:
    path.write_bytes(text(lines))
    return path


# ── files that are read ──────────────────────────────────────────────────────────────────────────────────────────

ALIKE = (
    *(
        "plain.xlsx",
        "old.xls",
        "open.ods",
        "plain.csv",
        "comma.csv",
        "tabs.txt",
        "pipes.csv",
        "sep_line.csv",
        "bom.csv",
    ),
    *("cp1251.csv", "koi8.csv", "utf16.csv", "utf16_without_bom.csv", "under_a_title.xlsx", "second_sheet.xlsx"),
    *("hidden_sheet.xlsx", "many_empty_rows.csv", "million_empty_rows.xlsx"),
)


@pytest.mark.parametrize("name", ALIKE)
def test_the_same_leads_are_read_from_every_kind_of_file(corpus: Path, name: str) -> None:
    found = list(rows(corpus / name).values())
    assert [[number.e164 for number in row.phones] for row in found] == [
        ["+79161234567"],
        ["+380671234567"],
        ["+380677654321"],
    ]
    assert [row.name for row in found] == ["Абонент 001", "Абонент 002", "Абонент 003"]
    assert [row.fields for row in found] == [{"city": "Москва"}, {"city": "Київ"}, {"city": "Львів"}]
    assert [row.zone for row in found] == ["Europe/Moscow", "Europe/Kyiv", "Europe/Kyiv"]


def test_old_dos_text_is_read(corpus: Path) -> None:
    assert [row.name for row in rows(corpus / "dos.csv").values()] == ["Абонент 001", "Абонент 002", "Абонент 003"]


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("under_a_title.xlsx", [5, 6, 7]),
        ("no_header.csv", [1, 2, 3]),
        ("unknown_header.csv", [2, 3, 4]),
        ("sep_line.csv", [3, 4, 5]),
        ("line_break_in_cell.csv", [4, 5, 6]),
    ],
)
def test_rows_are_numbered_as_a_person_counts_them(corpus: Path, name: str, lines: list[int]) -> None:
    assert list(rows(corpus / name)) == lines


def test_odd_numbers_are_read_and_what_is_lost_is_told(corpus: Path) -> None:
    path = corpus / "odd_phones.xlsx"
    found = rows(path)
    assert [number.e164 for number in found[2].phones] == ["+79161234567"]
    assert [number.e164 for number in found[3].phones] == ["+79161234568", "+380671234567"]
    assert found[4].fields == {"Телефон": "+7 916 123-45-69 доб. 12"}
    report = check(path)
    assert [(reject.line, reject.field, reject.reason) for reject in report.rejects] == [
        (6, "Телефон", PhoneReason.ROUNDED),
        (7, "Телефон", PhoneReason.EMPTY),
        (8, "Телефон", PhoneReason.TOO_SHORT),
    ]
    assert (report.counts.rows, report.counts.leads, report.counts.duplicates, report.counts.rejects) == (8, 4, 1, 3)


def test_a_date_is_a_date_and_not_a_serial_number(corpus: Path) -> None:
    found = rows(corpus / "dates.xlsx")
    assert found[2].fields == {"Дата": "2026-11-22"}
    assert found[3].fields == {"Дата": "46348"}, "what nobody has formatted as a date, nobody knows to be one"


def test_merged_cells_belong_to_their_first_row_and_formulas_are_what_they_made(corpus: Path) -> None:
    path = corpus / "merged_and_calculated.xlsx"
    found = rows(path)
    assert [(line, row.name, row.phones[0].e164) for line, row in found.items()] == [
        (2, "Абонент 001", "+380671234567"),
        (3, "", "+380671234568"),
        (4, "Абонент 002", "+380671234569"),
    ]
    assert [(reject.line, reject.reason) for reject in check(path).rejects] == [(5, PhoneReason.EMPTY)]


def test_a_name_in_parts_is_one_name_and_two_phone_columns_are_two_phones(corpus: Path) -> None:
    [row] = rows(corpus / "names_in_parts.csv").values()
    assert row.name == "А Б В"
    assert len(row.phones) == 2


@pytest.mark.parametrize(
    ("heading", "type_"),
    [
        ("Мобильный", PhoneType.MOBILE),
        ("Моб. тел.", PhoneType.MOBILE),
        ("Мобільний телефон", PhoneType.MOBILE),
        ("Mobile phone", PhoneType.MOBILE),
        ("cell", PhoneType.MOBILE),
        ("Рабочий телефон", PhoneType.WORK),
        ("Робочий тел. 2", PhoneType.WORK),
        ("Рабочий мобильный", PhoneType.WORK),
        ("Office phone", PhoneType.WORK),
        ("Phone (work)", PhoneType.WORK),
        ("Домашний тел", PhoneType.HOME),
        ("Тел. дом.", PhoneType.HOME),
        ("Домашній телефон", PhoneType.HOME),
        ("Home phone", PhoneType.HOME),
        ("Другой телефон", PhoneType.OTHER),
        ("Other phone", PhoneType.OTHER),
        ("Телефон", PhoneType.MOBILE),  # by the number
    ],
)
def test_the_heading_of_a_phone_column_says_where_its_numbers_ring(
    tmp_path: Path, heading: str, type_: PhoneType
) -> None:
    path = tmp_path / "phones.csv"
    path.write_text(f"Имя;{heading}\nАнна;067 123 45 67\n", encoding="utf-8")
    [row] = rows(path).values()
    assert (row.phones, row.phone_types) == ((PhoneNumber("+380671234567"),), (type_,))


def test_each_phone_of_a_lead_has_its_own_type(tmp_path: Path) -> None:
    path = tmp_path / "phones.csv"
    first, second = "044 123 45 67, 067 123 45 67", "067 123 45 67, 0441234568"
    path.write_text(f"Имя;Телефон;Рабочий телефон\nАнна;{first};{second}\n", encoding="utf-8")
    [row] = rows(path).values()
    assert [(phone.e164, type_.value) for phone, type_ in zip(row.phones, row.phone_types, strict=True)] == [
        ("+380441234567", ""),
        ("+380671234567", "mobile"),  # as it was said first
        ("+380441234568", "work"),
    ]
    columns = check(path).layout.of(Role.PHONE)
    assert [column.type for column in columns] == [PhoneType.NOT_SAID, PhoneType.WORK]


def test_the_zone_is_the_leads_own_else_the_citys_else_the_numbers_if_there_is_one(corpus: Path) -> None:
    path = corpus / "zones.csv"
    found = rows(path)
    assert [found[line].zone for line in (2, 3, 4, 5, 6)] == [
        "Europe/Samara",
        "Etc/GMT-7",
        "Asia/Yekaterinburg",
        None,
        "Europe/Kyiv",
    ]
    assert [found[line].priority for line in (2, 3, 4)] == [5, -50, 0]
    assert [(reject.line, reject.field, reject.reason) for reject in check(path).rejects] == [
        (7, "Часовой пояс", RowReason.ZONE),
        (7, "Приоритет", RowReason.PRIORITY),
        (8, "Приоритет", RowReason.PRIORITY),
    ]


def test_what_holds_for_a_whole_file_gives_way_to_what_a_row_says(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.csv",
        ("Тел", "Город", "Пояс", "Приоритет"),
        ("8 916 123-45-67", "", "", ""),
        ("8 916 123-45-68", "Самара", "", "7"),
        ("8 916 123-45-69", "", "UTC+7", "0"),
        ("067 123 45 67", "", "", ""),
    )
    choice = Choice(defaults={"zone": "Москва", "priority": "5", "city": "область"})
    found = [row for row in decide(path, MEANING, choice)[1] if isinstance(row, ImportRow)]
    assert [row.zone for row in found] == ["Europe/Moscow", "Europe/Samara", "Etc/GMT-7", "Europe/Moscow"]
    assert [row.priority for row in found] == [5, 7, 0, 5]
    assert [row.fields["city"] for row in found] == ["область", "Самара", "область", "область"]


OFFICE = replace(MEANING, agents={"ганна коваль": "hanna", "hanna": "hanna", "101": "hanna", "boris": "boris"})


def test_tags_owner_and_partner_are_columns_or_hold_for_the_whole_file(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.csv",
        ("Тел", "Теги", "Ответственный", "Источник"),
        ("8 916 123-45-67", '"VIP; опт,  Новый  клиент"', "Ганна  Коваль", "Лендинг"),
        ("8 916 123-45-68", "", "101", ""),
        ("8 916 123-45-69", "vip,vip", "", ""),
    )
    choice = Choice(defaults={"tags": "Ноябрь", "owner": "boris", "source": "shop"})
    found = [row for row in decide(path, OFFICE, choice)[1] if isinstance(row, ImportRow)]
    assert [row.tags for row in found] == [("vip", "новый клиент", "ноябрь", "опт"), ("ноябрь",), ("vip", "ноябрь")]
    assert [row.keeper for row in found] == ["hanna", "hanna", "boris"]
    assert [row.source for row in found] == ["Лендинг", "shop", "shop"]


def test_an_unknown_owner_and_too_many_tags_are_told_by_row_and_column(tmp_path: Path) -> None:
    people = [(f"8 916 123-45-{n}", "vip", "hanna") for n in range(10, 14)]
    many = ",".join(f"т{n}" for n in range(21))
    path = write(tmp_path / "a.csv", ("Тел", "Теги", "Owner"), *people, ("8 916 123-45-77", many, "Кто-то"))
    (bad,) = [row for row in decide(path, OFFICE)[1] if isinstance(row, RejectedRow)]
    assert [(one.line, one.field, one.reason) for one in bad.problems] == [
        (6, "Теги", RowReason.TAGS),
        (6, "Owner", RowReason.OWNER),
    ]


def test_people_of_another_house_are_no_owners_but_a_word_on_the_card(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", ("Тел", "Менеджер"), ("8 916 123-45-67", "Иван из Рязани"))
    (row,) = [row for row in decide(path, OFFICE)[1] if isinstance(row, ImportRow)]
    assert (row.keeper, row.fields) == (None, {"Менеджер": "Иван из Рязани"})


@pytest.mark.parametrize(
    ("written", "zone"),
    [
        ("Europe/Kyiv", "Europe/Kyiv"),
        ("europe/kyiv", "Europe/Kyiv"),
        ("UTC+3", "Etc/GMT-3"),
        ("+5", "Etc/GMT-5"),
        ("МСК", "Etc/GMT-3"),
        ("МСК+2", "Etc/GMT-5"),
        ("UTC+03:00", "Etc/GMT-3"),
        ("Самара", "Europe/Samara"),
        ("UTC+99", None),
        ("когда удобно", None),
    ],
)
def test_a_time_zone_is_read_as_people_write_it(written: str, zone: str | None) -> None:
    assert zone_of_text(written) == zone


@pytest.mark.parametrize("city", ["г. Самара", "Самара", "САМАРА", "Samara", "м. Самара"])
def test_a_city_is_known_in_three_languages(city: str) -> None:
    assert zone_of_city(city) == "Europe/Samara"


@pytest.mark.parametrize(
    ("title", "role"),
    [
        ("Телефон", Role.PHONE),
        ("ТЕЛЕФОН 2", Role.PHONE),
        ("Моб.тел.", Role.PHONE),
        ("Контактний телефон", Role.PHONE),
        ("Номер телефону", Role.PHONE),
        ("Phone_1", Role.PHONE),
        ("Mobile phone", Role.PHONE),
        ("ФИО", Role.NAME),
        ("ПІБ", Role.NAME),
        ("Ім'я", Role.NAME),
        ("Full name", Role.NAME),
        ("Приоритет", Role.PRIORITY),
        ("Часовий пояс", Role.ZONE),
        ("Код клиента", Role.EXTERNAL_ID),
        ("№ п/п", Role.ORDINAL),
        ("Метки", Role.TAGS),
        ("Джерело", Role.SOURCE),
        ("Модель телефона", Role.FIELD),
        ("Город", Role.FIELD),
    ],
)
def test_a_column_is_known_by_its_name(tmp_path: Path, title: str, role: Role) -> None:
    path = write(tmp_path / "a.csv", (title, "Тел"), ("1", "067 123 45 67"))
    layout = recognise(list(read(path)), MEANING)
    assert layout.columns[0].role is role


def test_a_column_that_the_configuration_names_goes_to_its_field_and_others_keep_their_names(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", ("Місто", "Тел", "Улюблена вода"), ("Львів", "067 123 45 67", "м'яка"))
    assert rows(path)[2].fields == {"city": "Львів", "Улюблена вода": "м'яка"}


def test_one_good_number_is_enough_and_the_bad_one_stays_readable(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", ("Телефон", "Телефон 2"), ("067 123 45 67", "12345"))
    assert rows(path)[2].fields == {"Телефон 2": "12345"}


# ── files that are refused ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("nothing.csv", RefusedReason.EMPTY),
        ("spaces.csv", RefusedReason.EMPTY),
        ("no_cells.xlsx", RefusedReason.EMPTY),
        ("header_only.csv", RefusedReason.NO_ROWS),
        ("no_phones.csv", RefusedReason.NO_PHONE_COLUMN),
        ("password.xlsx", RefusedReason.ENCRYPTED),
        ("password.xls", RefusedReason.ENCRYPTED),
        ("password.ods", RefusedReason.ENCRYPTED),
        ("web_page.xls", RefusedReason.WEB_PAGE),
        ("cut.xlsx", RefusedReason.DAMAGED),
        ("archive.xlsx", RefusedReason.NOT_A_TABLE),
        ("picture.csv", RefusedReason.NOT_A_TABLE),
        ("binary.csv", RefusedReason.NOT_A_TABLE),
        ("noise.csv", RefusedReason.ENCODING),
        ("wrong_bom.csv", RefusedReason.ENCODING),
        ("wide.csv", RefusedReason.TOO_MANY_COLUMNS),
        ("bomb.xlsx", RefusedReason.UNPACKS_TOO_LARGE),
        ("not_there.csv", RefusedReason.UNREADABLE),
    ],
)
def test_a_file_that_is_no_lead_file_is_refused_with_its_reason(corpus: Path, name: str, reason: RefusedReason) -> None:
    assert refusal(corpus / name) is reason


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("corner.xlsx", RefusedReason.UNPACKS_TOO_LARGE),
        ("repeated.ods", RefusedReason.DAMAGED),
        ("cut.xls", RefusedReason.DAMAGED),
        ("noise.csv", RefusedReason.ENCODING),
    ],
)
def test_a_file_that_breaks_its_reader_breaks_nothing_else(corpus: Path, name: str, reason: RefusedReason) -> None:
    with pytest.raises(Refused) as refused:
        check(corpus / name)
    assert refused.value.reason is reason


def test_a_reader_that_is_killed_in_the_middle_of_a_word_refuses_the_file() -> None:
    dies = 'import os, signal; os.write(1, b\'{"verdicts": []}\\n{"verdic\'); os.kill(os.getpid(), signal.SIGKILL)'
    with subprocess.Popen([sys.executable, "-c", dies], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        lines = received(child, child.stdout)
        assert next(lines) == {"verdicts": []}
        with pytest.raises(Refused) as refused:
            next(lines)
    assert refused.value.reason is RefusedReason.UNPACKS_TOO_LARGE


def test_a_file_of_200_megabytes_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "huge.csv"
    with path.open("wb") as file:
        file.write(b"phone\n")
        file.truncate(4 * FILE_BYTES_MAX)
    assert refusal(path) is RefusedReason.TOO_LARGE


def test_duplicates_within_a_file_are_counted(corpus: Path) -> None:
    counts = check(corpus / "duplicates.csv").counts
    assert (counts.leads, counts.duplicates) == (3, 1)


def test_every_file_of_the_corpus_is_named_by_a_test() -> None:
    here = Path(__file__).read_text(encoding="utf-8")
    assert [name for name in CORPUS if name not in here] == []


# ── the reject file ──────────────────────────────────────────────────────────────────────────────────────────────


def test_rejects_keep_their_columns_and_say_why(corpus: Path, tmp_path: Path) -> None:
    path = tmp_path / "rejects.xlsx"
    check(corpus / "odd_phones.xlsx", rejects_to=path)
    book = python_calamine.load_workbook(str(path))
    header, first, *_ = book.get_sheet_by_index(0).to_python()
    assert header == ["Имя", "Телефон", "Row", "Reason"]
    assert first == ["Абонент 005", "7,91612E+10", 6, f"Телефон: {PhoneReason.ROUNDED.value}"]


def test_a_mended_reject_file_can_be_imported(corpus: Path, tmp_path: Path) -> None:
    path = tmp_path / "rejects.csv"
    check(corpus / "odd_phones.xlsx", rejects_to=path)
    path.write_text(path.read_text(encoding="utf-8-sig").replace("12345", "067 123 45 99"), encoding="utf-8")
    assert check(path).counts.leads == 1


@pytest.mark.parametrize("name", ["rejects.csv", "rejects.xlsx"])
def test_a_formula_in_a_rejected_row_stays_a_text(corpus: Path, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    check(corpus / "formulas.csv", rejects_to=path)
    if path.suffix == ".csv":
        with path.open(encoding="utf-8-sig", newline="") as file:
            cells = [cell for row in csv.reader(file, delimiter=";") for cell in row]
        assert "'=cmd|' /C calc'!A0" in cells
        assert not any(cell.startswith(("=", "@")) for cell in cells)
    else:
        book = python_calamine.load_workbook(str(path))
        assert "=cmd|' /C calc'!A0" in book.get_sheet_by_index(0).to_python()[1]


# ── into the store ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with InlineDatabase.open(tmp_path / "zvonar.db", now_ms=0, durable=False) as database:
        yield database


async def bring(database: Database, path: Path, rejects_to: Path | None = None) -> ImportReport:
    return await import_file(
        database,
        path,
        campaign=SPRING,
        meaning=MEANING,
        file_name=path.name,
        by="anna",
        now_ms=NOON,
        rejects_to=rejects_to,
    )


async def leads_count(database: Database) -> int:
    (row,) = await stored(database, "SELECT count(*) AS n FROM leads")
    return int(row["n"])


async def test_a_file_becomes_leads_and_the_same_file_again_adds_none(database: Database) -> None:
    example = ROOT / "examples/leads.xlsx"
    first = await bring(database, example)
    again = await bring(database, example)
    assert (first.counts.leads, first.counts.duplicates, first.counts.rejects) == (200, 0, 0)
    assert (again.counts.leads, again.counts.duplicates, again.counts.rejects) == (0, 200, 0)
    assert await leads_count(database) == 200


async def test_bad_rows_are_in_the_store_in_the_report_and_in_the_reject_file(
    database: Database, corpus: Path, tmp_path: Path
) -> None:
    path = tmp_path / "rejects.csv"
    report = await bring(database, corpus / "odd_phones.xlsx", rejects_to=path)
    assert (report.counts.rows, report.counts.leads, report.counts.duplicates, report.counts.rejects) == (8, 4, 1, 3)
    assert await import_rejects(database, report.counts.id) == report.rejects
    assert len(path.read_text(encoding="utf-8-sig").splitlines()) == 4


async def test_a_file_refused_at_its_end_leaves_nothing(database: Database, tmp_path: Path) -> None:
    lines = [("Телефон", "Имя"), *((f"067 {n:07}", "А") for n in range(3000)), tuple("x" * 300)]
    path = write(tmp_path / "a.csv", *lines)
    with pytest.raises(Refused):
        await bring(database, path)
    assert await leads_count(database) == 0
    assert (await bring(database, write(path, *lines[:-1]))).counts.leads == 3000


# ── a job that survives its process ──────────────────────────────────────────────────────────────────────────────

DIES = """
import asyncio, os, signal, sys
from pathlib import Path
from engine.core.model import CampaignId
from engine.leads.columns import Meaning
from engine.leads.files import import_file
from engine.phones import Numbering
from engine.store import imports
from engine.store.database import AioDatabase
from engine.store.rows import ImportMode

folder, mode, pieces = Path(sys.argv[1]), ImportMode(sys.argv[2]), int(sys.argv[3])
imports.PIECE_MAX = 100

async def main():
    async with AioDatabase.open(folder / "zvonar.db", now_ms=0) as database:
        real, done = database.write, 0
        async def write(*statements):
            nonlocal done
            answers = await real(*statements)
            done += statements[-1].query.name == "piece_done"
            if done == pieces:
                os.kill(os.getpid(), signal.SIGKILL)
            return answers
        database.write = write
        meaning = Meaning(numbering=Numbering())
        await import_file(database, folder / "a.csv", campaign=CampaignId("spring"), meaning=meaning,
                          file_name="a.csv", by="anna", now_ms=1, mode=mode)

asyncio.run(main())
"""


def killed(folder: Path, mode: ImportMode, after_pieces: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", DIES, str(folder), mode.value, str(after_pieces)], cwd=ROOT, check=False, timeout=60
    )
    assert done.returncode == -signal.SIGKILL


def a_long_file(path: Path, count: int = 450) -> Path:
    """Every tenth is somebody twice, every ninth is bad."""
    people = [(f"067 {n - (n % 10 == 0):07}", f"Абонент {n}") for n in range(1, count + 1)]
    people = [("12", name) if n % 9 == 0 else (phone, name) for n, (phone, name) in enumerate(people)]
    return write(path, ("Телефон", "Имя"), *people)


@pytest.mark.parametrize("pieces", [2])
async def test_a_killed_import_goes_on_where_it_was_and_brings_nobody_twice(tmp_path: Path, pieces: int) -> None:
    a_long_file(tmp_path / "a.csv")
    whole = (await check_file(tmp_path / "a.csv", meaning=MEANING, file_name="a.csv")).counts
    killed(tmp_path, ImportMode.CREATE, pieces)
    (tmp_path / "a.csv").unlink()  # the file that a person had is not needed any more
    with InlineDatabase.open(tmp_path / "zvonar.db", now_ms=0, durable=False) as database:
        assert await leads_count(database) > 0
        assert (await open_imports(database))[0].through_line > 1
        assert await resume_imports(database, meaning=MEANING, now_ms=NOON) == 1
        (job,) = await latest_imports(database)
        assert (job.state, job.counts) == (ImportState.DONE, replace(whole, id=job.id))
        twice = await stored(database, "SELECT number FROM phones GROUP BY number HAVING count(*) > 1")
        assert (twice, await leads_count(database)) == ([], whole.leads)
        assert list(folder_of(database).iterdir()) == [], "the kept file is gone"
        assert await resume_imports(database, meaning=MEANING, now_ms=NOON) == 0


async def test_an_update_that_was_killed_is_carried_to_its_end_and_undone_whole(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", ("Телефон", "Код клиента"), *((f"067 {n:07}", f"A-{n}") for n in range(1, 401)))
    with InlineDatabase.open(tmp_path / "zvonar.db", now_ms=0, durable=False) as database:
        for n in range(1, 401):
            await add_lead(database, n, numbers=(PhoneNumber(f"+38067{n:07}"),))
    killed(tmp_path, ImportMode.UPDATE, 2)
    with InlineDatabase.open(tmp_path / "zvonar.db", now_ms=0, durable=False) as database:
        await resume_imports(database, meaning=MEANING, now_ms=NOON)
        (job,) = await latest_imports(database)
        assert (job.counts.updated, job.counts.duplicates) == (400, 0)
        ids = await stored(database, "SELECT count(*) AS n FROM leads WHERE external_id = 'A-' || id")
        assert ids[0]["n"] == 400
        await revert_import(database, job.id, by="anna", now_ms=NOON)
        assert (await stored(database, "SELECT count(*) AS n FROM leads WHERE external_id <> ''"))[0]["n"] == 0


async def test_what_a_person_corrected_is_imported_also_by_the_next_start(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", ("Тел", "Пояс"), ("12", ""), ("8 916 123-45-68", "Марс"), ("13", ""))
    mended = {"2": {"0": "8 916 123-45-67"}, "3": {"1": ""}}
    with InlineDatabase.open(tmp_path / "zvonar.db", now_ms=0, durable=False) as database:
        kept = keep_file(database, path)
        settings = ImportChoice(columns=Choice(mended=mended), headings="[]").as_settings()
        number = await begin_import(
            database, SPRING, file_name="a.csv", by="boss", now_ms=1, kept=kept, settings=settings
        )
        await start_import(database, number, now_ms=1)  # and the program died
        assert await resume_imports(database, meaning=MEANING, now_ms=2) == 1
        counts = (await import_of(database, number)).counts
        assert (counts.leads, counts.rejects) == (2, 1)
        known = await profile_of(database, headings="[]")
        assert known is not None
        assert known.settings["columns"]["mended"] == {}, "the next file has other rows"


async def test_an_import_that_lives_elsewhere_is_left_alone(tmp_path: Path) -> None:
    a_long_file(tmp_path / "a.csv")
    killed(tmp_path, ImportMode.CREATE, 1)
    with InlineDatabase.open(tmp_path / "zvonar.db", now_ms=0, durable=False) as database:
        (job,) = await open_imports(database)
        with (folder_of(database) / job.kept).open("rb") as theirs:
            fcntl.flock(theirs, fcntl.LOCK_EX)
            assert await resume_imports(database, meaning=MEANING, now_ms=NOON) == 0
        assert await resume_imports(database, meaning=MEANING, now_ms=NOON) == 1


# ── what a person chooses, and a dry run ─────────────────────────────────────────────────────────────────────────


async def test_a_choice_of_columns_is_kept_for_the_next_file_with_these_headings(
    database: Database, tmp_path: Path
) -> None:
    path = write(tmp_path / "a.csv", ("Связь", "Запасной", "Кто"), ("067 123 45 67", "067 123 45 68", "Олесь"))
    choice, _ = await chosen_for(
        database, path, MEANING, columns=("Связь=ordinal", "Запасной=phone", "кто=name", "Связь=field:city")
    )
    await import_file(
        database,
        path,
        campaign=SPRING,
        meaning=MEANING,
        file_name="a.csv",
        by="anna",
        now_ms=NOON,
        choice=replace(choice, profile="Партнёр"),
    )
    (lead,) = await stored(database, "SELECT l.name, l.fields, p.number FROM leads l JOIN phones p ON p.lead_id = l.id")
    assert tuple(lead) == ("Олесь", '{"city":"067 123 45 67"}', "+380671234568")
    again, mode = await chosen_for(database, path, MEANING)
    assert (again, mode) == (replace(choice, profile="Партнёр"), ImportMode.CREATE)
    other = write(tmp_path / "b.csv", ("Связь", "Кто"), ("067 123 45 67", "Олесь"))
    assert (await chosen_for(database, other, MEANING))[0].columns.roles == {}
    named, _ = await chosen_for(database, other, MEANING, profile="Партнёр")
    assert named.columns == choice.columns
    with pytest.raises(LookupError, match="no profile 'Нет'"):
        await chosen_for(database, other, MEANING, profile="Нет")
    with pytest.raises(LookupError, match="no column 'Где'"):
        await chosen_for(database, other, MEANING, columns=("Где=phone",))
    with pytest.raises(LookupError, match="is no role"):
        await chosen_for(database, other, MEANING, columns=("Кто=boss",))


def test_columns_without_telling_names_are_known_by_what_stands_in_them(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.csv",
        ("Шевченко Тарас", "067 123 45 67", "Львів", "МСК+2", "Кулер"),
        ("Коваль Олена Іванівна", "067 123 45 68", "м. Київ", "Europe/Kyiv", "Вода"),
    )
    layout = recognise(list(read(path)), MEANING)
    assert [column.role for column in layout.columns] == [Role.NAME, Role.PHONE, Role.FIELD, Role.ZONE, Role.FIELD]
    assert [column.is_city for column in layout.columns] == [False, False, True, False, False]


async def test_a_dry_run_says_of_every_row_what_would_become_of_it(database: Database, tmp_path: Path) -> None:
    await add_lead(database, 1, numbers=(PhoneNumber("+380671234501"),))
    await add_lead(database, 2, campaign=CampaignId("autumn"), numbers=(PhoneNumber("+380671234502"),))
    await DoNotCall(database).add([PhoneNumber("+380671234503")], reason="asked", by="boss", at_ms=NOON)
    numbers = ("0671234501", "0671234502", "0671234503", "0671234504", "0671234504", "12")
    path = write(tmp_path / "a.csv", ("Телефон",), *((number,) for number in numbers))

    async def tried(mode: ImportMode, *, everywhere: bool = False) -> tuple[ImportReport, ImportReport]:
        how = {"meaning": MEANING, "file_name": "a.csv", "choice": ImportChoice(everywhere=everywhere), "mode": mode}
        dry = await check_file(path, database=database, campaign=SPRING, **how)  # type: ignore[arg-type]
        wet = await import_file(database, path, campaign=SPRING, by="anna", now_ms=NOON, **how)  # type: ignore[arg-type]
        await revert_import(database, wet.counts.id, by="anna", now_ms=NOON)
        return dry, wet

    dry, wet = await tried(ImportMode.CREATE)
    assert [(remark.line, remark.reason) for remark in dry.remarks] == [
        (2, Remark.KNOWN),
        (4, Remark.LISTED),
        (6, Remark.TWICE),
    ]
    assert dry.counts == replace(wet.counts, id=0)
    assert (dry.counts.leads, dry.counts.duplicates, dry.counts.rejects, dry.counts.listed) == (3, 2, 1, 1)
    dry, wet = await tried(ImportMode.CREATE, everywhere=True)
    assert (dry.remarks[1].line, dry.remarks[1].reason) == (3, Remark.KNOWN_ELSEWHERE)
    assert dry.counts == replace(wet.counts, id=0)
    dry, wet = await tried(ImportMode.UPDATE)
    assert [remark.reason for remark in dry.remarks] == [Remark.UPDATES, *[Remark.NOBODY] * 3, Remark.TWICE]
    assert dry.counts == replace(wet.counts, id=0)
    assert "380671234501" not in repr(dry.remarks), "a dry run is read by many"


async def test_a_dry_run_asks_the_list_of_the_partner_that_the_file_or_its_row_names(
    database: Database, tmp_path: Path
) -> None:
    unwanted = [PhoneNumber("+380671234503"), PhoneNumber("+380671234504")]
    await DoNotCall(database).add(unwanted, to="partner:shop", reason="asked", by="boss", at_ms=NOON)
    people = (("0671234503", ""), ("0671234504", "other"), ("0671234505", "shop"))
    path = write(tmp_path / "a.csv", ("Телефон", "Партнёр"), *people)
    for defaults, listed in (({"source": "shop"}, [2]), ({}, [])):
        how = {"meaning": MEANING, "file_name": "a.csv", "choice": ImportChoice(columns=Choice(defaults=defaults))}
        dry = await check_file(path, database=database, campaign=SPRING, **how)  # type: ignore[arg-type]
        wet = await import_file(database, path, campaign=SPRING, by="anna", now_ms=NOON, **how)  # type: ignore[arg-type]
        await revert_import(database, wet.counts.id, by="anna", now_ms=NOON)
        assert [remark.line for remark in dry.remarks] == listed
        assert dry.counts == replace(wet.counts, id=0)


# ── the demonstration ────────────────────────────────────────────────────────────────────────────────────────────


def test_the_example_has_200_clean_leads_by_the_shipped_configuration() -> None:
    loaded = load(ROOT / "config.yaml")
    assert isinstance(loaded, Loaded)
    report = asyncio.run(
        check_file(ROOT / "examples/leads.xlsx", meaning=meaning_of(loaded.config), file_name="leads.xlsx")
    )
    assert (report.counts.leads, report.counts.duplicates, report.counts.rejects) == (200, 0, 0)
    assert {column.key for column in report.layout.of(Role.FIELD)} == {"city", "product", "Комментарий"}


def test_the_documented_limits_are_the_real_ones() -> None:
    said = (ROOT / "docs/lead-files.md").read_text(encoding="utf-8")
    for words in (
        f"| file | {FILE_BYTES_MAX >> 20} MB |",
        f"| unpacked | {UNPACKED_BYTES_MAX >> 30} GiB, and {MEMORY_BYTES_MAX >> 30} GiB",
        f"| rows | {ROWS_MAX:,} |".replace(",", " "),
        f"| columns | {COLUMNS_MAX} |",
        f"| time | {CPU_SECONDS_MAX} s",
    ):
        assert words in said
