"""Which message the queue of a dialed number has now, from config.yaml: the engine is not there to say so."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from engine.config import Loaded, load
from engine.core import hours
from engine.phones import DEFAULT_NUMBERING, Numbering, carried_phone


@dataclass(frozen=True, slots=True)
class Message:
    """A sound, and whether the queue takes calls at this hour."""

    sound: str
    open: bool


def numbering_of(config: Path | None) -> Numbering:
    """How numbers are read by that file; as usual where it is none, or cannot be read."""
    loaded = load(config) if config is not None else None
    return _numbering(loaded) if isinstance(loaded, Loaded) else DEFAULT_NUMBERING


def _numbering(loaded: Loaded) -> Numbering:
    return Numbering(loaded.config.numbering.regions, loaded.config.numbering.allow)


def message_now(config: Path, dialed: str, now_ms: int) -> Message | None:
    """What the caller of that number of ours hears; None where no queue has it, or config.yaml cannot be read."""
    loaded = load(config)
    if not isinstance(loaded, Loaded):
        return None
    number = carried_phone(dialed, _numbering(loaded))
    ours = number.e164 if number is not None else ""
    queue = next((q for q in loaded.policy.queues.values() if ours in q.numbers), None)
    if queue is None:
        return None
    is_open = isinstance(hours.window(None, queue.hours, now_ms), hours.Open)
    return Message(queue.overflow_message if is_open else queue.closed_message, is_open)
