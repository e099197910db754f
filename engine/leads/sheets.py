"""The rows of a spreadsheet or text table, whatever kind, encoding and delimiter it is."""

from __future__ import annotations

import codecs
import csv
import datetime as dt
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, TypeAlias

import python_calamine

from engine.messages import N_

FILE_BYTES_MAX: Final = 400 * 1024 * 1024
UNPACKED_BYTES_MAX: Final = 1024 * 1024 * 1024
COLUMNS_MAX: Final = 200
CELL_CHARACTERS_MAX: Final = 10_000
ENCODING_SAMPLE_BYTES: Final = 256 * 1024
DELIMITER_SAMPLE_LINES: Final = 50

Cell: TypeAlias = str | int | float | None
#: A row's number in the file, from 1, and its cells.
Row: TypeAlias = tuple[int, list[Cell]]


class RefusedReason(StrEnum):
    """Why a whole file is refused. The value is the English message, and its id."""

    TOO_LARGE = N_("the file is too large: at most 400 MB")
    UNPACKS_TOO_LARGE = N_("the file unpacks to too much: save only the sheet with the leads")
    TOO_MANY_COLUMNS = N_("the table has too many columns: at most 200")
    EMPTY = N_("the file is empty")
    ENCRYPTED = N_("the file is protected with a password: save it without one")
    NOT_A_TABLE = N_("this is not a table: save it as XLSX, XLS, ODS or CSV")
    WEB_PAGE = N_("this is a web page with the name of a table: open it in a spreadsheet program and save it as XLSX")
    DAMAGED = N_("the file is damaged: open it in a spreadsheet program and save it again")
    ENCODING = N_("the text's encoding is not clear: save the file as CSV in UTF-8")
    UNREADABLE = N_("the file cannot be read")
    NO_PHONE_COLUMN = N_("no column with phone numbers was found: name it, for example, Телефон")
    NO_ROWS = N_("there is no lead in the file")
    TOO_MANY_ROWS = N_("the file has too many rows: at most 5000000")


class Refused(Exception):
    """The file is refused as a whole; nothing of it is used."""

    def __init__(self, reason: RefusedReason) -> None:
        super().__init__(reason.value)
        self.reason = reason


def read(path: Path) -> Iterator[Row]:
    """The rows of the first sheet that has any, blank ones left out. Raises Refused at once or while reading.

    Memory and time are the caller's to limit: `reader` does.
    """
    yield from _tidied(_raw_rows(path))


def count(path: Path, most: int) -> int:
    """How many rows it has, blank ones left out, at most `most`; it is read to its end. Raises Refused as `read`."""
    found = 0
    for cells in _raw_rows(path):
        if len(cells) > COLUMNS_MAX:
            next(_tidied([cells]), None)
        found += any(cells)
        if found >= most:
            break
    return found


def _raw_rows(path: Path) -> Iterator[list[Any]]:
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(ENCODING_SAMPLE_BYTES)
    except OSError:
        raise Refused(RefusedReason.UNREADABLE) from None
    if size > FILE_BYTES_MAX:
        raise Refused(RefusedReason.TOO_LARGE)
    if not head.strip():
        raise Refused(RefusedReason.EMPTY)
    yield from _text_rows(path, head) if _is_text(path, head) else _sheet_rows(path)


def _tidied(rows: Iterable[Sequence[Any]]) -> Iterator[Row]:
    for number, cells in enumerate(rows, 1):
        row = [_cell(cell) for cell in cells]
        while row and row[-1] is None:
            row.pop()
        if len(row) > COLUMNS_MAX:
            raise Refused(RefusedReason.TOO_MANY_COLUMNS)
        if row:
            yield number, row


def _cell(value: Any) -> Cell:
    if type(value) is str:  # nearly all of them
        return value.strip()[:CELL_CHARACTERS_MAX] or None
    match value:
        case None:
            return None
        case bool():
            return "yes" if value else "no"
        case float() if value.is_integer() and abs(value) < 1e15:
            return int(value)
        case int() | float():
            return value
        case dt.datetime() if value.time() == dt.time():
            return value.date().isoformat()
        case _:
            return str(value)


# ── spreadsheets ─────────────────────────────────────────────────────────────────────────────────────────────────


def _is_text(path: Path, head: bytes) -> bool:
    """Whether the file is a text table; raises Refused for what is neither text nor a spreadsheet."""
    start = head.lstrip()[:512].lower()
    if start.startswith((b"<html", b"<!doctype html", b"<table", b"<meta")) or b"<html" in start:
        raise Refused(RefusedReason.WEB_PAGE)
    if head.startswith(b"PK\x03\x04"):
        _check_archive(path)
        return False
    if head.startswith(b"\xd0\xcf\x11\xe0"):
        # An encrypted XLSX is wrapped in the container of old XLS files.
        if "EncryptedPackage".encode("utf-16-le") in path.read_bytes():
            raise Refused(RefusedReason.ENCRYPTED)
        return False
    if head.startswith((b"%PDF", b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"Rar!", b"7z\xbc\xaf", b"\x1f\x8b", b"<?xml")):
        raise Refused(RefusedReason.NOT_A_TABLE)
    return True


