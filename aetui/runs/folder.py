"""The folder of a run: its name, its parts, and who holds it."""

from __future__ import annotations

import fcntl
import os
import random
import re
import shutil
import stat
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from aetui import paths

_ADJECTIVES = (
    "brisk calm clear deft even fair firm keen lucid mild neat plain quick quiet spare steady swift terse warm"
)
_NOUNS = "auk crane dipper dove finch grebe heron ibis jay kite lark linnet martin otter owl petrel plover robin wren"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class RunError(ValueError):
    """A run that can't be made, found or used; one sentence with the way out."""


class NameRefused(RunError):
    """A new run can't have the name that was asked for."""


class Lock:
    """Held by the one process that trains a run; the system lets go of it when that process ends, however it ends."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def release(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


@dataclass(frozen=True)
class RunFolder:
    """Where one run is stored."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def database(self) -> Path:
        return self.path / "run.db"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def log(self) -> Path:
        return self.path / "log.txt"

    @property
    def exists(self) -> bool:
        """Whether there is something to go on from: a record, or a checkpoint."""
        return self.database.exists() or any(self.checkpoints.glob("*.safetensors"))

    # --- finding --------------------------------------------------------------------------------

    @staticmethod
    def create(name: str | None = None) -> RunFolder:
        """A new, empty folder; without a name one of two words and a number, `brisk-otter-41`.

        Raises:
            NameRefused: the name is taken or no name.
            RunError: the folder can't be written.
        """
        if name is not None and not _NAME.fullmatch(name):
            raise NameRefused(f"{name!r} is not allowed; it takes up to 64 letters, digits, dots, dashes")
        parent = paths.runs_folder()
        try:
            paths.private_folder(paths.home_folder())
            paths.private_folder(parent)
            for _ in range(100):
                path = parent / (name or _new_name())
                try:
                    path.mkdir(mode=0o700)
                except FileExistsError:
                    unused = not RunFolder(path).exists and RunFolder(path).holder() is None
                    if name is not None and not unused:
                        # The record says whether a script trained it; a folder alone is known without one.
                        from aetui.runs.own_script import script_of

                        script = script_of(RunFolder(path).database)
                        whose = f"{script} trained it" if script else f"aetui resume {name} continues it"
                        hint = f"{whose}, aetui runs delete {name} deletes it"
                        raise NameRefused(f"there is a run {name!r} already; {hint}") from None
                    if name is None:
                        continue
                return RunFolder(path)._with_parts()
        except OSError as error:
            raise RunError(
                f"runs can't be stored in {parent}: {error.strerror}; AETUI_HOME names another folder"
            ) from error
        raise RunError(f"{parent} has no free names left; --name gives one")

    @staticmethod
    def spare(name: str | None = None) -> RunFolder:
        """A folder among the temporary files, for where the usual place can't be written.

        Raises:
            OSError: nor can that.
        """
        path = Path(tempfile.mkdtemp(prefix="aetui-")) / (name or _new_name())
        path.mkdir(mode=0o700)
        return RunFolder(path)._with_parts()

    def _with_parts(self) -> RunFolder:
        self.checkpoints.mkdir(mode=0o700, exist_ok=True)
        os.close(os.open(self.log, os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW, 0o600))
        return self

    @staticmethod
    def all() -> list[RunFolder]:
        """Every stored run, by name; folders without a record are left out."""
        with suppress(OSError):
            found = [RunFolder(path) for path in sorted(paths.runs_folder().iterdir()) if path.is_dir()]
            return [folder for folder in found if folder.exists]
        return []

    @staticmethod
    def find(text: str) -> RunFolder:
        """The run of a name, of the unique beginning of a name, or in a folder.

        Raises:
            RunError: there is none, or several.
        """
        runs = RunFolder.all()
        names = {folder.name: folder for folder in runs}
        if text in names:
            return names[text]
        if os.sep in text and (there := RunFolder(Path(text).expanduser().absolute())).exists:
            return there
        begun = [folder for folder in runs if text and folder.name.startswith(text)]
        if len(begun) == 1:
            return begun[0]
        if begun:
            raise RunError(f"{text!r} begins several runs: {', '.join(folder.name for folder in begun[:5])}")
        close = get_close_matches(text, names, 1)
        hint = f"did you mean {close[0]!r}?" if close else "aetui runs lists them"
        raise RunError(f"there is no run {text!r}; {hint}")

    # --- holding --------------------------------------------------------------------------------

    def lock(self) -> Lock:
        """Become the one process that trains the run.

        Raises:
            RunError: another one does, or the folder can't be written or is not this user's alone.
        """
        self.check_private()
        try:
            descriptor = os.open(self.path / "lock", os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise RunError(f"the run {self.name} can't be used: {self.path}: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            who = self.holder() or -1
            raise RunError(
                f"the run {self.name} is in training{f' by process {who}' if who > 0 else ''}; {self.way_to_holder()}"
            ) from None
        _sign(descriptor)
        return Lock(descriptor)

    def holder(self) -> int | None:
        """The process that trains the run, -1 where it could not write its number down, None if none does."""
        try:
            descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            text = os.pread(descriptor, 20, 0)
            return int(text) if text.isdigit() else -1
        finally:
            os.close(descriptor)
        return None

    def way_to_holder(self) -> str:
        """What can be done about a run that another process trains: one without a socket takes no screen."""
        if (self.path / "engine.sock").exists():
            return f"aetui attach {self.name} shows it, aetui stop {self.name} ends it"
        from aetui.runs.own_script import script_of

        who, script = self.holder() or 0, script_of(self.database)
        ends = f"ends {script}" if script else "has it write a checkpoint and end"
        way = f"kill {who} {ends}" if who > 0 else "it has to end first"
        return f"it has no screen to attach; {way}"

    def check_private(self) -> None:
        """Refuse a folder that others can read or write.

        Raises:
            RunError: it belongs to somebody else, is open to others, or is not there.
        """
        try:
            about = self.path.lstat()
        except OSError as error:
            raise RunError(f"the run {self.name} can't be used: {self.path}: {error.strerror}") from error
        if not stat.S_ISDIR(about.st_mode):
            raise RunError(f"{self.path} is no folder")
        if about.st_uid != os.getuid():
            raise RunError(f"{self.path} belongs to another user; runs are used by their owner only")
        if about.st_mode & 0o077:
            raise RunError(f"{self.path} is open to other users; chmod 700 {self.path} closes it")

    def size(self) -> int:
        """Bytes on the disk."""
        total = 0
        for folder, _, files in os.walk(self.path):
            for name in files:
                with suppress(OSError):
                    total += os.lstat(os.path.join(folder, name)).st_size
        return total

    def delete(self) -> None:
        """Remove the run with all it has.

        Raises:
            RunError: it is in training.
            OSError: it can't be removed.
        """
        lock = self.lock()
        try:
            shutil.rmtree(self.path)
        finally:
            lock.release()

    def rename(self, name: str) -> RunFolder:
        """Give the run another name.

        Raises:
            RunError: it is in training, or the name is taken or none.
        """
        if not _NAME.fullmatch(name):
            raise RunError(f"{name!r} is not allowed; a name takes up to 64 letters, digits, dots, dashes")
        target = self.path.with_name(name)
        lock = self.lock()
        try:
            if target.exists():
                raise RunError(f"there is a run {name!r} already")
            self.path.rename(target)
        except OSError as error:
            raise RunError(f"the run {self.name} can't be renamed: {error.strerror}") from error
        finally:
            lock.release()
        return RunFolder(target)


def _sign(descriptor: int) -> None:
    """Write down who holds a lock; it is held where a full disk does not take that."""
    number = str(os.getpid()).encode()
    try:
        os.pwrite(descriptor, number, 0)
        os.ftruncate(descriptor, len(number))
    except OSError:
        os.ftruncate(descriptor, 0)


def _new_name() -> str:
    draw = random.SystemRandom()
    return f"{draw.choice(_ADJECTIVES.split())}-{draw.choice(_NOUNS.split())}-{draw.randrange(10, 100)}"
