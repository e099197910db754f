"""Make lead files as people send them, and as attackers would: the corpus of tests/unit/test_leadfile.py.

    python -m scripts.make_ugly_leads DIRECTORY

Made by code, so that each trap can be read; nothing here is larger than a few megabytes on disk.
"""

from __future__ import annotations

import datetime as dt
import io
import struct
import sys
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import xlsxwriter

HEADER: Final = ("Имя", "Телефон", "Город")
ROWS: Final = (
    ("Абонент 001", "8 (916) 123-45-67", "Москва"),
    ("Абонент 002", "+380671234567", "Київ"),
    ("Абонент 003", "067 765 43 21", "Львів"),
)
TABLE: Final = (HEADER, *ROWS)

Rows = Sequence[Sequence[Any]]


def text(rows: Rows, encoding: str = "utf-8", delimiter: str = ";") -> bytes:
    """A text table."""
    return "".join(delimiter.join(map(str, row)) + "\r\n" for row in rows).encode(encoding)


def xlsx(*sheets: Rows, hidden: int | None = None, first_row: int = 0) -> bytes:
    """A workbook."""
    out = io.BytesIO()
    with xlsxwriter.Workbook(out, {"default_date_format": "dd.mm.yyyy", "strings_to_formulas": False}) as book:
        for number, rows in enumerate(sheets):
            sheet = book.add_worksheet()
            if number == hidden:
                book.add_worksheet().activate()
                sheet.hide()
            for row, cells in enumerate(rows, first_row):
                for column, cell in enumerate(cells):
                    sheet.write(row, column, cell)
    return out.getvalue()


def under_a_title() -> bytes:
    """A merged title, an empty row, then the header in the fourth row and the third column."""
    out = io.BytesIO()
    with xlsxwriter.Workbook(out) as book:
        sheet = book.add_worksheet()
        sheet.merge_range("A1:F1", "База клиентов за ноябрь", book.add_format({"bold": True}))
        sheet.write("A2", "Выгружено из учёта")
        for row, cells in enumerate(TABLE, 3):
            sheet.write_row(row, 2, cells)
    return out.getvalue()


def one_cell_in_the_last_corner() -> bytes:
    """A sheet that a dense reader makes 17 milliard cells of."""
    out = io.BytesIO()
    with xlsxwriter.Workbook(out) as book:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, HEADER)
        sheet.write(1_048_575, 16_383, "!")
    return out.getvalue()


def million_empty_rows() -> bytes:
    """Three leads above a million rows that somebody has only formatted."""
    rows = "".join(f'<row r="{number}"><c r="A{number}"/></row>' for number in range(5, 1_000_005))
    return _with_sheet(xlsx(TABLE), lambda sheet: sheet.replace("</sheetData>", rows + "</sheetData>"))


def merged_and_calculated() -> bytes:
    """A name merged over two rows, a number that a formula makes, and one that it fails to make."""
    out = io.BytesIO()
    with xlsxwriter.Workbook(out) as book:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, HEADER)
        sheet.merge_range("A2:A3", "Абонент 001")
        sheet.write_row("B2", ("067 123 45 67", "Київ"))
        sheet.write_row("B3", ("067 123 45 68", "Київ"))
        sheet.write("A4", "Абонент 002")
        sheet.write_formula("B4", '="+38067"&1234569', value="+380671234569")
        sheet.write_formula("C4", "=A1+1", value="#VALUE!")
        sheet.write("A5", "Абонент 003")
        sheet.write_formula("B5", "=1/0", value="#DIV/0!")
    return out.getvalue()


