"""What goes wrong while `dlt_load` builds or copies: told clearly, and never a wrong result."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from processes import python

from dlthub_project.errors import ProjectError
from pytest_dlthub.templates.read_files import Conditions
from pytest_dlthub.templates.store import TemplateStore

RunTests = Callable[..., pytest.RunResult]

COUNTING = """
import os
import signal
from pathlib import Path

import dlt
import pytest

RUNS = Path(__file__).with_name("runs.txt")


def count():
    with RUNS.open("a") as file:
        file.write("run ")
    return len(RUNS.read_text().split())


@dlt.resource(primary_key="id", write_disposition="merge")
def users(since=dlt.sources.incremental("id")):
    count()
    yield [{"id": n, "name": "n" * 100} for n in range(100)]
"""

READS = """
@pytest.mark.dlt_load(source=users)
def test_it(dlt_loaded):
    assert len(dlt_loaded.rows("users")) == 100
    assert dlt_loaded.load_info.loads_ids
"""


@pytest.fixture
def builds(pytester: pytest.Pytester) -> Callable[[], int]:
    """Return how often the source was run."""
    runs = pytester.path / "runs.txt"
    return lambda: len(runs.read_text().split()) if runs.exists() else 0


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The cache folder of `--dlt-reuse`."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "pytest-dlthub" / "templates"


@pytest.fixture
def mount(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Path]]:
    """Mount a small file system of its own, where this machine lets us."""
    mounted: list[Path] = []

    def mount(*options: str) -> Path:
        folder = tmp_path_factory.mktemp("mounted")
        call = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(folder)]
        with contextlib.suppress(FileNotFoundError):
            if subprocess.run(call, capture_output=True, check=False).returncode == 0:
                mounted.append(folder)
                return folder
        pytest.skip("needs the right to mount")

    yield mount
    for folder in mounted:
        subprocess.run(["umount", str(folder)], check=True)


def templates_in(folder: Path) -> list[Path]:
    return [path.parent for path in folder.glob("*/*/template.json")]


def remains_in(folder: Path) -> list[Path]:
    return [*folder.rglob("_building-*"), *folder.rglob("_failed-*")]


@pytest.mark.slow
def test_others_build_what_a_killed_worker_has_begun(
    run_tests_apart: RunTests, builds: Callable[[], int], cache: Path
) -> None:
    result = run_tests_apart(
        COUNTING
        + """
@dlt.resource
def deadly():
    if count() == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    yield [{"id": 1}]


@pytest.mark.dlt_load(source=deadly)
@pytest.mark.parametrize("n", range(6))
def test_it(dlt_loaded, n):
    assert dlt_loaded.rows("deadly") == [{"id": 1}]
""",
        "-n",
        "2",
        "--dlt-reuse",
    )

    # pytest-xdist fails the test in which the worker died
    result.assert_outcomes(passed=5, failed=1)
    result.stdout.fnmatch_lines(["1 template built (* s), 5 copies made"])
    assert builds() == 2
    assert len(templates_in(cache)) == 1
    assert remains_in(cache) == []


@pytest.mark.slow
def test_a_failing_build_is_told_once_across_workers(
    run_tests_apart: RunTests, builds: Callable[[], int]
) -> None:
    result = run_tests_apart(
        COUNTING
        + """
@dlt.resource
def broken():
    count()
    raise ValueError("the source is broken")
    yield


@pytest.mark.dlt_load(source=broken)
@pytest.mark.parametrize("n", range(6))
def test_it(dlt_dataset, n):
    pass
""",
        "-n",
        "2",
    )

    result.assert_outcomes(errors=6)
    assert builds() == 1
    short = [line for line in result.outlines if line.startswith("dlt_load(broken): the build")]
    assert len(short) == 5
    assert not any("BuildFailed" in line for line in result.outlines)


@pytest.mark.slow
def test_an_interrupted_build_leaves_nothing(run_tests_apart: RunTests, cache: Path) -> None:
    code = (
        COUNTING
        + """
@dlt.resource
def users():
    if count() == 1:
        signal.raise_signal(signal.SIGINT)
    yield [{"id": n} for n in range(100)]
"""
        + READS
    )

    result = run_tests_apart(code, "--dlt-reuse")

    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert templates_in(cache) == remains_in(cache) == []
    run_tests_apart(code, "--dlt-reuse").assert_outcomes(passed=1)


@pytest.mark.slow
def test_a_disk_that_is_full_when_building_is_told(
    run_tests: RunTests,
    mount: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    builds: Callable[[], int],
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(mount("size=400k")))

    result = run_tests(
        COUNTING
        + """
