#!/usr/bin/env bash
# All that is to be known of a GPU, in nine minutes: benchmarks/gpu.sh [FOLDER]. The folder gets gpu.json and gpu.md.
#
# Where there is no network, packages come from wheels/ beside the repository's files, which gpu_wheels.sh filled on a
# machine that has one.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
if [ -d wheels ]; then
    site=$(mktemp -d)
    "$python" -m pip install --quiet --no-index --no-deps --no-compile --target "$site" wheels/*.whl
    export PYTHONPATH="$site${PYTHONPATH:+:$PYTHONPATH}"
fi
# From the checkout, whatever is installed.
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
exec timeout 540 "$python" benchmarks/gpu.py --out "${1:-results-gpu}"