def _with_sheet(book: bytes, change: Callable[[str], str]) -> bytes:
    """The workbook with another first sheet."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(book)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for part in old.infolist():
            body = old.read(part)
            new.writestr(part, change(body.decode()).encode() if part.filename.endswith("sheet1.xml") else body)
    return out.getvalue()


def zip_bomb() -> bytes:
    """A workbook that says that it unpacks to two gigabytes."""
    out = io.BytesIO(xlsx(TABLE))
    with zipfile.ZipFile(out, "a") as archive:
        archive.writestr("xl/bomb.xml", "x")
        archive.getinfo("xl/bomb.xml").file_size = 2 << 30
    return out.getvalue()


def ods(rows: str, *, encrypted: bool = False) -> bytes:
    """An OpenDocument sheet with these rows of XML."""
    content = (
        '<?xml version="1.0" encoding="UTF-8"?><office:document-content office:version="1.2"'
        ' xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0"'
        ' xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0"'
        ' xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0"><office:body><office:spreadsheet>'
        f'<table:table table:name="Лист1">{rows}</table:table>'
        "</office:spreadsheet></office:body></office:document-content>"
    )
    lock = "<manifest:encryption-data/>" if encrypted else ""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet", zipfile.ZIP_STORED)
        archive.writestr("content.xml", content)
        archive.writestr("META-INF/manifest.xml", f"<manifest:manifest>{lock}</manifest:manifest>")
    return out.getvalue()


def ods_rows(rows: Rows) -> str:
    """Rows of an OpenDocument sheet."""
    return "".join(
        "<table:table-row>"
        + "".join(f'<table:table-cell office:value-type="string"><text:p>{c}</text:p></table:table-cell>' for c in row)
        + "</table:table-row>"
        for row in rows
    )


def repeated_without_end() -> bytes:
    """One filled row, repeated a million times sixteen thousand columns wide."""
    row = (
        '<table:table-row table:number-rows-repeated="1048570"><table:table-cell table:number-columns-repeated="16384"'
        ' office:value-type="string"><text:p>x</text:p></table:table-cell></table:table-row>'
    )
    return ods(ods_rows(TABLE) + row)


def xls(rows: Rows, *, encrypted: bool = False) -> bytes:
    """A workbook of Excel 97: BIFF8 records in an OLE2 container."""

    def record(kind: int, body: bytes) -> bytes:
        return struct.pack("<HH", kind, len(body)) + body

    def cell(row: int, column: int, value: Any) -> bytes:
        if isinstance(value, int | float):
            return record(0x0203, struct.pack("<HHHd", row, column, 0, value))
        body = str(value).encode("utf-16-le")
        return record(0x0204, struct.pack("<HHHHB", row, column, 0, len(body) // 2, 1) + body)

    lock = record(0x002F, struct.pack("<HHH", 1, 1, 1)) if encrypted else b""
    start = record(0x0809, struct.pack("<HHHHII", 0x0600, 0x0005, 0, 0x07CC, 0, 6))
    codepage, end = record(0x0042, struct.pack("<H", 1200)), record(0x000A, b"")
    name = "Лист1".encode("utf-16-le")
    where = len(start) + len(lock) + len(codepage) + 4 + 8 + len(name) + len(end)
    sheet = record(0x0085, struct.pack("<IBBBB", where, 0, 0, len(name) // 2, 1) + name)
    body = record(0x0809, struct.pack("<HHHHII", 0x0600, 0x0010, 0, 0x07CC, 0, 6))
    body += record(0x0200, struct.pack("<IIHHH", 0, len(rows), 0, max(map(len, rows)), 0))
    body += b"".join(cell(r, c, value) for r, cells in enumerate(rows) for c, value in enumerate(cells))
    return ole2("Workbook", start + lock + codepage + sheet + end + body + end)


def ole2(name: str, stream: bytes) -> bytes:
    """A compound file that holds one stream of at least 4096 bytes."""
    stream = stream.ljust(max(4096, -(-len(stream) // 512) * 512), b"\0")
    sectors = len(stream) // 512
    end_of_chain, free, fat_sector, none = 0xFFFFFFFE, 0xFFFFFFFF, 0xFFFFFFFD, 0xFFFFFFFF
    # Sector 0 is the table of chains, 1 the directory, the stream comes after.
    fat = [fat_sector, end_of_chain, *range(3, sectors + 2), end_of_chain]
    fat += [free] * (128 - len(fat))

    def entry(title: str, kind: int, child: int, start: int, size: int) -> bytes:
        raw = title.encode("utf-16-le")
        head = struct.pack("<64sHBBIII", raw, len(raw) + 2 if title else 0, kind, 1, none, none, child)
        return head + bytes(36) + struct.pack("<IQ", start, size)

    header = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16)
    header += struct.pack("<HHHHH6x", 0x3E, 3, 0xFFFE, 9, 6)
    header += struct.pack("<IIIIIIIII", 0, 1, 1, 0, 4096, end_of_chain, 0, end_of_chain, 0)
    header += struct.pack("<109I", 0, *[free] * 108)
    directory = entry("Root Entry", 5, 1, end_of_chain, 0) + entry(name, 2, none, 2, len(stream))
    directory += entry("", 0, none, 0, 0) * 2
    return header + struct.pack("<128I", *fat) + directory + stream


PHONES_ODD: Final = (
    ("Имя", "Телефон"),
    ("Абонент 001", 79161234567.0),
    ("Абонент 002", "8 916 123-45-68; 067 123 45 67"),
    ("Абонент 003", "+7 916 123-45-69 доб. 12"),
    ("Абонент 004", "\u00a0+７９１６１２３４５７０\u00a0"),
    ("Абонент 005", "7,91612E+10"),
    ("Абонент 006", ""),
    ("Абонент 007", "12345"),
    ("Абонент 008", "8 916 123-45-67"),
)

#: File name → what is in it.
CORPUS: Final[dict[str, Callable[[], bytes]]] = {
    # read
    "plain.xlsx": lambda: xlsx(TABLE),
    "old.xls": lambda: xls(TABLE),
    "open.ods": lambda: ods(ods_rows(TABLE)),
    "plain.csv": lambda: text(TABLE),
    "comma.csv": lambda: text(TABLE, delimiter=","),
    "tabs.txt": lambda: text(TABLE, delimiter="\t"),
    "pipes.csv": lambda: text(TABLE, delimiter="|"),
    "sep_line.csv": lambda: b"sep=^\r\n" + text(TABLE, delimiter="^"),
    "bom.csv": lambda: text(TABLE, "utf-8-sig"),
    "cp1251.csv": lambda: text(TABLE, "cp1251"),
    "koi8.csv": lambda: text(TABLE, "koi8_u"),
    "dos.csv": lambda: text([[str(c).replace("і", "i").replace("ї", "i") for c in row] for row in TABLE], "cp866"),
    "utf16.csv": lambda: text(TABLE, "utf-16", "\t"),
    "utf16_without_bom.csv": lambda: text(TABLE, "utf-16-le", "\t"),
    "under_a_title.xlsx": under_a_title,
    "second_sheet.xlsx": lambda: xlsx((), TABLE),
    "hidden_sheet.xlsx": lambda: xlsx((("служебное", "12"),), TABLE, hidden=0),
    "no_header.csv": lambda: text(ROWS),
    "unknown_header.csv": lambda: text((("кто", "куда", "откуда"), *ROWS)),
    "line_break_in_cell.csv": lambda: text((HEADER, ('"Абонент\r\n001"', "12", "x"), *ROWS)),
    "odd_phones.xlsx": lambda: xlsx(PHONES_ODD),
    "dates.xlsx": lambda: xlsx(
        (("Телефон", "Дата"), ("067 123 45 67", dt.date(2026, 11, 22)), ("067 123 45 68", 46348))
    ),
    "duplicates.csv": lambda: text((HEADER, *ROWS, ("Абонент 004", "+7 916 123 45 67", "Москва"))),
    "formulas.csv": lambda: text(
        (HEADER, ("=cmd|' /C calc'!A0", "12", "@SUM(1)"), ("+79161234567", "x", "-2+3"), *ROWS)
    ),
    "names_in_parts.csv": lambda: text(
        (("Фамилия", "Имя", "Отчество", "Моб. телефон", "Тел. 2"), ("А", "Б", "В", "0671234567", "0671234568"))
    ),
    "zones.csv": lambda: text(
        (
            ("Телефон", "Часовой пояс", "Город", "Приоритет"),
            ("+79161234567", "Europe/Samara", "", "5"),
            ("+79161234568", "МСК+4", "", "-50"),
            ("+79161234569", "", "г. Екатеринбург", ""),
            ("+79161234560", "", "", ""),
            ("+380671234567", "", "", ""),
            ("+79161234561", "Луна", "", "высокий"),
            ("+79161234562", "", "", "51"),
        )
    ),
    "merged_and_calculated.xlsx": merged_and_calculated,
    "million_empty_rows.xlsx": million_empty_rows,
    "wrong_bom.csv": lambda: b"\xef\xbb\xbf" + text(TABLE, "cp1251"),
    "many_empty_rows.csv": lambda: text(TABLE) + b";;\r\n" * 100_000,
    # refused
    "nothing.csv": lambda: b"",
    "spaces.csv": lambda: b" \r\n\r\n  ",
    "no_cells.xlsx": lambda: xlsx(()),
    "header_only.csv": lambda: text((HEADER,)),
    "no_phones.csv": lambda: text((("Имя", "Город"), ("Абонент 001", "Москва"), ("Абонент 002", "Київ"))),
    "password.xlsx": lambda: ole2("EncryptedPackage", bytes(4096)),
    "password.xls": lambda: xls(TABLE, encrypted=True),
    "password.ods": lambda: ods("", encrypted=True),
    "web_page.xls": lambda: b"\xef\xbb\xbf<html><table><tr><td>067 123 45 67</td></tr></table></html>",
    "cut.xlsx": lambda: xlsx(TABLE)[:3000],
    "cut.xls": lambda: xls(TABLE)[:1200],
    "archive.xlsx": lambda: _archive("readme.txt"),
    "picture.csv": lambda: b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4,
    "noise.csv": lambda: bytes((n * 7919) % 255 + 1 for n in range(5000)),
    "binary.csv": lambda: bytes(range(256)) * 10,
    "wide.csv": lambda: text((["Телефон", *("x" * 300)],)),
    "corner.xlsx": one_cell_in_the_last_corner,
    "bomb.xlsx": zip_bomb,
    "repeated.ods": repeated_without_end,
}


def _archive(name: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(name, "x")
    return out.getvalue()


def write_corpus(directory: Path) -> None:
    """Write every file of the corpus."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, make in CORPUS.items():
        (directory / name).write_bytes(make())


if __name__ == "__main__":
    write_corpus(Path(sys.argv[1]))
