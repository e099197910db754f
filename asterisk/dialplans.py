"""The dialplan files of the engine's Asterisk, name → text."""

import re
from pathlib import Path

_DIALPLAN = Path(__file__).parent.parent / "dialplan"
_AGI = re.compile(r"[A-Za-z0-9.-]{1,253}:[0-9]{1,5}")
_SOUND = re.compile(r"[A-Za-z0-9/._&-]{1,300}")

#: No message lasts longer; the engine's own clock over it (`engine.core.dialing.MESSAGE_MAX_MS`) runs out later.
MESSAGE_MAX_S = 80
# "I'm sorry. Nobody is available to take your call. Goodbye." It names no company, which the law may want.
_PACKAGED_MESSAGE = "im-sorry&vm-nobodyavail&vm-goodbye"


def engine_dialplan(
    *,
    app: str = "zvonar",
    message: str = "zvonar-sorry",
    call_max_s: int = 3600,
    shift_max_s: int = 43_200,
    message_max_s: int = MESSAGE_MAX_S,
    agi: str = "",
) -> dict[str, str]:
    """The engine's dialplan. `message` is heard by people whom nobody can take; a call's ZV_MESSAGE goes before it.

    `agi`: host:port of the FastAGI server that is asked while no engine is there; "" asks nobody.

    Sound names without ending, joined by `&`: `zvonar-sorry` (packaged), a name below Asterisk's sounds, or a path.
    """
    if not _SOUND.fullmatch(message):
        raise ValueError(f"message: {message[:60]!r} is not a list of sound names joined by &")
    if agi and not _AGI.fullmatch(agi):
        raise ValueError(f"agi: {agi[:60]!r} is not host:port")
    globals_text = f"""\
; Rendered by zvonar; changes here are lost at the next render.
[globals]
ZV_APP={app}
ZV_AGI={f"agi://{agi}" if agi else ""}
ZV_MESSAGE={message}
ZV_SORRY={_PACKAGED_MESSAGE}
ZV_AGENT_MESSAGE=im-sorry&please-try-again&vm-goodbye
ZV_REFUSED_MESSAGE=feature-not-avail-line
ZV_CALL_MAX_S={call_max_s}
ZV_SHIFT_MAX_S={shift_max_s}
ZV_MESSAGE_MAX_S={message_max_s}

#include zvonar.conf
"""
    return {
        "extensions.conf": globals_text,
        "zvonar.conf": (_DIALPLAN / "extensions.conf").read_text(encoding="utf-8"),
        "fallback.conf": (_DIALPLAN / "fallback.conf").read_text(encoding="utf-8"),
    }
