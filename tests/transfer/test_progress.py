"""The line of progress: rows, share, rate, time left."""

from vdb.transfer import Progress
from vdb.transfer.progress import duration


def _lines(*, is_terminal: bool) -> list[str]:
    now, shown = [0.0], list[str]()
    progress = Progress(shown.append, is_terminal=is_terminal, clock=lambda: now[0])
    for step in range(0, 101, 10):
        now[0] = step / 2
        progress.update(1_000_000 + step * 1_000, 0.5 + step / 200, step // 10)
    progress.finish()
    return shown


def test_elsewhere_than_on_a_terminal_a_line_comes_every_ten_seconds() -> None:
    assert _lines(is_terminal=False) == [
        "1,020,000 rows, 60%, 2,000/s, 0:40 left, 2 rejected\n",
        "1,040,000 rows, 70%, 2,000/s, 0:30 left, 4 rejected\n",
        "1,060,000 rows, 80%, 2,000/s, 0:20 left, 6 rejected\n",
        "1,080,000 rows, 90%, 2,000/s, 0:10 left, 8 rejected\n",
        "1,100,000 rows, 100%, 2,000/s, 0:00 left, 10 rejected\n",
    ]


def test_a_terminal_has_one_line_that_is_drawn_over() -> None:
    lines = _lines(is_terminal=True)
    assert len(lines) == 11 and all(line.startswith("\r\x1b[K") and "\n" not in line for line in lines)
    assert lines[-1] == "\r\x1b[K"


def test_durations_read_like_a_clock() -> None:
    assert [duration(s) for s in (0.4, 65, 3_599.6, 36_000)] == ["0:00", "1:05", "1:00:00", "10:00:00"]
