"""Takes the runs of a published store in here: `python docs/results/collect.py PUBLISHED runs` (or `rates/runs`).

`bench publish STORE --out PUBLISHED` has left out saved networks and paths. To stay small, the codes of csg are left
out here too, but for seed 0; and of runs that only choose learning rates, the predictions. Seals keep the hashes of all
that was left out. A run that is there already stays.
"""

import shutil
import sys
from pathlib import Path

from bench.store import seal
from bench.store.store import CODES, PREDICTIONS, RECORD, SEAL, Store

HERE = Path(__file__).resolve().parent


def main(published: Path, to: Path) -> None:
    store = Store(published)
    for folder, record in store.read_all()[0].items():
        left_out = {PREDICTIONS, CODES} if to.parent.name == "rates" else set()
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
