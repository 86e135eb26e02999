"""How far a transfer is: one line that is drawn over on a terminal, a line every ten seconds elsewhere."""

import time
from collections.abc import Callable

_TERMINAL_S, _PLAIN_S = 0.2, 10.0
_CLEAR = "\r\x1b[K"


class Progress:
    """Rows done, rate and time left, handed to `write` as text. Used by one thread."""

    def __init__(
        self,
        write: Callable[[str], object],
        *,
        is_terminal: bool,
        unit: str = "rows",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._write, self._is_terminal, self._unit, self._clock = write, is_terminal, unit, clock
        self._interval_s = _TERMINAL_S if is_terminal else _PLAIN_S
        self._began = self._shown = clock()
        self._first: tuple[int, float] | None = None

    def update(self, n_done: int, fraction: float | None, n_rejected: int = 0) -> None:
        """`n_done` rows of the source are behind us, the share `fraction` of it where that is known."""
        now = self._clock()
        if self._first is None:
            self._first = (n_done, fraction or 0.0)
        if now - self._shown < self._interval_s:
            return
        self._shown = now
        line = self._line(n_done, fraction, n_rejected, now - self._began)
        self._write(_CLEAR + line if self._is_terminal else line + "\n")

    def finish(self) -> None:
        """Leave the terminal's line empty."""
        if self._is_terminal:
            self._write(_CLEAR)

    def _line(self, n_done: int, fraction: float | None, n_rejected: int, took_s: float) -> str:
        first, first_fraction = self._first or (0, 0.0)
        parts = [f"{n_done:,} {self._unit}"]
        if fraction is not None:
            parts.append(f"{fraction:.0%}")
        parts.append(f"{(n_done - first) / max(took_s, 1e-9):,.0f}/s")
        if fraction is not None and fraction > first_fraction:
            parts.append(f"{duration(took_s * (1 - fraction) / (fraction - first_fraction))} left")
        if n_rejected:
            parts.append(f"{n_rejected:,} rejected")
        return ", ".join(parts)


def duration(seconds: float) -> str:
    """`0:07`, `12:30`, `3:05:00`."""
    minutes, rest = divmod(round(max(seconds, 0.0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
