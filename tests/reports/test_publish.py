"""`bench publish`: a folder that is a store, names no path of this machine, and is there whole or not at all."""

import errno
import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import HALVES, PLUGINS, STRIPES, Command, run_sweep, tiny_spec
from records import RECORDS, record, write_store

from bench.errors import InputError
from bench.files.artifact import Given
from bench.plan import plan, spec
from bench.plan.elsewhere import Elsewhere
from bench.plugins.networks import code_of
from bench.reports.load import load
from bench.reports.publish import publish as publishing
from bench.reports.publish.card import card, default_title
from bench.reports.publish.copies import copy_runs
from bench.reports.publish.publish import Publication, publish
from bench.reports.publish.whole import check_place, whole
from bench.runs.verify.verifier import Verifier
from bench.store import owner, seal
from bench.store.machine_paths import first_of, first_path
from bench.store.published import PUBLISHED
from bench.store.record import FAILED, FINISHED, Record
from bench.store.store import RECORD, SEAL, SEALED, SPEC, TRACEBACK, WEIGHTS, Store

# Trained and published once, where pytest has several processes.
pytestmark = pytest.mark.xdist_group("publish")

BROKEN = str(PLUGINS / "broken.py")
HOSTILE = 'a "b"\n---\n# c: <script>alert(1)</script> [x](javascript:y) ``` \\ \x1b\u202e\u0085 \U0001f600'