@pytest.mark.dlt_load(source=users)
@pytest.mark.parametrize("n", range(2))
def test_it(dlt_loaded, n):
    pass
""",
        "--dlt-reuse",
    )

    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(
        ["E *dlt_load: no space is left on the disk of */pytest-dlthub/templates. Free some, or*"]
    )
    assert templates_in(Path(os.environ["XDG_CACHE_HOME"])) == []


def test_a_disk_that_is_full_when_copying_is_told(
    run_tests: RunTests, mount: Callable[..., Path], cache: Path
) -> None:
    run_tests(COUNTING + READS, "--dlt-reuse").assert_outcomes(passed=1)
    small = mount("size=400k")

    result = run_tests(COUNTING + READS, "--dlt-reuse", f"--basetemp={small}/tmp")

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["E *dlt_load: no space is left on the disk of * Free some, or*"])
    assert len(templates_in(cache)) == 1


def test_a_recording_that_does_not_fit_is_not_told_as_the_disk_of_templates() -> None:
    from pytest_dlthub.templates.session_templates import full_disk_told

    full = OSError(errno.ENOSPC, "No space left on device")
    recording = ProjectError("the recording there cannot be written", "Free space there.")
    recording.__cause__ = full

    with pytest.raises(ProjectError, match="the recording there"), full_disk_told(Path("here")):
        raise recording
    of_here = "no space is left on the disk of here"
    with pytest.raises(pytest.UsageError, match=of_here), full_disk_told(Path("here")):
        raise full


@pytest.mark.slow
def test_a_read_only_cache_gives_what_it_has(
    run_tests: RunTests,
    mount: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    builds: Callable[[], int],
) -> None:
    folder = mount("size=20m")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    run_tests(COUNTING + READS, "--dlt-reuse").assert_outcomes(passed=1)
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)

    result = run_tests(COUNTING + READS, "--dlt-reuse", "-v")

    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["0 templates built, 1 copy made"])
    assert builds() == 1

    more = """
@pytest.mark.dlt_load(source=users, dataset_name="other")
def test_other(dlt_loaded):
    assert len(dlt_loaded.rows("users")) == 100
"""
    result = run_tests(COUNTING + READS + more, "--dlt-reuse", "-v")

    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(
        ["1 template built (* s), 2 copies made", f"not kept: {folder}* cannot be written to"]
    )


@pytest.mark.slow
def test_a_file_in_place_of_the_cache_is_told(run_tests: RunTests, cache: Path) -> None:
    cache.parent.write_text("not a folder")

    result = run_tests(COUNTING + READS, "--dlt-reuse", "-v")

    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines([f"not kept: {cache} cannot be written to"])


def flip_a_byte(path: Path) -> None:
    """Change the content of a file, with its size and time as they were."""
    times = path.stat()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


DAMAGES: dict[str, tuple[str, Callable[[Path], object]]] = {
    "a flipped byte": ("*.duckdb", flip_a_byte),
    "a truncated database": ("*.duckdb", truncate),
    "a deleted file": ("pipelines/users/state.json", Path.unlink),
    "a broken record": ("template.json", truncate),
    "a broken pickle": ("users.pickle", truncate),
}


@pytest.mark.slow
def test_a_damaged_template_is_built_again(
    run_tests: RunTests, cache: Path, builds: Callable[[], int]
) -> None:
    run_tests(COUNTING + READS, "--dlt-reuse").assert_outcomes(passed=1)
    outcomes = {}

    for name, (pattern, damage) in DAMAGES.items():
        before = builds()
        [path] = templates_in(cache)[0].rglob(pattern)
        damage(path)
        result = run_tests(COUNTING + READS, "--dlt-reuse", "-v")
        told = [line for line in result.outlines if "was damaged, and built again: " in line]
        outcomes[name] = (result.parseoutcomes(), builds() - before, len(told))

    assert outcomes == {name: ({"passed": 1}, 1, 1) for name in DAMAGES}
    assert len(templates_in(cache)) == 1


@pytest.mark.slow
def test_times_of_files_do_not_matter(
    run_tests: RunTests, cache: Path, builds: Callable[[], int]
) -> None:
    run_tests(COUNTING + READS, "--dlt-reuse").assert_outcomes(passed=1)
    for path in cache.rglob("*"):
        # as a CI service restores its cache
        os.utime(path)

    run_tests(COUNTING + READS, "--dlt-reuse").assert_outcomes(passed=1)

    assert builds() == 1


@pytest.mark.slow
def test_a_template_that_another_session_deletes_is_built_again(
    run_tests: RunTests, cache: Path, builds: Callable[[], int]
) -> None:
    result = run_tests(
        COUNTING
        + READS
        + """
