"""Takes the runs of a published store in here: `python docs/results/collect.py PUBLISHED runs` (or `rates/runs`, or
`rates-shapes/runs` and the like).

`bench publish STORE --out PUBLISHED` leaves out saved networks and paths. To save space, this leaves out more: the
codes of csg for all seeds but 0, and the predictions and examples of runs that only choose learning rates. Seals keep
the hashes of all files that were left out. A run that is there already stays.
"""

import shutil
import sys
from pathlib import Path

from bench.store import seal
from bench.store.store import CODES, EXAMPLES, PREDICTIONS, RECORD, SEAL, Store

HERE = Path(__file__).resolve().parent


def main(published: Path, to: Path) -> None:
    store = Store(published)
    for folder, record in store.read_all()[0].items():
        left_out = {PREDICTIONS, EXAMPLES, CODES} if to.parent.name.startswith("rates") else set()
        left_out |= {CODES} if record["seed"] > 0 else set()
        new = to / folder.name
        if (new / RECORD).exists():
            continue
        shutil.copytree(folder, new)
        sealed = seal.read(new / SEAL)
        for name in left_out & sealed.files.keys():
            (new / name).unlink()
            sealed = sealed.without(name)
        (new / SEAL).write_bytes(sealed.encode())


if __name__ == "__main__":
    main(Path(sys.argv[1]), HERE / sys.argv[2])
