"""Checks the checksums in a zip file of torch.save: torch writes them but does not check them when it reads."""

import zipfile
from pathlib import Path

_CHUNK = 2**20


def damaged_entry(path: Path) -> str | None:
    """The first entry whose content doesn't match its checksum; None if all match.

    Also None for a file that is no zip file, and for a file written without checksums
    (`torch.serialization.set_crc32_options(False)`), where none match. Raises BadZipFile if the file can't be read as a
    zip file.
    """
    if not zipfile.is_zipfile(path):
        return None
    wrong, right = [], 0
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            try:
                with archive.open(entry) as file:
                    while file.read(_CHUNK):
                        pass
                right += entry.file_size > 0
            except zipfile.BadZipFile:
                if entry.CRC:  # without checksums torch writes 0
                    wrong.append(entry.filename)
    return wrong[0] if wrong and right else None
