"""A Parquet dataset with its first training images alone: `python docs/results/first_rows.py cifar10-jpeg 10000`.

Writes the folder cifar10-jpeg-10000 beside the other one, with all of its test images. The rows of CIFAR-10 (JPEG) are
in random order, so that the first are a fair draw.
"""

import shutil
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


def main(folder: Path, rows: int) -> None:
    out = folder.with_name(f"{folder.name}-{rows}")
    out.mkdir()
    for path in folder.glob("test-*.parquet"):
        shutil.copyfile(path, out / path.name)
    train = pa.concat_tables([pq.read_table(path) for path in sorted(folder.glob("train-*.parquet"))])
    pq.write_table(train.slice(0, rows), out / "train-00000-of-00001.parquet")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
