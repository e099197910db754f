"""A lead file read and decided in a process of its own.

The file comes from strangers. A few kilobytes can unfold into gigabytes (zip bombs, one cell in the last corner of a
sheet, rows repeated without end), so a child does the work that may use `MEMORY_BYTES_MAX` and `CPU_SECONDS_MAX`, and
streams one JSON value a line: the layout, how many rows there are, then the rows in pieces as the store takes them, or
why there are none. It reads the file twice: what refuses a file as a whole is known before the first row is decided.
Whatever happens to the child, the parent gets pieces or `Refused`. Calls go on meanwhile: reading numbers is a
processor's work, and here it holds up no one's interpreter but the child's.
"""

from __future__ import annotations

import gc
import os
import resource
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any, Final

import orjson

from engine.core.model import PhoneType
from engine.leads.columns import NOTHING_CHOSEN, SAMPLE_ROWS_MAX, Choice, Column, Layout, Meaning, Role, recognise
from engine.leads.plan import ImportRow, RejectedRow, mend, plan_import
from engine.leads.sheets import Cell, Refused, RefusedReason, Row, count, read
from engine.phones import Numbering
from engine.store import imports
from engine.store.imports import Piece, piece_of
from engine.store.rows import ImportReject

ROWS_MAX: Final = 5_000_000
MEMORY_BYTES_MAX: Final = 2 * 1024 * 1024 * 1024
CPU_SECONDS_MAX: Final = 600
#: The child is ahead by so much: some pieces, so that neither waits for the other.
PIPE_BYTES: Final = 1 << 20
#: First rows as they stand, for people to look at.
SHOWN_ROWS_MAX: Final = 20
#: The child gives way to whoever talks to customers.
NICENESS: Final = 5


@dataclass(frozen=True, slots=True)
class FilePiece:
    """Some rows of a file: the good ones as the store takes them, the bad ones as they stand."""

    piece: Piece
    bad: tuple[RejectedRow, ...]


@dataclass(frozen=True, slots=True)
class LeadFile:
    """An open lead file: its layout, and what becomes of its rows, read once and as it is asked for."""

    layout: Layout
    header: list[Cell]
    first_rows: list[Row]
    rows_total: int  # with the header and what stands above it
    pieces: Iterator[FilePiece]


