"""Which project a session tests, on which profile and in which sandbox."""

from __future__ import annotations

import getpass
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

# the runtime reads the first two (`dlthub_project.sandbox`, `dlthub_project.context`), dlt the last
SANDBOX_VARIABLE = "DLTHUB_PROJECT_SANDBOX"
PROFILE_VARIABLE = "WORKSPACE__PROFILE"
_TELEMETRY_VARIABLE = "RUNTIME__DLTHUB_TELEMETRY"
_KEPT_FOR_SECONDS = 3 * 24 * 3600
_MANIFEST = "dlt.yml"
_WORKSPACE = Path(".dlt", ".workspace")
_DEFAULT_PROFILE = "tests"
_PIN_FILE = Path(".dlt", "profile-name")

SESSION = pytest.StashKey["Session"]()


@dataclass
class Session:
    """What the plugin decided for one pytest session.

    Attributes:
        project: The folder of the `dlt.yml` under test; None for plain dlt code.
        profile: The profile that it is tested on.
        profile_reason: Why this one, for the header.
        working_dir: Where pytest was started.
    """

    project: Path | None
    profile: str
    profile_reason: str
    working_dir: Path
    basetemp: Path | None
    _folder: Path | None = None
    _restore: dict[str, str | None] = field(default_factory=dict)
    _path_entry: str | None = None
    _tests: int = 0

    @classmethod
    def start(cls, config: pytest.Config) -> Session:
        """Find the project; if there is one, activate it. Imports neither dlt nor the runtime.

        Raises:
            UsageError: The project or profile that was asked for cannot be tested on.
        """
        project = _asked_project(config) or _nearest_project(config)
        profile, reason = _profile(config, project)
        basetemp = config.known_args_namespace.basetemp
        session = cls(
            project, profile, reason, Path.cwd(), Path(basetemp).absolute() if basetemp else None
        )
        if project is not None:
            session._activate(project)
        return session

    def stop(self) -> None:
        """Restore environment and path, and delete what no test has left behind."""
        for name, value in self._restore.items():
            _set_variable(name, value)
        if self._path_entry in sys.path:
            sys.path.remove(self._path_entry)
        if self._folder is not None:
            shutil.rmtree(self._folder / "session", ignore_errors=True)
            # the data of failed tests keep the folders above them
            for folder in (self._folder, self._folder.parent):
                if not any(folder.iterdir()):
                    folder.rmdir()

    @property
    def folder(self) -> Path:
        """The folder of all sandboxes of this session; made on first use."""
        if self._folder is None:
            self._folder = _new_session_folder(self.basetemp)
        return self._folder

    def new_test_folder(self, test_name: str) -> Path:
        """Return a path that no test has had before; nothing is made there yet."""
        self._tests += 1
        readable = "".join(c if c.isalnum() else "_" for c in test_name)[:40]
        return self.folder / f"{self._tests:04}-{readable}"

    def sandbox_variable(self, folder: Path) -> str:
        """Return what the runtime reads to put everything into `folder`."""
        settings = {
            "folder": str(folder),
            "project": str(self.project) if self.project else None,
            "working_dir": str(self.working_dir),
        }
        return json.dumps(settings)

    def _activate(self, project: Path) -> None:
        self._set(_TELEMETRY_VARIABLE, "false")
        self._set(PROFILE_VARIABLE, self.profile)
        # without its `.pth` line (`python -S`) `import dlt` would not find dlt.hub
        from dlthub_project.hub import finder

        finder.install()
        self._set(SANDBOX_VARIABLE, self.sandbox_variable(self.folder / "session"))
        # in every import mode `from sources.x import y` is to work in tests
        root = _module_root(project)
        if root not in sys.path:
            sys.path.insert(0, root)
            self._path_entry = root

    def _set(self, name: str, value: str) -> None:
        self._restore.setdefault(name, os.environ.get(name))
        os.environ[name] = value


