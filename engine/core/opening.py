"""When a campaign may call where, asked at every fetch of leads: hours that are shut are worked out once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from engine.core.attempts import opens_ms
from engine.core.model import Campaign

#: Sets of zones that are remembered; a country's numbers have a few dozen.
ZONE_SETS_MAX: Final = 1_000


class Opening:
    """`attempts.opens_ms` of one campaign: what opens at a later moment is shut until then and is not asked again."""

    def __init__(self, campaign: Campaign) -> None:
        self._campaign = campaign
        self._shut: dict[tuple[str, ...], tuple[int, int]] = {}  # since when, as far as known, and until when

    def __call__(self, zones: Sequence[str], at_ms: int) -> int | None:
        """The first moment from then on at which the hours let a call pass to who may be there; None: never."""
        key = tuple(zones)
        since_ms, until_ms = self._shut.get(key, (0, 0))
        if since_ms <= at_ms < until_ms:
            return until_ms
        found_ms = opens_ms(self._campaign, zones, at_ms)
        if found_ms is not None and found_ms > at_ms:
            if len(self._shut) >= ZONE_SETS_MAX:
                self._shut.clear()
            self._shut[key] = at_ms, found_ms
        return found_ms
