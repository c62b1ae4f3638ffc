"""Who watches which gauge, and when each is measured again."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator

from aetui import protocol as p
from aetui.engine import describe
from aetui.engine.measure import Gauges
from aetui.gauges.budget import Budget
from aetui.training.interface import Unknown

log = logging.getLogger(__name__)

GAUGE_SHARE = 0.02
"""Share of training time that gauges may take."""
UNWATCHED_SHARE = 0.005
"""The same while nobody looks: what is measured then is for the record and for whoever looks later."""
_GAUGE_PERIOD = 3.0
"""Seconds between two pictures of one pane while training: a picture costs a slow link several kB."""
_WATCHED_PERIOD = 0.1
_UNWATCHED_PERIOD = 1.0
_CHEAP = 0.5
"""Seconds that a pass of the probe rows may take, for the end of a run to wait for its verdict."""
_INTEREST = 3.0
"""Seconds for which a look counts as somebody watching."""

Gauge = p.Diagnosis | p.Variance | p.Code | p.Pairs | p.Layers


class Watch:
    """The gauges of one run: asked for from any thread, measured by the worker thread."""

    def __init__(self, gauges: Gauges) -> None:
        self._gauges = gauges
        self._budget = Budget(GAUGE_SHARE)
        self._published: dict[str, Gauge] = {}
        self._stale: set[str] = set()
        self._broken: dict[str, str] = {}
        """Why what can't be measured can't."""
        self._fitting = 0.0
        self._wanted: dict[str, float] = {}
        self._next: dict[str, float] = {}
        self._looked = 0.0
        self._sample = 0
        self.point: p.Point | None = None
        """The last measurement of explained variance and validation loss."""
        self.measuring = ""
        """What is being measured at this moment, '' for nothing."""
        self._troubles: list[str] = []

    # --- from any thread ------------------------------------------------------------------------

    def ask(self, look: p.Look) -> bool:
        """Take note of what a screen shows; True if something should be measured for it at rest."""
        self._looked = time.monotonic()
        for name in look.have:
            self._wanted[name] = self._looked
        if look.sample != self._sample:
            self._sample = look.sample
            self._stale.add("pairs")
        return any(name not in self._published or name in self._stale for name in look.have)

    def newer_than(self, have: dict[str, int], wanted: dict[str, int]) -> dict[str, Gauge]:
        """The published gauges among `wanted` whose version the screen does not have."""
        return {
            name: gauge for name in wanted if (gauge := self._published.get(name)) and gauge.version != have.get(name)
        }

    def unknown(self, wanted: Iterable[str]) -> dict[str, str]:
        """Why those gauges among `wanted` can't be measured that can't."""
        broken = self._broken
        return {name: why for name in wanted if (why := broken.get(name)) is not None}

    # --- from the worker thread -----------------------------------------------------------------

    @property
    def _is_watched(self) -> bool:
        return time.monotonic() - self._looked < _INTEREST

    @property
    def period(self) -> float:
        """Seconds between two rounds of work for the display."""
        return _WATCHED_PERIOD if self._is_watched else _UNWATCHED_PERIOD

    def watched(self) -> list[str]:
        """Gauges that a screen shows at present."""
        horizon = time.monotonic() - _INTEREST
        return [name for name in p.GAUGES if self._wanted.get(name, 0.0) > horizon]

    def missing(self) -> list[str]:
        """Watched gauges that are not of the present step."""
        return [
            name
            for name in self.watched()
            if name in self._stale or (name not in self._published and name not in self._broken)
        ]

    def fit(self) -> p.Point | None:
        """Explained variance and validation loss, now; None where they can't be measured."""
        self.measuring, began = "explained variance", time.perf_counter()
        try:
            self.point = self._gauges.fit()
        except Unknown as error:
            self._leave_out("fit", "explained variance", str(error))
            return None
        except Exception as error:
            log.exception("explained variance failed")
            self._leave_out("fit", "explained variance", describe.failure(error))
            return None
        finally:
            self.measuring = ""
        self._broken.pop("fit", None)
        self._fitting = time.perf_counter() - began
        return self.point

    @property
    def cheap(self) -> bool:
        """Whether the probe rows pass through the model so fast that nobody minds to wait for a few such passes."""
        return "fit" not in self._broken and 0 < self._fitting < _CHEAP

    def fit_if_due(self) -> p.Point | None:
        self._budget.share = GAUGE_SHARE if self._is_watched else UNWATCHED_SHARE
        if not self._budget.due("fit"):
            return None
        with self._budget.timed("fit"):
            return self.fit()

    def due(self) -> Iterator[str]:
        """Watched gauges whose time has come, within the budget; measure each before the next."""
        for name in self.watched():
            now = time.monotonic()
            if now >= self._next.get(name, 0.0) and self._budget.due(name):
                self._next[name] = now + _GAUGE_PERIOD
                with self._budget.timed(name):
                    yield name

    def measure(self, name: str) -> None:
        """Measure one gauge and publish it; one that fails is left out."""
        self._stale.discard(name)
        self.measuring = f"the {name} pane"
        try:
            self._published[name] = self._gauges.measure(name, self._sample)
        except Unknown as error:
            self._leave_out(name, self.measuring, str(error))
            return
        except Exception as error:
            log.exception("gauge %s failed", name)
            self._leave_out(name, self.measuring, describe.failure(error))
            return
        finally:
            self.measuring = ""
        self._broken.pop(name, None)

    def _leave_out(self, name: str, what: str, why: str) -> None:
        if name not in self._broken:
            self._broken[name] = why
            self._troubles.append(f"{what} can't be measured: {why}")

    def troubles(self) -> list[str]:
        """What could not be measured, each said once, since the last call."""
        found, self._troubles = self._troubles, []
        return found

    @property
    def diagnosis(self) -> p.Diagnosis | None:
        """The diagnosis as it was last published."""
        found = self._published.get("diagnosis")
        return found if isinstance(found, p.Diagnosis) else None

    def publish(self, name: str, gauge: Gauge) -> None:
        """Put a measurement where looks find it."""
        self._published[name] = gauge
        self._stale.discard(name)

    @property
    def gauges(self) -> Gauges:
        return self._gauges

    @property
    def has_updates(self) -> bool:
        """Whether any step's updates were measured."""
        return self._gauges.has_updates

    def remember_updates(self, updates: dict[str, float]) -> None:
        self._gauges.remember_updates(updates)

    def outdate(self) -> None:
        """The run has moved on: every gauge is of an earlier step."""
        self._stale.update(p.GAUGES)
