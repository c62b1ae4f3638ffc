"""The course of an experiment: its forks are planned, trained beside each other, judged, and the winner is held."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
from msgspec.structs import replace

from aetui.report import BOUNDED, MODES
from aetui.spec import changed, dumps
from aetui.training.lengths import goal_of
from aetui.whatif import choice, judging
from aetui.whatif.experiment import ENDED, SYMPTOMS, WHOLE, Change, Experiment, Figures, Fork, Seeded
from aetui.whatif.forks import At, Ended, Horizon, Job, News, Saved, grid
from aetui.whatif.source import Source, budget, devices_of
from aetui.whatif.workers import Pool

log = logging.getLogger(__name__)

_LONGER = 4
"""Times the steps that were asked for up to which a change of the length of the training is tried."""


class Trial:
    """One experiment. `run` and `hold` yield it anew whenever something has happened; `cancel` ends it.

    Used by one thread, but for `cancel`.
    """

    def __init__(
        self, source: Source, *, edits: Iterable[Mapping[str, str]] = (), remedies: bool = True, draws: int = 1,
        combine: bool = True, steps: int | None = None, forks: int = choice.FORKS, seed: int = 0,
        pool: Callable[..., Pool] = Pool,
    ) -> None:  # fmt: skip
        """edits: the user's own, each the settings of one fork as text by path. remedies: whether those of the source's
        report are tried. draws: of random search. combine: whether the two best are tried together. steps: that each
        fork trains, None for as many as it takes. forks: of the experiment at most; the user's own edits are tried
        however many they are. seed: of the random search. pool: what trains them, made of the checkpoint, `threads`
        and `devices`.

        Raises:
            SpecError: an edit is refused, or changes nothing.
        """
        self.source = source
        spec = source.spec
        own = choice.edits_of(spec, edits)
        changes, described = choice.remedies_of(spec, source.report if remedies else None)
        generator = np.random.default_rng(seed)
        drawn = [choice.random_change(spec, generator) for _ in range(draws)]
        # Two controls, and a place for the combination of the two best.
        room = max(0, forks - 3 - len(own) - len(drawn))
        chosen = [*changes[:room], *own, *drawn]
        self._asked = steps
        length = budget(source, steps)
        full = source.step + length
        symptom, bounded = _symptom(source)
        yardstick = source.yardstick()
        base = source.report.explained_variance.whole if source.report is not None else None
        self.experiment = Experiment(
            run=source.name,
            spec=dumps(spec),
            step=source.step,
            half=source.step + length // 2,
            full=full,
            symptom=symptom,
            target=yardstick.target(symptom, base, bounded),
            linear=yardstick.linear(),
            stored=source.folder is not None,
            threads=source.threads,
            described=tuple(described),
            note=_note(changes[room:]),
            began=time.time(),
        )
        anew = any(not change.live for change in chosen)
        for name, start, change in choice.controls(source.step, anew=anew, tweaked=source.tweaked):
            self._plan(name, change, start)
        for name, change in choice.named(chosen):
            self._plan(name, change)
        self._forks, self._hired, self._combines = forks, pool, combine
        self._pool: Pool | None = None
        self._cancelled = False
        self._reasons: dict[str, str] = {}
        """Why forks were told to leave off."""

    # --- planning -------------------------------------------------------------------------------

    def _plan(self, name: str, change: Change, start: int | None = None) -> None:
        """Add a fork, which waits."""
        at = (self.source.step if change.live else 0) if start is None else start
        fork = Fork(name=name, change=change, start=at, step=at, end=self._end(change))
        self.experiment = replace(self.experiment, forks=(*self.experiment.forks, fork))

    def _end(self, change: Change) -> int:
        """Step up to which a fork trains: the full horizon, or its own end where its change is a longer training, as
        far as the steps that were asked for let it."""
        full, start = self.experiment.full, self.experiment.step
        longer = any(setting.path in choice.LENGTH for setting in change.settings)
        if not longer:
            return full
        train, trainer = changed(self.source.spec, change.values, text=True).train, self.source.trainer
        end = max(full, goal_of(train, len(trainer.train_data), trainer.batches.least) or 0)
        return end if self._asked is None else min(end, start + _LONGER * (full - start))

    def job(self, fork: Fork) -> Job:
        """What a worker has to train for a fork."""
        source, x = self.source, self.experiment
        # A change of the length of the run is in the spec: the schedule has to know it.
        spec, values = source.spec, fork.change.values
        continues = source.saved is not None and fork.start == source.step and fork.change.live
        return Job(
            name=fork.name,
            spec=spec if continues else changed(spec, values, text=True),
            continues=continues,
            changes=values if continues else {},
            change_at=fork.start,
            end=fork.end,
            half=x.half,
            full=x.full,
            grid=(*grid(fork.start, x.full, x.half, x.step), *_beyond(x, fork.end)),
            reorder=int(fork.change.origin == "reordered"),
            threads=x.threads,
        )

    # --- running --------------------------------------------------------------------------------

    def run(self) -> Iterator[Experiment]:
        """Train all forks; the experiment whenever there is news, the last time when it is over."""
        began = time.perf_counter()
        combined = False
        with self._hire(self.source.saved) as pool:
            pool.add(self.job(fork) for fork in self.experiment.forks)
            for news in pool.news():
                self._take(news)
                self._mark_running()
                if isinstance(news, Ended) and self._combines and not combined and self.experiment.over:
                    combined = True
                    self._combine()
                self._finish(began)
                yield self.experiment
        if self._cancelled:
            self._give_up()
        self._say_what_is_random()
        self._finish(began)
        yield self.experiment

    def _hire(self, saved: Saved | None) -> Pool:
        source = self.source
        pool = self._hired(saved, threads=source.threads, devices=devices_of(source.trainer.device))
        self._pool = pool
        # It may have been cancelled before there was anything to close.
        if self._cancelled:
            pool.close()
        return pool

    def cancel(self) -> None:
        """End all processes; from any thread, or a signal handler."""
        self._cancelled = True
        if self._pool is not None:
            self._pool.close()

    def _finish(self, began: float) -> None:
        self.experiment = replace(judging.judged(self.experiment), seconds=time.perf_counter() - began)

    def _take(self, news: News) -> None:
        fork = self.experiment.fork(news.name)
        match news:
            case At():
                curve = (
                    fork.curve if fork.curve and fork.curve[-1].step >= news.point.step else (*fork.curve, news.point)
                )
                fork = replace(fork, curve=curve, step=news.point.step, status="running")
            case Horizon():
                fork = replace(fork, full=news.figures) if news.full else replace(fork, half=news.figures)
            case Ended():
                why = news.why or self._reasons.get(news.name, "")
                fork = replace(
                    fork, status=news.status, step=max(news.step, fork.start), why=why, weights=news.weights,
                    seconds=news.seconds,
                )  # fmt: skip
        self._put(fork)
        if isinstance(news, At) and not fork.control and news.name not in self._reasons:
            x = self.experiment
            why = judging.hopeless(fork, x.forks, x.symptom, x.full)
            if why and self._pool is not None:
                self._reasons[fork.name] = why
                self._pool.leave(fork.name)

    def _put(self, fork: Fork) -> None:
        forks = tuple(fork if one.name == fork.name else one for one in self.experiment.forks)
        self.experiment = replace(self.experiment, forks=forks)

    def _mark_running(self) -> None:
        running = self._pool.running() if self._pool is not None else set()
        for fork in self.experiment.forks:
            if fork.status == "waiting" and fork.name in running:
                self._put(replace(fork, status="running"))

    def _combine(self) -> None:
        """Try the two best together, where none of the changes fixes the run alone."""
        x = self.experiment = judging.judged(self.experiment)
        if len([fork for fork in x.forks if fork.change.origin != "user"]) >= self._forks:
            return
        change = choice.combination(self.source.spec, x.forks, x.symptom)
        if change is None or self._pool is None:
            return
        ((name, change),) = choice.named([change], [fork.name for fork in x.forks])
        self._plan(name, change)
        self._pool.add([self.job(self.experiment.forks[-1])])

    def _say_what_is_random(self) -> None:
        x = self.experiment
        one, other = judging.controls(x.forks, x.step)
        if one is not None and other is not None and one.weights and one.weights == other.weights:
            same = "the two controls are the same: with full batches and without noise nothing is drawn at random"
            self.experiment = replace(x, note="; ".join(filter(None, (x.note, same))))

    def _give_up(self) -> None:
        forks = (
            fork if fork.status in ENDED else replace(fork, status="cancelled", why="cancelled")
            for fork in self.experiment.forks
        )
        self.experiment = replace(self.experiment, forks=tuple(forks), note="cancelled before it was over")

    # --- holding --------------------------------------------------------------------------------

    def hold(self, seeds: int) -> Iterator[Experiment]:
        """Train the winner and the run without a change anew with `seeds` other seeds each; the experiment as it comes.

        Nothing is done where no fork won.
        """
        best = judging.winner(self.experiment)
        if best is None or self._cancelled:
            return
        began = time.perf_counter() - self.experiment.seconds
        self.experiment = replace(self.experiment, held=best.name, seeds=())
        first = self.source.spec.train.seed + 1
        jobs = {f"{which} {seed}": self._seeded(best, which, seed % 2**32)
                for seed in range(first, first + seeds) for which in ("untouched", "winner")}  # fmt: skip
        found: dict[str, Figures] = {}
        with self._hire(None) as pool:
            pool.add(jobs.values())
            for news in pool.news():
                if isinstance(news, Horizon) and news.full:
                    found[news.name] = news.figures
                if isinstance(news, Ended):
                    self._hold_so_far(best, range(first, first + seeds), found)
                    self._finish(began)
                    yield self.experiment
        if self._cancelled:
            self.experiment = replace(self.experiment, note="cancelled before all seeds were through")
        yield self.experiment

    def _seeded(self, best: Fork, which: str, seed: int) -> Job:
        source, x = self.source, self.experiment
        spec = changed(source.spec, {"train.seed": seed})
        values = best.change.values if which == "winner" else {}
        live = best.change.live and x.step > 0
        return Job(
            name=f"{which} {seed}",
            spec=spec if live else changed(spec, values, text=True),
            changes=values if live else {},
            change_at=x.step if live else 0,
            end=best.end,
            half=x.half,
            full=x.full,
            threads=x.threads,
        )

    def _hold_so_far(self, best: Fork, seeds: Iterable[int], found: Mapping[str, Figures]) -> None:
        x = self.experiment
        pairs = [(seed, found.get(f"untouched {seed}"), found.get(f"winner {seed}")) for seed in seeds]
        band = judging.band(x.forks, best.start, x.symptom)
        noise = judging.LEAST if band is None else band.noise
        held = tuple(
            Seeded(seed=seed, untouched=without, winner=with_it, holds=_holds(best, without, with_it, x, noise))
            for seed, without, with_it in pairs
            if without is not None and with_it is not None
        )
        self.experiment = replace(x, seeds=held)


def _holds(best: Fork, without: Figures, with_it: Figures, x: Experiment, noise: float) -> bool:
    """Whether the winner does with another seed what it did with the run's own."""
    gained = judging.standing(with_it, x.symptom) - judging.standing(without, x.symptom) > noise
    if best.verdict != "fixes it":
        return gained
    return judging.mended(with_it, x.symptom, x.target) and gained


def _beyond(x: Experiment, end: int) -> tuple[int, ...]:
    """Points of a curve beyond the full horizon, for a fork that trains longer."""
    space = max(1, (x.full - x.step) // 8)
    return tuple(range(x.full + space, end, space))


def _symptom(source: Source) -> tuple[str, bool]:
    """What is judged by itself, and whether the verdict objects to the bounds of the outputs alone."""
    found = source.report.symptom if source.report is not None else WHOLE
    return (WHOLE if found in (BOUNDED, MODES) or found not in SYMPTOMS else found), found == BOUNDED


def _note(left_out: Sequence[Change]) -> str:
    if not left_out:
        return ""
    return f"not tried for want of room: {', '.join(change.label for change in left_out)}; --forks takes more"
