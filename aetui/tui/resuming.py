"""Going on with a run whose engine is gone: another engine in its place."""

import asyncio
import logging
from collections.abc import Callable

from aetui import protocol as p
from aetui.tui.session import Session
from aetui.tui.shell import Shell

log = logging.getLogger(__name__)


class Resuming:
    """Starts another engine where the present one is gone."""

    def __init__(self, session: Session, shell: Shell, new_engine: Callable[[], p.Link] | None) -> None:
        """new_engine: starts one; an error that it raises is a sentence. None where there is no other."""
        self._session, self._shell, self._new_engine = session, shell, new_engine
        self._under_way = False

    @property
    def possible(self) -> bool:
        """Whether another engine can continue the run of the one that is gone: one of a loop of its own needs that."""
        info = self._session.model.info
        return bool(self._new_engine and self._session.lost and info and info.folder and info.spec)

    def way_on(self, text: str) -> str:
        """Why the engine is gone, with what to do about it here."""
        return f"{self._shell.key('run-pause')} resumes the run from the store: {text}" if self.possible else text

    def start(self, connect: Callable[[], None]) -> None:
        """Have another engine continue the run; the screen goes on meanwhile. connect: listens to the new engine."""
        if not self._under_way:
            self._under_way = True
            self._shell.say("starting another engine")
            self._shell.work(self._resume(connect))

    async def _resume(self, connect: Callable[[], None]) -> None:
        info, new_engine = self._session.model.info, self._new_engine
        assert info is not None and new_engine is not None
        former: p.Link | None = None
        try:
            link = await asyncio.to_thread(new_engine)
        except Exception as error:
            log.warning("no other engine", exc_info=error)
            self._shell.say(f"the run can't be resumed: {error}", "error")
        else:
            start = self._session.was_training
            former = self._session.replace_link(link)
            connect()
            self._session.open(info.folder, start)
        finally:
            self._under_way = False
        if former is not None:
            await asyncio.to_thread(former.detach)