@pytest.fixture(scope="module")
def store(swept: tuple[Path, list[Record]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of `swept`, with runs that failed."""
    folder = tmp_path_factory.mktemp("publish") / "store"
    shutil.copytree(swept[0], folder)
    run_sweep(tiny_spec(["csg", "broken:how=crash"], seeds=2, plugins=[STRIPES, HALVES, BROKEN]), folder)
    assert len(list(folder.glob(f"runs/*/{TRACEBACK}"))) == 2
    return folder


@pytest.fixture(scope="module")
def published(store: Path) -> Publication:
    """Don't write to it."""
    return publish([store], store.with_name("published"), Elsewhere(), "best")


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def rewritten(given: dict[str, Any], up: str = "") -> tuple[dict[str, Any], Elsewhere]:
    elsewhere = Elsewhere()
    text = spec.write(spec.check({"methods": ["csg"], **given}))
    return tomllib.loads(elsewhere.spec(text.encode(), up).decode()), elsewhere


def test_it_is_a_store_with_the_same_records(store: Path, published: Publication) -> None:
    before, after = Store(store), Store(published.folder)
    found = {folder.name: made for folder, made in after.read_all()[0].items()}
    assert found == {folder.name: made for folder, made in before.read_all()[0].items()}
    for name in found:
        assert (after.runs / name / RECORD).read_bytes() == (before.runs / name / RECORD).read_bytes()
        assert after.read_unchanged(after.runs / name) == found[name]
    assert (published.runs, published.left_out) == (len(found), {})


def test_no_file_names_a_folder_of_this_machine(store: Path, published: Publication) -> None:
    secret = [str(Path.home()), str(store), str(published.folder), str(PLUGINS), str(Path.cwd())]
    assert any(first_of(content, secret) for content in files_of(store).values())
    told = {name: first_of(content, secret) for name, content in files_of(published.folder).items()}
    assert {name: path for name, path in told.items() if path} == {}


def test_seals_say_what_was_left_out_on_purpose(store: Path, published: Publication) -> None:
    assert not list(published.folder.rglob(TRACEBACK))
    for folder, made in Store(published.folder).read_all()[0].items():
        sealed = seal.read(folder / SEAL)
        sealed.check_all(folder)
        before = seal.read(store / "runs" / folder.name / SEAL)
        assert set(before.files) <= set(SEALED)
        absent = set(before.files) - set(sealed.files)
        assert absent <= {WEIGHTS, TRACEBACK}
        assert dict(sealed.left_out) == {name: before.files[name].sha256 for name in absent}
        assert (TRACEBACK in sealed.left_out) == (made["status"] == FAILED)


def test_verify_finds_it_as_recorded_and_every_changed_file(published: Publication, tmp_path: Path) -> None:
    given = Given((STRIPES, HALVES, BROKEN))
    verdict = Verifier(Store(published.folder), given).verify()
    assert (verdict.wrong, verdict.runs, verdict.sealed) == ({}, published.runs, published.runs)
    groups = {
        (made["method_text"], made["budget"])
        for made in Store(published.folder).records()[0]
        if made["status"] == FINISHED
    }
    assert verdict.measured == published.weights == len(groups) == 5
    copy = tmp_path / "copy"
    shutil.copytree(published.folder, copy)
    for name in ("README.md", "index.html", "figures/accuracy_vs_parameters.svg", "code/stripes.py"):
        (copy / name).write_bytes((copy / name).read_bytes() + b" ")
    (copy / "summary.csv").unlink()
    wrong = Verifier(Store(copy), given, seals_alone=True).verify().wrong
    assert wrong.pop("summary.csv") == ["it is missing"]
    assert set(wrong) == {"README.md", "index.html", "figures/accuracy_vs_parameters.svg", "code/stripes.py"}


def test_the_spec_plans_the_same_runs_elsewhere(store: Path, published: Publication, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    shutil.copytree(published.folder, moved)
    here = plan.from_spec(spec.check(spec.read(store / SPEC)))
    there = plan.from_spec(spec.check(spec.read(moved / SPEC)))
    assert [run.id for run in there.runs] == [run.id for run in here.runs]
    assert set(there.spec.plugins) == {str(moved / "code" / name) for name in ("stripes.py", "broken.py")}
    for folder in Store(moved).runs.iterdir():
        (own,) = {run.id for run in plan.from_spec(spec.check(spec.read(folder / SPEC))).runs} & {folder.name[-12:]}
        assert folder.name.endswith(own)


def test_an_own_plugin_is_published_and_one_of_nothing_here_is_not(published: Publication) -> None:
    assert sorted(published.code) == ["code/broken.py", "code/stripes.py"]
    assert (published.folder / "code" / "stripes.py").read_bytes() == Path(STRIPES).read_bytes()
    assert published.needs == []


@pytest.mark.slow
def test_an_own_task_is_published_too(tmp_path: Path) -> None:
    task = (
        "from bench.tasks.classification import Classification\n\n\n"
        'class Told(Classification):\n    """Classification under another name."""\n'
    )
    (tmp_path / "told.py").write_text(task)
    stripes, option = Path(STRIPES).read_text(), "    train: Annotated"
    (tmp_path / "lines.py").write_text(stripes.replace(option, f'    task = "told"\n{option}', 1))
    plugins = [str(tmp_path / "lines.py"), str(tmp_path / "told.py")]
    records, _ = run_sweep(tiny_spec(["csg"], dataset="lines", plugins=plugins), tmp_path / "store")
    assert [record["task"] for record in records] == ["told", "told"]
    made = publish([tmp_path / "store"], tmp_path / "out", Elsewhere(), "none")
    assert sorted(made.code) == ["code/lines.py", "code/told.py"]


def test_it_holds_nothing_but_what_it_lists(published: Publication) -> None:
    listed = seal.decode(PUBLISHED, (published.folder / PUBLISHED).read_bytes())["files"]
    assert {*listed, PUBLISHED} == set(files_of(published.folder))
    tops = {name.partition("/")[0] for name in listed}
    assert tops & {"aside", "locks", "prefixes", "images.json", "report"} == set()
    assert sum(published.parts.values()) == sum(map(len, files_of(published.folder).values()))


@pytest.mark.usefixtures("undrawn")
def test_two_stores_count_a_run_once_and_each_has_its_spec(store: Path, tmp_path: Path, command: Command) -> None:
    other = tmp_path / "other"
    run_sweep(tiny_spec(["csg"], seeds=3), other)
    out = tmp_path / "out"
    code, said, _ = command("publish", str(store), str(other), "--out", str(out), "--title", "Mine")
    ids = {made["id"] for path in (store, other) for made in Store(path).records()[0]}
    assert (code, len(list(out.glob("runs/*")))) == (0, len(ids))
    assert f"published {out}: {len(ids)} runs; " in said
    assert {path.name for path in out.glob("spec*.toml")} == {"spec.toml", "spec-2.toml"}
    assert not list(out.rglob(WEIGHTS))
    assert "# Mine\n" in (out / "README.md").read_text()
    assert command("compare", str(out), str(store))[0] == 0
    assert command("verify", str(out), "--plugin", STRIPES, "--plugin", BROKEN)[1].splitlines()[-1] == (
        f"{len(ids)} of {len(ids)} as recorded ({len(ids)} sealed, 0 measured again)"
    )


@pytest.mark.usefixtures("undrawn")
def test_damaged_and_telling_runs_are_named_and_left_out(tmp_path: Path, command: Command) -> None:
    telling = record("csg", 7, None, "2x", status=FAILED, reason="OSError: no such file: '/home/me/secret/images'")
    source = write_store(tmp_path / "store", [*RECORDS, telling])
    damaged = next(source.glob("runs/*lowrank*"))
    (damaged / RECORD).write_text((damaged / RECORD).read_text() + " ")
    code, out, _ = command("publish", str(source), "--out", str(tmp_path / "out"))
    assert code == 1
    assert f"left out: {damaged.name}: " in out
    assert f"left out: run-{telling['id']}: record.json names /home/me/secret/images" in out
    assert len(list((tmp_path / "out" / "runs").iterdir())) == len(RECORDS) - 1
    texts = files_of(tmp_path / "out")
    assert not any(b"/home/me" in content for content in texts.values())
    # Who reads it learns that there were such runs.
    for name in ("README.md", "summary.md"):
        assert b"run-csg2x7: it names a folder of the machine that made it" in texts[name].replace(b"\\", b"")
        assert f"{damaged.name}: it differs from its seal" in texts[name].decode().replace("\\", "")


@pytest.mark.usefixtures("undrawn")
def test_where_no_run_can_be_published_there_is_nothing(tmp_path: Path, command: Command) -> None:
    source = write_store(tmp_path / "store", RECORDS[:1])
    next(source.glob(f"runs/*/{RECORD}")).write_text("{")
    code, _, error = command("publish", str(source), "--out", str(tmp_path / "deep" / "out"))
    assert (code, error.count("\n")) == (2, 1)
    assert "no run can be published" in error
    assert {path.name for path in tmp_path.iterdir()} == {"store"}


def test_an_unsealed_run_of_an_earlier_bench_is_sealed(tmp_path: Path) -> None:
    source = Path(__file__).parents[1] / "store" / "format_0"
    (tmp_path / "out").mkdir()
    copied = copy_runs([source], tmp_path / "out", "none", Elsewhere(), [])
    there = Store(source).read_all()[0]
    whole_ones = [folder for folder in there if there[folder]["status"] != FINISHED or (folder / WEIGHTS).is_file()]
    assert len(copied.records) == len(whole_ones) > 0
    for folder in (tmp_path / "out" / "runs").iterdir():
        made = Store(tmp_path / "out").read(folder)
        assert (WEIGHTS in seal.read(folder / SEAL).left_out) == (made["status"] == FINISHED)


@pytest.mark.usefixtures("undrawn")
def test_an_earlier_publication_is_replaced_and_anything_else_is_not_touched(tmp_path: Path, command: Command) -> None:
    source, out = write_store(tmp_path / "store", RECORDS), tmp_path / "out"
    out.mkdir()  # an empty one is as good as none
    assert command("publish", str(source), "--out", str(out))[0] == 0
    assert command("publish", str(source), "--out", str(out), "--title", "Again")[0] == 0
    assert "# Again\n" in (out / "README.md").read_text()
    assert {path.name for path in tmp_path.iterdir()} == {"store", "out"}
    (out / "notes.txt").write_text("mine")
    before = files_of(tmp_path)
    refused = {
        str(out): "notes.txt in it differs from what `bench publish` wrote",
        str(source): "it lies in the store",
        str(source / "runs" / "x"): "it lies in the store",
        str(tmp_path): "it contains the store",
        str(out / "notes.txt"): "it is not a folder",
        str(PLUGINS): "it has files but no publish.json",
    }
    for place, why in refused.items():
        code, _, error = command("publish", str(source), "--out", place)
        assert (code, error.count("\n"), why in error) == (2, 1, True), error
    (out / "notes.txt").unlink()
    (out / "README.md").write_text("edited")
    code, _, error = command("publish", str(source), "--out", str(out))
    assert (code, "README.md in it differs from" in error) == (2, True)
    assert {**before, "out/README.md": b"edited"} == {**files_of(tmp_path), "out/notes.txt": b"mine"}


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))])
@pytest.mark.parametrize("again", [False, True])
def test_an_interrupt_or_a_full_disk_changes_nothing(tmp_path: Path, error: BaseException, again: bool) -> None:
    out = tmp_path / "deep" / "out"
    if again:
        with whole(out) as folder:
            (folder / "before").write_text("before")
    before = files_of(tmp_path)

    def fill() -> None:
        with whole(out) as folder:
            (folder / "half").write_text("half")
            raise error

    if isinstance(error, OSError):
        with pytest.raises(InputError, match=f"can't publish to {out}: No space left on device; nothing was written"):
            fill()
    else:
        with pytest.raises(KeyboardInterrupt):
            fill()
    assert files_of(tmp_path) == before
    assert [path.name for path in tmp_path.rglob("*")] == (["deep", "out", "before"] if again else [])


