"""The checksums in a zip file of torch.save: torch writes them and doesn't look at them when it reads."""

import zipfile
from pathlib import Path

_CHUNK = 2**20


def damaged_entry(path: Path) -> str | None:
    """The first entry whose content is not what its checksum says; None if all are, for a file that is no zip file,
    and for one that was written without (`torch.serialization.set_crc32_options(False)`), in which none fits. Raises
    BadZipFile where the file can't be taken apart."""
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
                if entry.CRC:  # without a checksum torch writes 0
                    wrong.append(entry.filename)
    return wrong[0] if wrong and right else None