def test_prune():
    from pytest_dlthub.templates.store import cache_folder
    from pytest_dlthub.templates.store import TemplateStore

    TemplateStore(cache_folder(), "another").prune(0, 0)
    assert list(cache_folder().glob("[0-9a-f]*")) == []


@pytest.mark.dlt_load(source=users)
def test_again(dlt_loaded):
    assert len(dlt_loaded.rows("users")) == 100
""",
        "--dlt-reuse",
    )

    result.assert_outcomes(passed=3)
    assert builds() == 2


@pytest.mark.slow
def test_two_sessions_at_once_build_once(
    pytester: pytest.Pytester, cache: Path, builds: Callable[[], int]
) -> None:
    pytester.makepyfile(test_it=COUNTING + READS)
    call = [*python(), "-m", "pytest", "-p", "no:cacheprovider", "--dlt-reuse", "-q"]

    both = [
        subprocess.Popen([*call, f"--basetemp={pytester.path}/tmp-{n}"], stdout=subprocess.PIPE)
        for n in range(2)
    ]
    outputs = [process.communicate()[0].decode() for process in both]

    assert [process.returncode for process in both] == [0, 0], outputs
    assert builds() == 1


@pytest.mark.slow
def test_the_folder_of_a_link_is_rewritten_too(
    run_tests: RunTests, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "real ä").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real ä")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "link"))

    result = run_tests(
        COUNTING
        + READS
        + """
@pytest.mark.dlt_load(source=users, destination="filesystem", dataset_name="files")
def test_no_path_of_the_template_is_left(dlt_isolated, dlt_loaded):
    texts = [path.read_bytes() for path in Path(dlt_isolated.folder, "data").rglob("*.json*")]
    assert texts
    assert not [text for text in texts if b"_building-" in text]
    assert len(dlt_loaded.rows("users")) == 100
""",
        "--dlt-reuse",
    )

    result.assert_outcomes(passed=2)


REFUSED = """
@pytest.mark.dlt_allow_remote("warehouse")
@pytest.mark.dlt_load(source=users, destination=dlt.destinations.snowflake(
    "snowflake://u:p@db.invalid/prod", destination_name="warehouse"), dataset_name="d")
def test_remote(dlt_loaded):
    pass


@pytest.mark.dlt_load(source=users, destination=dlt.destinations.duckdb(
    str(Path(__file__).parent.parent / "shared.duckdb")), dataset_name="d")
def test_outside(dlt_loaded):
    pass


@pytest.mark.dlt_load(source=users, destination=dlt.destinations.filesystem("memory://rows"),
                      dataset_name="d")
def test_in_memory(dlt_loaded):
    pass


@pytest.mark.dlt_load(source=users, dev_mode=True)
def test_dev_mode(dlt_loaded):
    pass
"""


def test_error_when_a_load_cannot_be_copied(run_tests: RunTests, builds: Callable[[], int]) -> None:
    result = run_tests(COUNTING + REFUSED)

    result.assert_outcomes(errors=4)
    result.stdout.fnmatch_lines(
        [
            "E *into destination `warehouse` (snowflake) cannot be copied for each test: its pl*",
            "E *into destination `duckdb` (duckdb) cannot be copied for each test: its place is *",
            "E *into destination `filesystem` (filesystem) cannot be copied * it is in memory*",
            "E *pipeline `users` is in dev_mode: * Leave dev_mode out in tests*",
        ]
    )
    assert builds() == 1


def test_what_a_custom_destination_was_sent_is_kept(run_tests: RunTests) -> None:
    result = run_tests(
        COUNTING
        + """
@dlt.destination(batch_size=10)
def api(items, table):
    raise AssertionError("reached")


@pytest.mark.dlt_load(source=users, destination=api)
@pytest.mark.parametrize("n", range(2))
def test_it(dlt_loaded, n):
    assert len(dlt_loaded.sent["users"]) == 100
    dlt_loaded.pipeline.run([{"id": 1000}], table_name="users")
    assert len(dlt_loaded.sent["users"]) == 101
