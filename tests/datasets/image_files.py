"""Small image files, folders and Parquet files for the tests of datasets."""

import io
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
from PIL import Image

from bench.dataset import Dataset
from bench.plugins import discovery


def encoded(value: int, size: tuple[int, int] = (6, 5), mode: str = "RGB", kind: str = "PNG", **options: Any) -> bytes:
    """An image file of one colour; size is (width, height)."""
    content = io.BytesIO()
    Image.new(mode, size, value if mode == "L" else (value, 0, 255 - value)).save(content, kind, **options)
    return content.getvalue()


def png(depth: int, kind: int, rows: bytes, transparent: bytes = b"", palette: bytes = b"") -> bytes:
    """A PNG of 6x5 pixels of kinds that Pillow reads and doesn't write. `kind` is the format's number: 0 grey, 2
    colour, 3 palette, 4 grey with alpha, 6 colour with alpha. `rows` is the content of each row."""
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", 6, 5, depth, kind, 0, 0, 0)),
        *([(b"PLTE", palette)] if palette else []),
        *([(b"tRNS", transparent)] if transparent else []),
        (b"IDAT", zlib.compress((b"\0" + rows) * 5)),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    )


def made(name: str, directory: Path | None = None, **given: Any) -> Dataset:
    """The dataset of this name with these options, as text."""
    value = None if directory is None else str(directory)
    dataset: Dataset = discovery.find(discovery.DATASETS, name).build(value, given)
    return dataset


def write_classes(folder: Path, **counts: int) -> None:
    """Class folders with so many images each."""
    for place, (name, count) in enumerate(counts.items()):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            (folder / name / f"{index}.png").write_bytes(encoded(20 * place + index))


def write_rows(path: Path, labels: Any, metadata: Any = None, **columns: Any) -> None:
    """A Parquet file with a row for each label, in the column `label`, beside other columns. `metadata` is written as
    JSON; bytes as they are."""
    images = [{"bytes": encoded(index), "path": f"{index}.png"} for index in range(len(labels))]
    table = pyarrow.table({"image": images, "label": labels, **columns})
    write_table(path, table, metadata)


def numbered(top: Path, *names: str) -> None:
    """Parquet files with these names and four rows each, of the classes 0 and 1."""
    for name in names:
        write_rows(top / f"{name}.parquet", [0, 1, 0, 1])


def write_table(path: Path, table: Any, metadata: Any = None) -> None:
    """A Parquet file of a table, with Hugging Face metadata."""
    if metadata is not None:
        raw = metadata if isinstance(metadata, bytes) else json.dumps(metadata).encode()
        table = table.replace_schema_metadata({b"huggingface": raw})
    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(table, path)


def class_label(*names: str, column: str = "label") -> dict[str, Any]:
    """Metadata that declares a column a ClassLabel."""
    return {"info": {"features": {column: {"_type": "ClassLabel", "names": list(names)}}}}
