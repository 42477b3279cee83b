#!/usr/bin/env bash
# Fetches into wheels/ what bench and its tests of GPUs need on a machine without a network, which has torch, torchvision
# and what these need: benchmarks/gpu_wheels.sh [PYTHON VERSION, as 3.12], where bench is installed. gpu.sh installs them.
# HAVE="scipy pandas" leaves out what that machine has, too.
set -euo pipefail
cd "$(dirname "$0")/.."
version=${1:-3.12}
platforms=()
for tag in manylinux_2_28 manylinux_2_27 manylinux_2_24 manylinux_2_17 manylinux2014 manylinux1; do
    platforms+=(--platform "${tag}_x86_64")
done
"${PYTHON:-python3}" - "$version" <<'PYTHON' | sort -u > wheels.txt
import importlib.metadata as metadata
import os
import re
import sys

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

# Those that come with torch; CUDA's own are gigabytes.
HAS = re.compile(
    "torch|torchvision|triton|nvidia-.*|cuda-.*|numpy|pillow|sympy|mpmath|networkx|jinja2|fsspec|filelock|setuptools"
    "|markupsafe|typing-extensions" + "".join(f"|{name}" for name in os.environ.get("HAVE", "").split())
)
there = {"python_version": sys.argv[1], "sys_platform": "linux", "platform_machine": "x86_64", "extra": ""}
seen = {"csg-bench"}

def add(names):
    for line in names:
        wanted = Requirement(line)
        name = canonicalize_name(wanted.name)
        if name in seen or HAS.fullmatch(name) or (wanted.marker and not wanted.marker.evaluate(there)):
            continue
        seen.add(name)
        print(f"{name}=={metadata.version(name)}")
        add(metadata.requires(name) or ())

add([*(metadata.requires("csg-bench") or ()), "pytest", "pytest-xdist", "hypothesis"])
PYTHON
rm -rf wheels
"${PYTHON:-python3}" -m pip download --quiet --no-deps --only-binary=:all: --python-version "$version" --implementation cp \
    "${platforms[@]}" --dest wheels --requirement wheels.txt
rm wheels.txt
du -sh wheels
