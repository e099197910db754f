"""The folder of recordings stays within its bounds."""

from __future__ import annotations

import os
from pathlib import Path

from engine.recordings import prune

NOW_MS = 1_763_971_200_000
DAY_MS = 86_400_000


def file(folder: Path, name: str, *, days_old: int, size: int = 100) -> Path:
    path = folder / f"{name}.wav"
    path.write_bytes(b"x" * size)
    changed_s = (NOW_MS - days_old * DAY_MS) / 1000
    os.utime(path, (changed_s, changed_s))
    return path


def test_what_is_too_old_goes_and_the_rest_stays(tmp_path: Path) -> None:
    old, new = file(tmp_path, "old", days_old=91), file(tmp_path, "new", days_old=89)
    other = tmp_path / "notes.txt"
    other.write_text("mine")
    assert prune(tmp_path, keep_ms=90 * DAY_MS, bytes_max=1_000, now_ms=NOW_MS) == [old]
    assert new.exists()
    assert other.exists()


def test_beyond_the_room_the_oldest_go_first(tmp_path: Path) -> None:
    files = [file(tmp_path, f"{days}", days_old=days) for days in (3, 2, 1)]
    assert prune(tmp_path, keep_ms=90 * DAY_MS, bytes_max=250, now_ms=NOW_MS) == files[:1]


def test_a_conversation_that_is_being_recorded_is_never_deleted(tmp_path: Path) -> None:
    file(tmp_path, "now", days_old=0, size=1_000)
    assert prune(tmp_path, keep_ms=90 * DAY_MS, bytes_max=10, now_ms=NOW_MS) == []


def test_a_folder_that_is_not_there_yet_is_empty(tmp_path: Path) -> None:
    assert prune(tmp_path / "none", keep_ms=1, bytes_max=1, now_ms=NOW_MS) == []
