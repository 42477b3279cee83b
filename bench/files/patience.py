"""Sets how OpenMP threads wait for one another. Must run before torch is imported, which reads the setting once."""

from collections.abc import MutableMapping

_PATIENT = {"OMP_WAIT_POLICY": "passive"}


def be_patient(environment: MutableMapping[str, str]) -> None:
    """Have threads sleep while they wait, unless the user's environment says otherwise.

    By default they spin. Beside another busy program, two spinning threads train a fifth of the images that two
    sleeping threads train, and each takes four times the time of a core.
    """
    for name, value in _PATIENT.items():
        environment.setdefault(name, value)