"""
    )

    result.assert_outcomes(passed=2)


def build_of(size: int) -> Callable[[Path], None]:
    from pytest_dlthub.templates.template import Template

    def build(folder: Path) -> None:
        (folder / "sandbox" / "data").mkdir(parents=True)
        (folder / "sandbox" / "data" / "rows").write_bytes(b"x" * size)
        Template.write(folder, "s", 0.1, Conditions(), {})

    return build


def used(store: TemplateStore, key: str, ago: float, size: int = 1000) -> None:
    template, _ = store.build(key, build_of(size))
    template.note_use()
    then = (template.folder / "used").stat().st_mtime - ago
    os.utime(template.folder / "used", (then, then))


def test_pruning_deletes_what_was_used_longest_ago(tmp_path: Path) -> None:
    store = TemplateStore(tmp_path / "cache", "s")
    for key, ago in (("aa", 100), ("bb", 50), ("cc", 10)):
        used(store, key, ago)
    (tmp_path / "cache" / "cc" / "_building-1").mkdir()
    (tmp_path / "cache" / "cc" / "_failed-s-1").write_text("{}")
    (tmp_path / "cache" / "dd").mkdir()

    store.prune(most_bytes=100_000, longest_seconds=70)
    after_age = sorted(path.parent.name for path in templates_in(tmp_path / "cache"))
    store.prune(most_bytes=20_000, longest_seconds=70)
    after_size = sorted(path.parent.name for path in templates_in(tmp_path / "cache"))
    store.prune(most_bytes=1, longest_seconds=70)

    assert after_age == ["bb", "cc"]
    assert after_size in (["cc"], ["bb", "cc"])
    assert templates_in(tmp_path / "cache") == remains_in(tmp_path / "cache") == []
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["locks"]


def test_pruning_leaves_what_another_process_is_building(tmp_path: Path) -> None:
    other = TemplateStore(tmp_path, "other")

    def build(folder: Path) -> None:
        other.prune(0, 0)
        assert folder.is_dir()
        build_of(10)(folder)

    store = TemplateStore(tmp_path, "s")

    assert store.build("aa", build)[1]
    assert store.find("aa")


def test_nothing_is_left_of_a_copy_that_fails(tmp_path: Path) -> None:
    from pytest_dlthub.templates.template import Damaged

    template, _ = TemplateStore(tmp_path / "cache", "s").build("aa", build_of(10))
    (template.folder / "sandbox" / "data" / "rows").write_text("other")

    with pytest.raises(Damaged):
        template.copy_to(str(tmp_path / "copy"))

    assert [path for path in (tmp_path / "copy").rglob("*") if path.is_file()] == []


def test_a_template_that_one_test_used_goes_once_many_newer_ones_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pytest_dlthub.templates.store._MOST_USED_ONCE", 2)
    store, of_other_worker = TemplateStore(tmp_path, "s"), TemplateStore(tmp_path, "s")
    dropped: list[str] = []

    def use(key: str, group: str = "counted") -> None:
        template, _ = store.build(key, build_of(10))
        store.note_first_use(template, group, lambda: dropped.append(key))

    for key in ("a1", "a2", "a3"):
        use(key)
    use("b1", "another")
    assert store.find("a3")
    assert of_other_worker.find("a2")
    for key in ("a4", "a5", "a6", "a7"):
        use(key)

    left = sorted(path.parent.name for path in templates_in(tmp_path))
    assert left == ["a2", "a3", "a6", "a7", "b1"]
    assert dropped == ["a1", "a4", "a5"]
    assert not (tmp_path / "a1").exists()
    assert store.find("a1") is of_other_worker.find("a4") is None
    assert store.build("a1", build_of(10))[1]


def test_a_worker_takes_no_template_that_another_is_dropping(tmp_path: Path) -> None:
    store, of_other_worker = TemplateStore(tmp_path, "s"), TemplateStore(tmp_path, "s")
    template, _ = store.build("aa", build_of(10))

    # as before it is deleted
    (template.folder / "claim").mkdir()

    assert of_other_worker.find("aa") is None
    assert of_other_worker.build("aa", build_of(10))[1]
    assert of_other_worker.taken_damages() == []


def test_what_changes_per_test_is_told_and_does_not_fill_the_disk(
    run_tests: RunTests, builds: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pytest_dlthub.templates.store._MOST_USED_ONCE", 1)
    result = run_tests(
        COUNTING
        + """
number = 0


@dlt.resource
def numbered():
    count()
    yield [{"id": number}]


@pytest.mark.dlt_load(source=numbered)
@pytest.mark.parametrize("n", range(3))
def test_it(dlt_loaded, n):
    assert dlt_loaded.rows("numbered") == [{"id": n}]


@pytest.fixture(autouse=True)
def counts():
    yield
    global number
    number += 1


def test_few_are_left(request):
    from pytest_dlthub.templates.store import session_folder

    assert len([*session_folder(request.config).glob("*/*/template.json")]) == 1
""",
    )

    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(["3 templates of numbered: test_it.number differs in each"])
    assert builds() == 3
