"""Hours and holidays of exchanges, from the library ``exchange_calendars`` where it is installed.

It brings pandas along (160 MB on disk, 75 MB in memory), hence the extra and the late import.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterable
from datetime import date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from ticker.hours import Interval

YEARS_KEPT = 8
"""Years of one exchange kept at once."""


class Exchange:
    """One exchange by its code, such as XNYS (ISO 10383).

    Raises ModuleNotFoundError without the library, LookupError for a code that it does not know,
    ValueError for one of which it cannot say anything.
    """

    def __init__(self, code: str) -> None:
        self._library: Any = importlib.import_module("exchange_calendars")
        if code not in self._library.get_calendar_names():
            raise LookupError(code)
        self._code = code
        self._year = lru_cache(YEARS_KEPT)(self._sessions)
        try:
            self.zone: tzinfo = ZoneInfo(str(self._calendar(date(2024, 1, 1), date(2024, 3, 1)).tz))
        except Exception:  # noqa: BLE001 - rules of some calendars raise whatever they run into
            raise ValueError(f"the library cannot say when {code} is open") from None

    def on(self, day: date) -> Iterable[Interval]:
        """Yield when the session of ``day`` is open.

        A year of which the library knows nothing yet counts as open: rather too many readings than
        none, and data that is old says so.
        """
        sessions = self._year(day.year)
        if sessions is None:
            days = (day, day + timedelta(days=1))
            begin, end = (datetime.combine(d, time(), self.zone).timestamp() for d in days)
            return [(begin, end)]
        return sessions.get(day, ())

    def _sessions(self, year: int) -> dict[date, list[Interval]] | None:
        try:
            calendar = self._calendar(date(year, 1, 1), date(year, 12, 31))
        except Exception:  # noqa: BLE001 - such as lunar holidays of later years; see above
            return None
        return {
            day.date(): list(zip(moments[::2], moments[1::2], strict=True))
            for day, row in calendar.schedule.iterrows()  # open, break_start, break_end, close
            if (moments := [float(moment.timestamp()) for moment in row.dropna()])
        }

    def _calendar(self, first: date, last: date) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pandas tells the library what it will not do later
            return self._library.get_calendar(self._code, start=first, end=last)
