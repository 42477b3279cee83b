"""How threads of OpenMP wait for one another: set before torch is imported, which reads it once."""

from collections.abc import MutableMapping

_PATIENT = {"OMP_WAIT_POLICY": "passive"}


def be_patient(environment: MutableMapping[str, str]) -> None:
    """Have threads sleep while they wait, unless the person said something else.

    By default they spin. Beside a busy neighbour two that spin train a fifth of the images that two patient ones do,
    and take four times the time of a core for each.
    """
    for name, value in _PATIENT.items():
        environment.setdefault(name, value)