def _check_archive(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
            names = {part.filename for part in parts}
            if any(part.flag_bits & 1 for part in parts):
                raise Refused(RefusedReason.ENCRYPTED)
            if sum(part.file_size for part in parts) > UNPACKED_BYTES_MAX:
                raise Refused(RefusedReason.UNPACKS_TOO_LARGE)
            if not ({"xl/workbook.xml", "xl/workbook.bin", "content.xml"} & names):
                raise Refused(RefusedReason.NOT_A_TABLE)
            if "META-INF/manifest.xml" in names and b"encryption-data" in archive.read("META-INF/manifest.xml"):
                raise Refused(RefusedReason.ENCRYPTED)
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError):
        raise Refused(RefusedReason.DAMAGED) from None


def _sheet_rows(path: Path) -> Iterator[list[Any]]:
    try:
        with python_calamine.load_workbook(str(path)) as book:
            visible = [s.name for s in book.sheets_metadata if s.visible is python_calamine.SheetVisibleEnum.Visible]
            for name in visible or book.sheet_names:
                sheet = book.get_sheet_by_name(name)
                if sheet.height:
                    yield from sheet.iter_rows()
                    return
    except python_calamine.PasswordError:
        raise Refused(RefusedReason.ENCRYPTED) from None
    except (python_calamine.CalamineError, OSError, ValueError):
        raise Refused(RefusedReason.DAMAGED) from None
    raise Refused(RefusedReason.EMPTY)


# ── text tables ──────────────────────────────────────────────────────────────────────────────────────────────────

_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CYRILLIC: Final = frozenset("абвгдежзийклмнопрстуфхцчшщъыьэюяёіїєґАБВГДЕЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯЁІЇЄҐ№«»–—°")
#: Half of any Russian or Ukrainian text is these; in a wrong encoding they are others, or capitals.
_COMMON: Final = frozenset("оеаинтсрвліку")


def _text_rows(path: Path, head: bytes) -> Iterator[list[Any]]:
    encoding = _encoding(path, head)
    # The last line of the sample may be cut, and so may its last character.
    sample = head.decode(encoding, errors="ignore").splitlines()[:DELIMITER_SAMPLE_LINES]
    delimiter = _delimiter(sample)
    csv.field_size_limit(CELL_CHARACTERS_MAX * 10)
    try:
        with path.open(encoding=encoding, newline="") as file:
            if sample[0].lower().startswith("sep="):
                file.readline()
                yield []
            reader = csv.reader(file, delimiter=delimiter)
            number = reader.line_num
            for row in reader:
                # A quoted line break makes one row of several lines; people count lines.
                if reader.line_num != number + 1:
                    yield from ([] for _ in range(reader.line_num - number - 1))
                number = reader.line_num
                yield row if "\x00" not in "".join(row) else [cell.replace("\x00", "") for cell in row]
    except UnicodeDecodeError:
        raise Refused(RefusedReason.ENCODING) from None
    except csv.Error:
        raise Refused(RefusedReason.DAMAGED) from None


def _encoding(path: Path, head: bytes) -> str:
    for bom, name in _BOMS:
        if head.startswith(bom):
            return name
    for name, high_bytes in (("utf-16-le", head[1::2]), ("utf-16-be", head[::2])):
        # The upper half of Latin letters and digits is 0, of Cyrillic ones 4.
        if high_bytes.count(0) + high_bytes.count(4) > 0.9 * len(high_bytes):
            return name
    if b"\x00" in head:
        raise Refused(RefusedReason.NOT_A_TABLE)
    if _is_utf8(path):
        return "utf-8"
    candidates = Counter({name: _likeness(head, name) for name in ("cp1251", "koi8_u", "cp866", "mac_cyrillic")})
    [(best, score), (_, second)] = candidates.most_common(2)
    if score < 0.25 or score - second < 0.1:
        raise Refused(RefusedReason.ENCODING)
    return best


def _is_utf8(path: Path) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    with path.open("rb") as file:
        try:
            while block := file.read(1 << 20):
                decoder.decode(block)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return False
    return True


def _likeness(head: bytes, encoding: str) -> float:
    """How much the text looks Russian or Ukrainian in this encoding, 0 to 1."""
    foreign = [char for char in head.decode(encoding, errors="replace") if ord(char) > 127]
    if sum(char in _CYRILLIC for char in foreign) < 0.9 * len(foreign):
        return 0.0
    return sum(char in _COMMON for char in foreign) / len(foreign)


def _delimiter(sample: list[str]) -> str:
    if sample[0].lower().startswith("sep=") and len(sample[0]) == 5:
        return sample[0][4]
    best, best_score = ",", 0.0
    for delimiter in ";,\t|":
        try:
            widths = Counter(len(row) for row in csv.reader(sample, delimiter=delimiter) if row)
        except csv.Error:
            continue
        width, lines = max(widths.items(), key=lambda item: (item[0] > 1, item[1]), default=(0, 0))
        score = lines / len(sample) if width > 1 else 0.0
        if score > best_score:
            best, best_score = delimiter, score
    return best