def test_an_interrupt_between_the_two_renames_brings_the_earlier_one_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    with whole(out) as folder:
        (folder / "first").touch()
    rename = Path.rename

    def interrupted(self: Path, target: Path) -> Path:
        if ".new." in self.name:
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt), whole(out) as folder:
        (folder / "second").touch()
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == ["out", "out/first"]


@pytest.mark.parametrize("between", [False, True])
def test_what_a_killed_process_left_is_gone_the_next_time(tmp_path: Path, between: bool) -> None:
    """Also between the two renames, when the earlier publication has another name."""
    out = tmp_path / "out"
    with whole(out) as folder:
        (folder / "first").touch()
    host = owner.mark().rpartition(".")[0]
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    half = tmp_path / f".out.new.{host}.{ended.pid}"
    half.mkdir()
    if between:
        out.rename(tmp_path / f".out.before.{host}.{ended.pid}")
    of_others = tmp_path / ".out.new.elsewhere.1"
    of_others.mkdir()
    with pytest.raises(KeyboardInterrupt), whole(out):
        raise KeyboardInterrupt
    assert sorted(path.name for path in tmp_path.iterdir()) == [of_others.name, "out"]
    assert [path.name for path in out.iterdir()] == ["first"]


@pytest.mark.usefixtures("undrawn")
def test_a_file_that_would_tell_is_never_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last look, should the ones before it have missed something."""
    source = write_store(tmp_path / "store", RECORDS)
    monkeypatch.setattr(publishing, "default_title", lambda runs: f"of {source}")
    with pytest.raises(InputError, match=r"nothing was published: README\.md would name"):
        publish([source], tmp_path / "out", Elsewhere())
    assert {path.name for path in tmp_path.iterdir()} == {"store"}


def test_what_a_spec_reads_is_named_without_its_folder(tmp_path: Path) -> None:
    found, elsewhere = rewritten(
        {
            "methods": ["dense", "small=csg:generator=/data/me/runs/csg-1:code=8"],
            "dataset": "parquet:/data/me/cifar10:size=32",
            "weights": "/data/me/store/runs/dense-2/weights.safetensors",
            "data_dir": "/data/me/data",
            "model": "/data/me/nets/mynet.py:mynet:width=8",
            "plugins": ["/data/me/nets/small.py", "/data/me/plug/parquet.py", "/data/me/code/code.py"],
        },
        "../../",
    )
    assert found["methods"] == ["dense", "small=csg:generator=csg-1:code=8"]
    assert (found["dataset"], found["data_dir"]) == ("parquet:cifar10:size=32", "data")
    assert (found["weights"], found["model"]) == ("../../dense-2", "../../code/2/mynet.py:mynet:width=8")
    assert found["plugins"] == ["../../code/parquet.py"]
    assert set(elsewhere.given) == {("--plugin", "code/parquet.py"), ("--model", "code/2/mynet.py:mynet:width=8")}
    assert elsewhere.code(set()) == {}
    said = "\n".join(elsewhere.needs)
    for name in ("csg-1", "cifar10", "dense-2", "code/2/mynet.py", "code/parquet.py"):
        assert name in said
    assert first_path(said) is None


def test_code_is_published_with_what_it_imports_and_only_if_it_made_the_runs(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "net.py").write_text("import blocks\n\ndef net(channels, num_classes): ...\n")
    (tmp_path / "one" / "blocks.py").write_text("BLOCKS = 3\n")
    (tmp_path / "one" / "other.py").write_text("PASSWORD = 3\n")
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "net.py").write_text("def net(channels, num_classes): ...\n")
    (tmp_path / "net" / "more.py").write_text("MORE = 3\n")
    for model, expected in (
        (tmp_path / "one" / "net.py", {"code/net.py", "code/blocks.py"}),
        (tmp_path / "net" / "net.py", {"code/net/net.py", "code/net/more.py"}),
    ):
        found, elsewhere = rewritten({"model": f"{model}:net"})
        files = elsewhere.code({code_of(str(model))})
        assert set(files) == expected
        for name, content in files.items():
            (tmp_path / "there" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "there" / name).write_bytes(content)
        moved = tmp_path / "there" / found["model"].partition(":")[0]
        assert code_of(str(moved)) == code_of(str(model))  # of a network of a file, it is in ids
        assert elsewhere.code({"another"}) == {}
        assert "the runs were made by other code" in elsewhere.needs[0]
    (tmp_path / "one" / "blocks.py").write_text("HERE = '/data/me/blocks'\n")
    _, elsewhere = rewritten({"model": f"{tmp_path / 'one' / 'net.py'}:net"})
    assert elsewhere.code({code_of(str(tmp_path / "one" / "net.py"))}) == {}
    assert "blocks.py holds a path of this machine" in elsewhere.needs[0]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("no such file: '/home/me/x.png'", "/home/me/x.png"),
        ("parquet:/data/cifar10:size=32", "/data/cifar10"),
        ("file:///home/me/x", "file:///home/me/x"),
        (r"C:\Users\me\x", r"C:\Users\me\x"),
        ("url = {https://arxiv.org/abs/1911.11288}", None),
        ("../../code/mine.py, and/or 3 / 4 // 5", None),
        ("Linux-6.1-x86_64-with-glibc2.36", None),
    ],
)
def test_paths_in_text(text: str, found: str | None) -> None:
    assert first_path(text) == found


def test_a_folder_is_found_as_a_whole_name_alone() -> None:
    assert first_of(b'"/root"', ["/", "/root"]) == "/root"
    assert first_of(b"/rootless and x/root", ["/", "/root"]) is None


def front_matter(text: str) -> Iterator[tuple[str, Any]]:
    """The texts in quotation marks, which are JSON and so YAML."""
    head = text.split("\n---\n")[0].split("\n")
    assert head[0] == "---"
    for line in head[1:]:
        name, colon, value = line.partition(": ")
        if colon and value.startswith('"'):
            yield name, json.loads(value)


def test_text_of_records_is_neither_markup_nor_yaml_in_the_card(tmp_path: Path) -> None:
    hostile = [
        record("dense", 0, 90.0),
        record(HOSTILE, 0, 80.0, "2x", platform=HOSTILE, id="x", bench_version="1; rm"),
    ]
    runs = load([write_store(tmp_path / "store", hostile)]).runs
    text = card(runs, "# x\n\ny", HOSTILE, [SPEC], [], [("--plugin", "code/a b.py")], [HOSTILE], 0, f"% {HOSTILE}")
    assert set(dict(front_matter(text))) == {"pretty_name", "title"}
    assert all("\n" not in line and line.isprintable() for line in text.split("\n")[:20])
    outside = text[text.index("\n---\n") + 1 : text.index("````bibtex")]
    assert "<script" not in outside
    assert "[x](javascript" not in outside
    assert "\n# c" not in outside
    assert "\n---\n" not in outside
    assert text.rstrip().endswith("\n````")
    assert "--plugin 'code/a b.py'" in text
    assert "rm" not in text[text.index("pip install") :].split("\n")[0]
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_yaml_of_the_card_is_what_was_meant(published: Publication) -> None:
    yaml = pytest.importorskip("yaml")
    text = (published.folder / "README.md").read_text()
    read = yaml.safe_load(text.split("\n---\n")[0])
    assert read["pretty_name"] == read["title"] == default_title(load([published.folder]).runs)
    assert {part["data_files"] for part in read["configs"]} <= set(files_of(published.folder))
    assert "license" not in read


def test_the_card_says_what_summary_says_and_how_to_go_on(published: Publication) -> None:
    text = (published.folder / "README.md").read_text()
    summary = (published.folder / "summary.md").read_text()
    assert summary.partition("\n")[2].strip() in text
    assert "bench run --spec spec.toml --out ../again" in text
    assert "bench verify . --plugin code/stripes.py --plugin code/broken.py\n" in text
    for name in ("index.html", "results.csv", "spec.toml", "code/"):
        assert f"| {name} |" in text


def test_other_choices_are_named(tmp_path: Path, command: Command) -> None:
    source = write_store(tmp_path / "store", RECORDS[:1])
    for arguments, why in (
        (["--weights", "bst"], "unknown choice for --weights 'bst'; did you mean 'best'?"),
        (["--title", " "], "--title can't be blank"),
    ):
        code, _, error = command("publish", str(source), "--out", str(tmp_path / "out"), *arguments)
        assert (code, why in error) == (2, True)
    code, _, error = command("publish", str(tmp_path), "--out", str(tmp_path / "out"))
    assert (code, "no runs in" in error) == (2, True)
    assert not (tmp_path / "out").exists()


def test_a_tampered_list_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / PUBLISHED).write_bytes(seal.encode({"format": 1, "files": {"../x": "0"}}))
    with pytest.raises(InputError, match=r"publish\.json names something that is not a file beside it"):
        check_place(tmp_path / "out", [])
    (tmp_path / "out" / PUBLISHED).write_text("{}")
    with pytest.raises(InputError, match=r"publish\.json has changed since it was sealed"):
        check_place(tmp_path / "out", [])


def test_a_run_that_reuses_a_generator_is_published(tmp_path: Path) -> None:
    """Its record has the name of the generator's file and a hash, and not where it lies."""
    (_, first), _ = run_sweep(tiny_spec(["csg:code=2"]), tmp_path / "first")
    source = next((tmp_path / "first" / "runs").glob("csg*"))
    asked = tiny_spec([f"reused=csg:generator={source}"])
    folder = tmp_path / "second"
    (_, reused), _ = run_sweep(asked, folder)
    assert (first["status"], reused["status"]) == (FINISHED, FINISHED)
    hashed = reused["method_text"].removeprefix(f"csg:generator={source.name}#")
    assert len(hashed) == 8
    assert reused["option.generator"] == source.name
    publication = publish([folder], tmp_path / "published", Elsewhere(), "none")
    assert not [line for line in publication.left_out if "generator" in line]
    assert reused["id"] in {made["id"] for made in Store(tmp_path / "published").records()[0]}
    # The record is that of the run: verify says so, and a sweep gives it another label without training.
    assert Verifier(Store(folder), Given((STRIPES, HALVES))).verify().wrong == {}
    (_, again), _ = run_sweep(tiny_spec([f"again=csg:generator={source}"]), folder)
    assert (again["id"], again["method"], again["started"]) == (reused["id"], "again", reused["started"])


def test_files_of_one_name_are_told_apart_in_records(tmp_path: Path) -> None:
    run_sweep(tiny_spec(["csg:code=2", "csg:code=3"]), tmp_path / "first")
    files = []
    for run in sorted((tmp_path / "first" / "runs").glob("csg*")):
        files.append(tmp_path / run.name / "same.safetensors")
        files[-1].parent.mkdir()
        shutil.copyfile(run / WEIGHTS, files[-1])
    spec_of_both = tiny_spec([f"{name}=csg:generator={file}" for name, file in zip("ab", files, strict=True)])
    texts = {run.choice.recorded for run in plan.from_spec(spec_of_both).runs if run.choice.name == "csg"}
    assert len(texts) == 2
    assert {text.partition("#")[0] for text in texts} == {"csg:generator=same.safetensors"}
