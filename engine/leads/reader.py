"""A lead file read and decided in a process of its own.

The file comes from strangers. A few kilobytes can unfold into gigabytes (zip bombs, one cell in the last corner of a
sheet, rows repeated without end), so a child does the work that may use `MEMORY_BYTES_MAX` and `CPU_SECONDS_MAX`, and
streams one JSON value a line: the layout, then each row's verdict, or why there are none. Whatever happens to the
child, the parent gets verdicts or `Refused`. Calls go on meanwhile: reading numbers is a processor's work, and here it
holds up no one's interpreter but the child's.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any, Final

import orjson

from engine.core.model import PhoneNumber
from engine.leads.columns import SAMPLE_ROWS_MAX, Column, Layout, Meaning, Role, recognise
from engine.leads.plan import ImportRow, RejectedRow, plan_import
from engine.leads.sheets import Cell, Refused, RefusedReason, Row, read
from engine.phones import Numbering
from engine.store.rows import ImportReject

ROWS_MAX: Final = 1_000_000
MEMORY_BYTES_MAX: Final = 2 * 1024 * 1024 * 1024
CPU_SECONDS_MAX: Final = 600
#: The child gives way to whoever talks to customers.
NICENESS: Final = 5


@dataclass(frozen=True, slots=True)
class LeadFile:
    """An open lead file: its layout, and what becomes of each row, read once and as it is asked for."""

    layout: Layout
    header: list[Cell]
    verdicts: Iterator[ImportRow | RejectedRow]


@contextmanager
def open_lead_file(path: Path, meaning: Meaning) -> Iterator[LeadFile]:
    """Read a file's layout, then its rows. Raises Refused, also while rows are read."""
    # -I: neither the environment nor the working directory decides which code reads the file.
    where = [str(Path(__file__).parents[2]), *sys.path]
    boot = f"import sys; sys.path[:0] = {where!r}; from engine.leads.reader import main; main()"
    command = [sys.executable, "-I", "-c", boot, str(path.absolute()), orjson.dumps(meaning).decode()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        assert child.stdout is not None
        lines = _received(child, child.stdout)
        try:
            first = next(lines)
            yield LeadFile(_layout(first["layout"]), first["header"], map(_verdict, lines))
        finally:
            child.kill()


def _received(child: subprocess.Popen[bytes], lines: IO[bytes]) -> Iterator[dict[str, Any]]:
    for line in lines:
        value = orjson.loads(line)
        if name := value.get("refused"):
            raise Refused(RefusedReason[name])
        yield value
    code = child.wait()
    if code < 0:
        # Killed by its limits, or aborted when memory ran out.
        raise Refused(RefusedReason.UNPACKS_TOO_LARGE)
    if code > 0:
        raise Refused(RefusedReason.DAMAGED)


def _layout(value: dict[str, Any]) -> Layout:
    columns = tuple(Column(**{**column, "role": Role(column["role"])}) for column in value["columns"])
    return Layout(columns, value["header_row"])


def _verdict(value: dict[str, Any]) -> ImportRow | RejectedRow:
    if "problems" in value:
        return RejectedRow(
            value["line"], value["cells"], tuple(ImportReject(**problem) for problem in value["problems"])
        )
    value["phones"] = tuple(PhoneNumber(**phone) for phone in value["phones"])
    return ImportRow(**value)


# ── the child ────────────────────────────────────────────────────────────────────────────────────────────────────


def main() -> None:
    """Limit ourselves, then write layout and verdicts, or why there are none."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS_MAX, CPU_SECONDS_MAX))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.nice(NICENESS)
    meaning = orjson.loads(sys.argv[2])
    numbering = Numbering(**{key: tuple(value) for key, value in meaning["numbering"].items()})
    fields = {key: tuple(names) for key, names in meaning["fields"].items()}
    out = sys.stdout.buffer
    try:
        for value in decide(Path(sys.argv[1]), Meaning(numbering=numbering, fields=fields)):
            out.write(orjson.dumps(value) + b"\n")
    except Refused as refused:
        out.write(orjson.dumps({"refused": refused.reason.name}) + b"\n")
    except MemoryError:
        out.write(orjson.dumps({"refused": RefusedReason.UNPACKS_TOO_LARGE.name}) + b"\n")
    out.flush()


def decide(path: Path, meaning: Meaning) -> Iterator[dict[str, Any] | ImportRow | RejectedRow]:
    """The layout and the header, then each row's verdict. Raises Refused."""
    rows = read(path)
    sample = list(islice(rows, SAMPLE_ROWS_MAX))
    if not sample:
        raise Refused(RefusedReason.EMPTY)
    layout = recognise(sample, meaning)
    if not layout.of(Role.PHONE):
        raise Refused(RefusedReason.NO_PHONE_COLUMN)
    if sample[-1][0] <= layout.header_row:
        raise Refused(RefusedReason.NO_ROWS)
    yield {"layout": layout, "header": next((cells for line, cells in sample if line == layout.header_row), [])}
    yield from plan_import(_no_more_than(ROWS_MAX, chain(sample, rows)), layout, meaning)


def _no_more_than(rows_max: int, rows: Iterable[Row]) -> Iterator[Row]:
    for count, row in enumerate(rows):
        if count > rows_max:
            raise Refused(RefusedReason.TOO_MANY_ROWS)
        yield row