@contextmanager
def open_lead_file(
    path: Path, meaning: Meaning, choice: Choice = NOTHING_CHOSEN, *, only_look: bool = False
) -> Iterator[LeadFile]:
    """Read a file's layout, then its rows. Raises Refused; in practice not once rows are being read.

    `only_look`: what a person needs to say what the columns are, quickly; no row is decided, none need be good.
    """
    # -I: neither the environment nor the working directory decides which code reads the file.
    where = [str(Path(__file__).parents[2]), *sys.path]
    boot = f"import sys; sys.path[:0] = {where!r}; from engine.leads.reader import main; main()"
    command = [sys.executable, "-I", "-c", boot, str(path.absolute())]
    with subprocess.Popen(
        command,
        PIPE_BYTES,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        pipesize=PIPE_BYTES,
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        with suppress(BrokenPipeError), child.stdin:  # a child that died at once is told of below
            child.stdin.write(orjson.dumps([meaning, choice, only_look, imports.PIECE_MAX]))
        lines = received(child, child.stdout)
        try:
            first = next(lines)
            yield LeadFile(
                layout=_layout(first["layout"]),
                header=first["header"],
                first_rows=[(number, cells) for number, cells in first["first_rows"]],
                rows_total=first["rows_total"],
                pieces=map(_piece, lines),
            )
        finally:
            child.kill()


def received(child: subprocess.Popen[bytes], lines: IO[bytes]) -> Iterator[dict[str, Any]]:
    """What the child says, line by line. Raises Refused when it says so, and when it ends before its time."""
    for line in lines:
        if not line.endswith(b"\n"):
            break  # it died in the middle of a word
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
    columns = tuple(
        Column(**{**column, "role": Role(column["role"]), "type": PhoneType(column["type"])})
        for column in value["columns"]
    )
    return Layout(columns, value["header_row"])


def _told(rows: Sequence[ImportRow | RejectedRow]) -> dict[str, Any]:
    """As `_piece` takes it."""
    bad = [row for row in rows if isinstance(row, RejectedRow)]
    good = [row for row in rows if isinstance(row, ImportRow)]
    piece = piece_of(good, first=rows[0].line, last=rows[-1].line)
    return {"piece": piece, "bad": [(row.line, row.cells, row.problems) for row in bad]}


def _piece(told: dict[str, Any]) -> FilePiece:
    bad = tuple(
        RejectedRow(line, cells, tuple(ImportReject(**problem) for problem in problems))
        for line, cells, problems in told["bad"]
    )
    rejects = tuple(problem for row in bad for problem in row.problems)
    said = told["piece"]
    twice = tuple((line, tuple(numbers)) for line, numbers in said["twice"])
    return FilePiece(Piece(**{**said, "twice": twice, "rejects": rejects}), bad)


# ── the child ────────────────────────────────────────────────────────────────────────────────────────────────────


def main() -> None:
    """Limit ourselves, then write layout and verdicts, or why there are none."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS_MAX, CPU_SECONDS_MAX))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.nice(NICENESS)
    gc.disable()  # nothing here is a cycle, and looking for them takes a fifth of the time
    told, choice, only_look, piece_max = orjson.loads(sys.stdin.buffer.read())
    numbering = Numbering(**{key: tuple(value) for key, value in told["numbering"].items()})
    fields = {key: tuple(names) for key, names in told["fields"].items()}
    meaning = Meaning(numbering=numbering, fields=fields, agents=told["agents"])
    out = sys.stdout.buffer
    try:
        opened, verdicts = decide(Path(sys.argv[1]), meaning, Choice(**choice), only_look=only_look)
        out.write(orjson.dumps(opened) + b"\n")
        while rows := list(islice(verdicts, piece_max)):
            out.write(orjson.dumps(_told(rows)) + b"\n")
    except Refused as refused:
        out.write(orjson.dumps({"refused": refused.reason.name}) + b"\n")
    except MemoryError:
        out.write(orjson.dumps({"refused": RefusedReason.UNPACKS_TOO_LARGE.name}) + b"\n")
    out.flush()


def decide(
    path: Path, meaning: Meaning, choice: Choice = NOTHING_CHOSEN, *, only_look: bool = False
) -> tuple[dict[str, Any], Iterator[ImportRow | RejectedRow]]:
    """What stands above the rows, then each row's verdict. Raises Refused, before the first of them."""
    rows = read(path)
    sample = list(islice(rows, SAMPLE_ROWS_MAX))
    if not sample:
        raise Refused(RefusedReason.EMPTY)
    layout = recognise(sample, meaning, choice)
    rows_total = len(sample)
    if not only_look:
        if not layout.of(Role.PHONE):
            raise Refused(RefusedReason.NO_PHONE_COLUMN)
        if sample[-1][0] <= layout.header_row:
            raise Refused(RefusedReason.NO_ROWS)
        rows_total = count(path, ROWS_MAX + 1)
        if rows_total > ROWS_MAX:
            raise Refused(RefusedReason.TOO_MANY_ROWS)
    opened = {
        "layout": layout,
        "header": next((cells for line, cells in sample if line == layout.header_row), []),
        "first_rows": [row for row in sample if row[0] > layout.header_row][:SHOWN_ROWS_MAX],
        "rows_total": rows_total,
    }
    if only_look:
        return opened, iter(())
    body = mend(read(path), choice.mended) if choice.mended else read(path)
    return opened, plan_import(body, layout, meaning, choice.defaults)
