"""Make examples/leads.xlsx: 200 invented leads on the demo carrier's number plan, most of whom answer.

    python -m scripts.make_example_leads [FILE]

The last two digits of a number choose its fate (docs/number-plan.md). The file is the same at every run.
"""

from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path

import xlsxwriter

LEADS_COUNT = 200
#: Endings and how many of each twenty leads have them: a lively day, in which most people answer.
ENDINGS = (
    *("01", "02", "02", "02", "03", "04", "05", "07"),  # answer: at once, soon, talk long, briefly, late, announced
    *("02", "03", "04", "02", "03", "02"),
    *("20", "30", "30", "31", "10", "50"),  # busy, unanswered twice, out of reach, voicemail, declines
)
RARE = {37: "40", 77: "08", 117: "22", 157: "60"}  # a dead number, hangs up at once, busy after ringing, overload
CITIES_RU = ("Москва", "Самара", "Екатеринбург", "Новосибирск", "Казань")
CITIES_UK = ("Київ", "Львів", "Одеса", "Харків", "Дніпро")
PRODUCTS_RU = ("Вода 19 л", "Кулер", "Курс английского", "Доставка еды")
PRODUCTS_UK = ("Вода 19 л", "Кулер", "Курс англійської", "Доставка їжі")
TITLES = ("№", "Имя", "Телефон", "Дополнительный телефон", "Город", "Продукт", "Приоритет", "Комментарий")


def main() -> None:
    """Write the file."""
    path = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parents[1] / "examples/leads.xlsx")
    with xlsxwriter.Workbook(str(path)) as book:
        # The same bytes at every run.
        book.set_properties({"title": "Zvonar", "created": dt.datetime(2026, 1, 1, tzinfo=dt.UTC).replace(tzinfo=None)})
        sheet = book.add_worksheet("Лиды")
        sheet.freeze_panes(1, 0)
        bold = book.add_format({"bold": True})
        for column, (title, width) in enumerate(zip(TITLES, (5, 16, 22, 24, 16, 20, 10, 30), strict=True)):
            sheet.set_column(column, column, width)
            sheet.write(0, column, title, bold)
        for number in range(1, LEADS_COUNT + 1):
            for column, value in enumerate(lead(number)):
                if value is not None:
                    sheet.write(number, column, value)


def lead(number: int) -> tuple[object, ...]:
    """One row: Russian and Ukrainian leads in turn, numbers in the forms that people write."""
    ukrainian = number % 2 == 0
    ending = RARE.get(number) or ENDINGS[(number * 7) % len(ENDINGS)]
    kind = number // 2
    return (
        number,
        f"Абонент {number:03}" if not ukrainian else f"Абонент {number:03} (укр)",
        _written(f"7000{number:05}{ending}", number),
        # Who has a second number is out of reach by the first one at times.
        _written(f"7000{number + 500:05}02", number + 1) if number % 10 == 0 else None,
        (CITIES_UK if ukrainian else CITIES_RU)[kind % 5],
        (PRODUCTS_UK if ukrainian else PRODUCTS_RU)[kind % 4],
        10 if number % 25 == 0 else None,
        None if number % 8 else ("Передзвонити ввечері" if ukrainian else "Интересовался доставкой"),
    )


def _written(digits: str, form: int) -> object:
    code, first, second, third = digits[1:4], digits[4:7], digits[7:9], digits[9:]
    match form % 5:
        case 0:
            return f"+7 {code} {first}-{second}-{third}"
        case 1:
            return f"8 ({code}) {first}-{second}-{third}"
        case 2:
            return int(digits)
        case 3:
            return f"+{digits}"
        case _:
            return f"8{code}{first}{second}{third}"


if __name__ == "__main__":
    main()