def _new_session_folder(basetemp: Path | None) -> Path:
    """Make a folder for one process of this session, and delete those of earlier days."""
    # pytest empties --basetemp when it first uses it, so ours lies beside it
    default = Path(tempfile.gettempdir(), f"pytest-dlt-of-{getpass.getuser()}")
    parent = basetemp.parent / f"{basetemp.name}-dlt" if basetemp else default
    parent.mkdir(parents=True, exist_ok=True)
    for earlier in parent.iterdir():
        if time.time() - earlier.stat().st_mtime > _KEPT_FOR_SECONDS:
            shutil.rmtree(earlier, ignore_errors=True)
    process = os.environ.get("PYTEST_XDIST_WORKER", "main")
    return Path(tempfile.mkdtemp(prefix=f"{process}-", dir=parent))


def _module_root(project: Path) -> str:
    """Return the folder of the project's modules: its own, unless the manifest names another."""
    manifest = project / _MANIFEST
    if "project_dir:" not in manifest.read_text(encoding="utf-8", errors="replace"):
        return str(project)
    # rare, and worth the import: the manifest has to be read as the runtime reads it
    from dlthub_project.errors import ProjectError
    from dlthub_project.manifest import Manifest

    try:
        return Manifest.open(manifest, _DEFAULT_PROFILE).settings.project_dir
    except ProjectError:
        # whoever uses the project is told
        return str(project)


def _set_variable(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value


def _asked_project(config: pytest.Config) -> Path | None:
    option = config.known_args_namespace.dlt_project
    ini = config.getini("dlt_project")
    if not option and not ini:
        return None
    base = Path.cwd() if option or not config.inipath else config.inipath.parent
    folder = Path(base, option or ini).resolve()
    if not (folder / _MANIFEST).is_file():
        name = "--dlt-project" if option else "ini option dlt_project"
        raise pytest.UsageError(f"{name}: there is no {_MANIFEST} in {folder}")
    return folder


def _nearest_project(config: pytest.Config) -> Path | None:
    """Return the project at or above the collected paths, rootdir or working directory."""
    found = {_project_above(path): path for path in _collected_paths(config)}
    found.pop(None, None)
    if len(found) > 1:
        listed = "".join(f"\n  {path}: {project}" for project, path in found.items())
        raise pytest.UsageError(
            f"the tests belong to more than one dlt project; run them one by one:{listed}"
        )
    if found:
        return next(iter(found))
    return _project_above(config.rootpath) or _project_above(Path.cwd())


def _collected_paths(config: pytest.Config) -> Iterator[Path]:
    arguments = config.known_args_namespace.file_or_dir or config.getini("testpaths")
    for argument in arguments or ["."]:
        path = Path(str(argument).partition("::")[0]).absolute()
        if path.exists():
            yield path


def _project_above(path: Path) -> Path | None:
    for folder in (path, *path.parents):
        if (folder / _MANIFEST).is_file():
            return folder
        if (folder / _WORKSPACE).is_file():
            return None
    return None


def _profile(config: pytest.Config, project: Path | None) -> tuple[str, str]:
    """Return the profile to test on, and why this one."""
    accepted: list[str] = config.getini("dlt_test_profiles")
    option = config.known_args_namespace.dlt_profile
    ini = config.getini("dlt_profile")
    environment = os.environ.get(PROFILE_VARIABLE) if project else None
    choices = (
        (option, "--dlt-profile"),
        (ini, "ini dlt_profile"),
        (environment, f"environment variable {PROFILE_VARIABLE}"),
        (_DEFAULT_PROFILE, "default"),
    )
    profile, reason = next((name, why) for name, why in choices if name)
    if profile not in accepted:
        raise pytest.UsageError(
            f"{reason}: `{profile}` is not a test profile. Accepted: {', '.join(accepted)}; "
            "the ini option dlt_test_profiles lists them. Name one with --dlt-profile."
        )
    reasons = [reason]
    pin = project / _PIN_FILE if project else None
    if pin and pin.is_file() and (pinned := pin.read_text(encoding="utf-8").strip()) != profile:
        reasons.append(f"pin {pinned} overridden")
    return profile, "; ".join(reasons)
