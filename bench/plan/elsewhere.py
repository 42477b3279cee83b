"""Specs rewritten for another machine: without paths of this one, and with the code that they need beside them."""

import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomli_w

from bench.errors import InputError, first_line
from bench.files.network_file import folder_of
from bench.files.start_weights import BACKBONE, PRETRAINED
from bench.plan import defaults
from bench.plugins import by_path, networks, options
from bench.plugins.code import code_hash, own_files
from bench.plugins.discovery import name_of
from bench.store.machine_paths import first_path

# The folder of a person's code, beside the spec. A plugin with more bytes than this is not published.
CODE = "code"
_MOST_BYTES = 1_000_000


@dataclass
class Elsewhere:
    """Rewrites the specs of one publication. `needs` has a line for each thing that the reader of the specs must
    provide. `given` has the options that name the plugins of the specs. Commands need them, since bench runs nothing
    that only a store names. `tasks` are the tasks of the runs, which no spec names."""

    needs: list[str] = field(default_factory=list)
    given: list[tuple[str, str]] = field(default_factory=list)
    tasks: set[str] = field(default_factory=set)
    _code: dict[str, str] = field(default_factory=dict)
    _folders: dict[Path, str] = field(default_factory=dict)

    def spec(self, content: bytes, up: str = "") -> bytes:
        """The spec for the publication's folder, or for a folder from which the path `up` leads there. Runs keep their
        ids, since places are no part of ids. Raises ValueError if the content is no spec."""
        try:
            given = tomllib.loads(content.decode())
            return tomli_w.dumps({**given, **dict(self._changed(given, up))}).encode()
        except (InputError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(first_line(error)) from error

    def code(self, hashes: Collection[str]) -> dict[str, bytes]:
        """The files of all plugins that the specs name, by their place. Only code with one of these `hashes`, which
        come from records: a spec may publish no other file. A plugin with another hash gets a line in `needs`."""
        found: dict[str, bytes] = {}
        for source, place in self._code.items():
            try:
                files = self._files(Path(source), place, hashes)
            except (ValueError, OSError) as error:
                why = error.strerror if isinstance(error, OSError) else error
                self._need(f"{place}, code that is not published: {why}")
            else:
                found |= files
        return found

    def _changed(self, given: Mapping[str, Any], up: str) -> Iterator[tuple[str, Any]]:
        """The fields that change, with their new values."""
        yield "data_dir", defaults.DATA_DIR
        texts = [rest for _, rest in map(options.labelled, given.get("methods", []))]
        used = {options.split(text).name for text in [*texts, *([given["dataset"]] if "dataset" in given else [])]}
        yield "methods", [label + self._moved(text) for label, text in map(options.labelled, given.get("methods", []))]
        if "dataset" in given:
            yield "dataset", self._moved(given["dataset"])
        # A plugin that no method, dataset or task comes from stays private.
        plugins = [text for text in given.get("plugins", []) if name_of(Path(text).stem) in used | self.tasks]
        places = [self._place(text) for text in plugins]
        yield "plugins", [up + place for place in places]
        self._give(*(("--plugin", place) for place in places))
        if (model := networks.split_file(given.get("model", ""))) is not None:
            place = self._place(model[0]) + model[1]
            yield "model", up + place
            self._give(("--model", place))
        weights = given.get("weights", PRETRAINED)
        part, own = (BACKBONE, weights.removeprefix(BACKBONE)) if weights.startswith(BACKBONE) else ("", weights)
        if own != PRETRAINED:
            name = folder_of(Path(own)).name
            self._need(f"{name}, the weights that every run starts from, beside spec.toml (or give --weights)")
            yield "weights", part + up + name

        if (corruptions := given.get("corruptions", defaults.COMPUTED)) != defaults.COMPUTED:
            name = Path(corruptions).name
            self._need(f"{name}, the corrupted test images, beside spec.toml (or give --corruptions)")
            yield "corruptions", up + name

    def _moved(self, text: str) -> str:
        """A method or dataset without the folders of the files that it reads."""
        moved, names = options.without_folders(text)
        for name in names:
            self._need(
                f"{name}, which {moved} reads, where you stand (or write {options.split(text).name} with its path)"
            )
        return moved

    def _place(self, text: str) -> str:
        """The place of this plugin in the publication's folder. Plugins of one folder stay together."""
        if text not in self._code:
            file = _located(text)
            base = file.parent.parent if _is_folder(file) else file.parent
            if base not in self._folders:
                number = len(self._folders) + 1
                self._folders[base] = CODE if number == 1 else f"{CODE}/{number}"
            inside = f"{self._folders[base]}/{file.relative_to(base).as_posix()}"
            # A file in a folder of its own name would be taken for a plugin of several files.
            place = inside if _is_folder(file) or Path(inside).parent.name != file.stem else f"{CODE}/one/{file.name}"
            self._code[text] = place
        return self._code[text]

    def _files(self, source: Path, place: str, hashes: Collection[str]) -> dict[str, bytes]:
        """Raises ValueError, with the reason, for a spec that may not be published."""
        file = _located(str(source))
        if not file.is_file():
            raise ValueError("no such file is there any more")
        own = by_path.files_of(file)
        if code_hash(own) not in hashes:
            raise ValueError("the runs were made by other code than lies there now")
        base = file.parent.parent if _is_folder(file) else file.parent
        top = Path(place).parent.parent if _is_folder(file) else Path(place).parent
        found = {}
        for path in own_files(own):
            if not path.is_relative_to(base):
                raise ValueError(f"it imports {path.name}, which does not lie beside it")
            found[(top / path.relative_to(base)).as_posix()] = path.read_bytes()
        for name, content in found.items():
            if first_path(content.decode(errors="replace")) is not None:
                raise ValueError(f"{Path(name).name} holds a path of this machine")
        if (size := sum(map(len, found.values()))) > _MOST_BYTES:
            raise ValueError(f"it has {size:,} bytes, and up to {_MOST_BYTES:,} are published")
        return found

    def _give(self, *options: tuple[str, str]) -> None:
        self.given += [option for option in options if option not in self.given]

    def _need(self, line: str) -> None:
        if line not in self.needs:
            self.needs.append(line)


def _located(text: str) -> Path:
    """The plugin's file. If the file is gone, the path as it was written."""
    try:
        return by_path.locate(text)
    except InputError:
        return Path(text)


def _is_folder(file: Path) -> bool:
    """Whether the plugin is its whole folder, and not the file alone."""
    return file.parent.name == file.stem
