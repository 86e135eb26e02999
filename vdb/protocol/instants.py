"""Datetimes: RFC 3339 text to instants in nanoseconds since 1970-01-01T00:00:00Z.

Accepted is the `date-time` of RFC 3339 §5.6: an offset is required; `t`, `z` and a space in place of `T` are allowed;
digits after the ninth of a fraction are dropped. Not accepted: the year 0000 and leap seconds (`:60`).
"""

import re
from datetime import date

_RFC3339 = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([01][0-9]|2[0-3]):([0-5][0-9]):([0-5][0-9])(?:\.([0-9]+))?"
    r"(?:[Zz]|([+-])([01][0-9]|2[0-3]):([0-5][0-9]))"
)
_EPOCH_DAY = date(1970, 1, 1).toordinal()


def parse_instant(text: str) -> int | None:
    """Nanoseconds since 1970-01-01T00:00:00Z, or None if `text` is not a datetime with an offset."""
    found = _RFC3339.fullmatch(text)
    if found is None:
        return None
    year, month, day, hour, minute, second, fraction, sign, offset_hour, offset_minute = found.groups()
    try:
        days = date(int(year), int(month), int(day)).toordinal() - _EPOCH_DAY
    except ValueError:  # the 30th of February, or the year 0
        return None
    seconds = days * 86_400 + int(hour) * 3600 + int(minute) * 60 + int(second)
    if sign is not None:
        offset_s = int(offset_hour) * 3600 + int(offset_minute) * 60
        seconds += offset_s if sign == "-" else -offset_s
    return seconds * 1_000_000_000 + (int(fraction[:9].ljust(9, "0")) if fraction else 0)
