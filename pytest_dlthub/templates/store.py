"""Stores templates: finds them by key, builds each once, and deletes old ones."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from filelock import FileLock, Timeout

from pytest_dlthub.activation import SESSION
from pytest_dlthub.templates.read_files import Conditions
from pytest_dlthub.templates.template import Damaged, Template

_BUILDING = "_building-"
_FAILED = "_failed-"
# beside the keys, and never deleted: if a process deleted a lock that another one waits for, both
# would get it. They are few, since keys with the same two first digits share one.
_LOCKS = "locks"
_A_KEY = "[0-9a-f]*"
_A_TEMPLATE = "[0-9a-f]*"
# in a template: a file once another test has it, a folder once it is dropped. Whoever makes it
# first has decided: the other finds it there
_CLAIM = "claim"

Build = Callable[[Path], None]


_FOLDER = pytest.StashKey[Path]()
_IDENTITY = pytest.StashKey[str]()
# the name in `workerinput` that holds the folder for a worker
_INPUT = "dlt_templates"

# the smallest take 0.6 to 1.5 MB: 2.5 GB were kept of 4,250 tests with another counter each
_MOST_USED_ONCE = 32
_MOST_BYTES = 2 * 1024**3
_LONGEST_SECONDS = 7 * 24 * 3600


class BuildFailed(Exception):
    """A build has failed; the cause of this error is the reason."""

    def __init__(self, conditions: Conditions, message: str) -> None:
        """Create it.

        Args:
            conditions: What the build has read.
            message: One line for the other tests that need the template.
        """
        super().__init__(message)
        self.conditions = conditions


class FailedBefore(Exception):
    """The same build has failed before, for another test of this session."""


class TemplateStore:
    """The templates of one session, or of several sessions together.

    Two processes may use one store: a build holds a file lock, and at its end it renames the
    folder, which makes the template visible.
    """

    def __init__(
        self, root: Path, session: str, used_now: Callable[[str], str] = lambda name: ""
    ) -> None:
        """Open a store.

        Args:
            root: Its folder; the first build creates it.
            session: The identity of the session, also in its workers.
            used_now: Returns the current digest of an input of builds, by its name.
        """
        self.root = root
        self._used_now = used_now
        self._damages: list[str] = []
        self._session = session
        self._known: dict[Path, Template] = {}
        self._unusable: set[Path] = set()
        self._shared: set[Path] = set()
        self._used_once: dict[str, deque[tuple[Template, Callable[[], object]]]] = {}

    @property
    def is_writable(self) -> bool:
        """Whether it can build templates here."""
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError:
            return False
        return os.access(self.root, os.W_OK | os.X_OK)

    def find(self, key: str) -> Template | None:
        """Return a template that was built under the current conditions, or None."""
        for template in (*self._known_of(key), *self._new(key)):
            is_same = template.conditions.hold(self._used_now) and self._is_usable(template)
            if is_same and self._note_shared(template):
                return template
        return None

    def changed(self, key: str) -> list[str]:
        """Return what has changed since the last template of a key was built."""
        known = self._known_of(key)
        return [*known[-1].conditions.changed(self._used_now)] if known else []

    def build(self, key: str, build: Build) -> tuple[Template, bool]:
        """Build a template, unless another process was faster; tell whether this one has built it.

        Args:
            key: Its key.
            build: Writes a template into the given folder.

        Raises:
            FailedBefore: The build has failed in this session, under the same conditions.
            BuildFailed: The build fails now.
        """
        with self._locked(key):
            if found := self.find(key):
                return found, False
            folder = self.root / key
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._check_failed(folder)
            _delete_unfinished(folder)
            try:
                return self._built(folder, build), True
            except BuildFailed as failure:
                # before another process gets the lock
                self._note_failure(folder, failure)
                raise

    def discard(self, template: Template, reason: object) -> None:
        """Delete a damaged template; if that fails, at least do not use it again."""
        self._known.pop(template.folder, None)
        self._set_aside(template.folder, reason)

    def note_first_use(
        self, template: Template, group: str, also_drop: Callable[[], object] = lambda: None
    ) -> None:
        """Note that the test that built a template has ended; drop one that only its test used.

        That is the one with as many newer ones of its group as we keep: what changes with each
        test, such as a counter, does not come back.

        Args:
            template: One of this session, of this process.
            group: Equal for what the same marks ask for.
            also_drop: Drops what the template has elsewhere.
        """
        if template.folder.parent.parent != self.root:
            return
        newest = self._used_once.setdefault(group, deque())
        newest.append((template, also_drop))
        if len(newest) > _MOST_USED_ONCE:
            oldest, drop_rest = newest.popleft()
            # another worker may have it, or be copying it
            with contextlib.suppress(OSError):
                (oldest.folder / _CLAIM).mkdir()
                drop_rest()
                self._drop(oldest)

    def taken_damages(self) -> list[str]:
        """Return the damages since the last call, one line each."""
        damages, self._damages = self._damages, []
        return damages

    def prune(self, most_bytes: int, longest_seconds: float) -> None:
        """Delete templates unused for long, then the longest unused ones, and all leftovers."""
        if not self.root.is_dir() or not self.is_writable:
            return
        left = []
        for folder, used, size in sorted(self._uses(), key=lambda use: use[1]):
            if time.time() - used > longest_seconds:
                _delete(folder)
            else:
                left.append((folder, size))
        total = sum(size for _, size in left)
        for folder, size in left:
            if total <= most_bytes:
                break
            _delete(folder)
            total -= size
        for folder in self.root.glob(_A_KEY):
            # another session may be about to build here
            with contextlib.suppress(Timeout, OSError), self._locked(folder.name, timeout=0):
                _delete_unfinished(folder)
                for failure in folder.glob(f"{_FAILED}*"):
                    failure.unlink(missing_ok=True)
                folder.rmdir()

    def _known_of(self, key: str) -> list[Template]:
        return [known for known in self._known.values() if known.folder.parent.name == key]

    def _locked(self, key: str, timeout: float = -1) -> FileLock:
        folder = self.root / _LOCKS
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return FileLock(folder / key[:2], timeout=timeout)

    def _built(self, folder: Path, build: Build) -> Template:
        building = folder / f"{_BUILDING}{uuid.uuid4().hex}"
        building.mkdir()
        try:
            build(building)
            ready = folder / uuid.uuid4().hex
            building.rename(ready)
        finally:
            shutil.rmtree(building, ignore_errors=True)
        template = self._known[ready] = Template.read(ready)
        return template

    def _note_failure(self, folder: Path, failure: BuildFailed) -> None:
        """Record that a build has failed, for the other tests of this session that need it."""
        record = {"conditions": failure.conditions.to_json(), "message": str(failure)}
        # if even this cannot be written, each test builds, and fails by itself
        with contextlib.suppress(OSError):
            path = folder / f"{_FAILED}{self._session}-{uuid.uuid4().hex}"
            path.write_text(json.dumps(record), encoding="utf-8")

    def _check_failed(self, folder: Path) -> None:
        for failure in folder.glob(f"{_FAILED}{self._session}-*"):
            # it may be incomplete, or deleted by now
            with contextlib.suppress(OSError, ValueError):
                record = json.loads(failure.read_text(encoding="utf-8"))
                if Conditions(**record["conditions"]).hold(self._used_now):
                    raise FailedBefore(record["message"])

    def _new(self, key: str) -> Iterator[Template]:
        """Yield the templates that are new to this process."""
        for folder in sorted((self.root / key).glob(_A_TEMPLATE)):
            if folder in self._known or folder in self._unusable:
                continue
            try:
                template = self._known[folder] = Template.read(folder)
            except Damaged as error:
                # unless another process is deleting it
                if folder.exists():
                    self._set_aside(folder, error)
            else:
                yield template

    def _is_usable(self, template: Template) -> bool:
        """Tell whether every file is unchanged; templates of this session need no check."""
        if template.session != self._session and not template.is_checked:
            try:
                template.check()
            except Damaged as error:
                self.discard(template, error)
                return False
        return True

    def _drop(self, template: Template) -> None:
        folder = template.folder
        self._known.pop(folder, None)
        _delete(folder)
        # another process may be about to build
        with contextlib.suppress(Timeout, OSError), self._locked(folder.parent.name, timeout=0):
            folder.parent.rmdir()

    def _note_shared(self, template: Template) -> bool:
        """Note that a template has one more user; False if it is being dropped."""
        # those of other sessions are in the cache, where nobody drops them before the end
        if template.session == self._session and template.folder not in self._shared:
            claim = template.folder / _CLAIM
            try:
                claim.touch(exist_ok=False)
            except FileExistsError:
                if claim.is_dir():
                    return False
            except FileNotFoundError:
                return False
            except OSError:
                """We drop nothing from a folder that we cannot write to."""
            self._shared.add(template.folder)
        return True

    def _set_aside(self, folder: Path, reason: object) -> None:
        self._damages.append(f"a template was damaged, and built again: {reason}")
        self._unusable.add(folder)
        _delete(folder)

    def _uses(self) -> Iterator[tuple[Path, float, int]]:
        for folder in self.root.glob(f"{_A_KEY}/{_A_TEMPLATE}"):
            with contextlib.suppress(OSError):
                used = folder / "used"
                # its session ended before it used the template
                used = used if used.exists() else folder
                size = sum(path.stat().st_size for path in folder.rglob("*"))
                yield folder, used.stat().st_mtime, size


def _delete(folder: Path) -> None:
    """Delete a template; the rename comes first, so that nobody finds half of one."""
    trash = folder.with_name(f"{_BUILDING}{uuid.uuid4().hex}")
    with contextlib.suppress(OSError):
        folder.rename(trash)
        shutil.rmtree(trash, ignore_errors=True)


def _delete_unfinished(folder: Path) -> None:
    """Delete leftovers of processes that died: we hold their lock."""
    for left in folder.glob(f"{_BUILDING}*"):
        shutil.rmtree(left, ignore_errors=True)


def session_identity(config: pytest.Config) -> str:
    """Return a name for the session that is the same in all its workers."""
    worker = getattr(config, "workerinput", None)
    if worker:
        return str(worker["testrunuid"])
    return config.stash.setdefault(_IDENTITY, f"{os.getpid()}_{time.time_ns()}")


def template_folders(config: pytest.Config) -> list[Path]:
    """Return the folders to look for templates in; the first writable one is for new templates."""
    own = session_folder(config)
    return [cache_folder(), own] if config.getoption("dlt_reuse") else [own]


def session_folder(config: pytest.Config) -> Path:
    """Return the folder of this session's templates, which is deleted with it."""
    worker = getattr(config, "workerinput", None)
    if worker and _INPUT in worker:
        return Path(worker[_INPUT])
    if _FOLDER not in config.stash:
        folder = config.stash[SESSION].folder / "templates"
        config.stash[_FOLDER] = folder
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
    return config.stash[_FOLDER]


def share_with_worker(config: pytest.Config, workerinput: dict[str, object]) -> None:
    """Send a worker the folder of this session's templates."""
    workerinput[_INPUT] = str(session_folder(config))


def cache_folder() -> Path:
    """Return the folder of the templates that sessions share with `--dlt-reuse`."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("pytest-dlthub", appauthor=False), "templates")


def prune_cache(config: pytest.Config) -> None:
    """Delete templates that were not used for a week, and those above 2 GB."""
    if not config.getoption("dlt_reuse") or hasattr(config, "workerinput"):
        return
    from pytest_dlthub.templates.store import TemplateStore

    store = TemplateStore(cache_folder(), session_identity(config))
    store.prune(_MOST_BYTES, _LONGEST_SECONDS)
