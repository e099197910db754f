"""Music on hold of our own: a quiet tune, computed once, so that nobody's recording has to be shipped or licensed."""

import array
import io
import math
import wave
from pathlib import Path

RATE_HZ = 8_000
NOTE_S = 0.45
#: Far below a voice: it says that the line lives, and must not tire in minutes.
LOUDNESS = 0.12
#: Semitones above A3, three to a beat: A minor, F, C, G, and back.
TUNE = (0, 3, 7, 12, 7, 3, -4, 0, 3, 8, 3, 0, -9, -5, -2, 3, -2, -5, -2, 2, 5, 10, 5, 2)
ROUNDS = 4


def tune() -> bytes:
    """The tune as a WAV file: 8 kHz, 16 bits, one channel; it ends as it begins, so that it may go round and round."""
    samples = array.array("h")
    for note in TUNE * ROUNDS:
        hertz = 220.0 * 2 ** (note / 12)
        count = int(RATE_HZ * NOTE_S)
        for at in range(count):
            swell = math.sin(math.pi * at / count) ** 0.7
            wave_at = math.sin(2 * math.pi * hertz * at / RATE_HZ) + 0.3 * math.sin(4 * math.pi * hertz * at / RATE_HZ)
            samples.append(int(32_767 * LOUDNESS * swell * wave_at / 1.3))
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(samples.tobytes())
    return out.getvalue()


def keep_tune(folder: Path) -> None:
    """Have the tune in `folder`; music of your own beside it, or instead of it, is left alone."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not any(folder.glob("*.wav")):
        (folder / "zvonar.wav").write_bytes(tune())
