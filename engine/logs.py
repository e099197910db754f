"""Log lines: one JSON object each for machines, a readable line for a person, sentences for a newcomer."""

from __future__ import annotations

import datetime as dt
import logging
import sys
from collections.abc import Mapping
from typing import IO, Any, Final

import orjson

#: What every record has; the rest came by `extra=`.
_OWN: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def set_up(stream: IO[str] | None = None, *, sentences: Mapping[str, str] | None = None) -> None:
    """Send log lines to standard error, as JSON unless a person reads there.

    `sentences` are for who tries the demo: by event, with what it carries in braces. Of other events they read only
    what went wrong, and never JSON.
    """
    out = stream or sys.stderr
    handler = logging.StreamHandler(out)
    if sentences is not None:
        newcomers = _ForNewcomers(sentences)
        handler.addFilter(newcomers.concerns)
        handler.setFormatter(newcomers)
    else:
        handler.setFormatter(_ForPeople() if out.isatty() else _ForMachines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for library in ("watchfiles", "panoramisk"):  # what changed in config.yaml, and of AMI's link, we say ourselves
        logging.getLogger(library).setLevel(logging.WARNING)


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    return {key: value for key, value in vars(record).items() if key not in _OWN}


class _ForMachines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            "logger": record.name,
            **_extra(record),
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


class _ForPeople(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        at = dt.datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        level = "" if record.levelno <= logging.INFO else f"{record.levelname.lower()}: "
        extra = " ".join(f"{key}={value}" for key, value in _extra(record).items())
        line = f"{at} {level}{record.getMessage()}" + (f"  ({extra})" if extra else "")
        return line + ("\n" + self.formatException(record.exc_info) if record.exc_info else "")


class _ForNewcomers(_ForPeople):
    def __init__(self, sentences: Mapping[str, str]) -> None:
        super().__init__()
        self._sentences = sentences

    def concerns(self, record: logging.LogRecord) -> bool:
        return record.levelno >= logging.WARNING or record.getMessage() in self._sentences

    def format(self, record: logging.LogRecord) -> str:
        sentence = self._sentences.get(record.getMessage())
        return super().format(record) if sentence is None else sentence.format_map(_extra(record))
