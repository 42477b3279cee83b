"""Names of classes in the Hugging Face metadata of Parquet files, as they are and as they go wrong."""

from pathlib import Path
from typing import Any

import pytest
from image_files import class_label, made, write_classes, write_rows

from bench.errors import InputError

NO_COLUMNS = "says nothing of the columns, and is not used"
NO_NAMES = "has no list of names for the classes of 'label', and is not used for them"
ODD_COLUMN = "has classes of columns that are not there: what"


def of_label(**own: Any) -> dict[str, Any]:
    return {"info": {"features": {"label": own}}}


# The metadata of both files, and what is said of it. The labels are 0 and 1.
UNUSED: dict[str, tuple[Any, str | None]] = {
    **{
        text: (text.encode(), NO_COLUMNS)
        for text in (
            *("[]", "{}", "null", "3", '{"info": null}', '{"info": {"features": null}}', '{"info": {"features": "x"}}'),
            *("no JSON", "\xff", '{"info": []}', "[" * 100_000),
        )
    },
    "odd columns": ({"info": {"features": {"label": ["x"], "image": None}}}, None),
    "no classes": (of_label(_type="Value", dtype="int64"), None),
    "names in a text": (of_label(_type="ClassLabel", names="ab"), NO_NAMES),
    "names by number": (of_label(_type="ClassLabel", names={"0": "cat", "1": "dog"}), NO_NAMES),
    "names of no class": (of_label(_type="ClassLabel", names=[]), NO_NAMES),
    "names that are none": (of_label(_type="ClassLabel", names=[float("nan"), None]), NO_NAMES),
    "a name that is none": (of_label(_type="ClassLabel", names=["cat", None]), NO_NAMES),
    "lists for names": (of_label(_type="ClassLabel", names=[["cat"], ["dog"]]), NO_NAMES),
    "a count alone": (of_label(_type="ClassLabel", num_classes=5), NO_NAMES),
    "names without a type": (of_label(names="ab"), NO_NAMES),
    "classes of another column": (class_label("a", "b", column="what"), ODD_COLUMN),
}


@pytest.mark.parametrize("case", UNUSED, ids=lambda case: case[:30])
def test_metadata_that_names_no_classes_is_not_used_and_that_is_said(case: str, tmp_path: Path) -> None:
    metadata, said = UNUSED[case]
    for split in ("train", "test"):
        write_rows(tmp_path / f"{split}.parquet", [0, 1, 0, 1], metadata)
    data = made("parquet", tmp_path).load(Path(), False)
    assert data.classes == ("0", "1")
    assert data.train.targets.tolist() == [0, 1, 0, 1]
    assert data.notes == (() if said is None else (f"the Hugging Face metadata of train.parquet, test.parquet {said}",))


def test_numbers_can_be_names(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write_rows(tmp_path / f"{split}.parquet", [0, 1, 0, 1], of_label(_type="ClassLabel", names=[7, 8.5]))
    data = made("parquet", tmp_path).load(Path(), False)
    assert data.classes == ("7", "8.5")
    assert data.notes == ()


def test_a_count_beside_other_names_is_said(tmp_path: Path) -> None:
    write_rows(tmp_path / "train.parquet", [0, 1, 0, 1], of_label(_type="ClassLabel", names=["a", "b"], num_classes=5))
    write_rows(tmp_path / "test.parquet", [0, 1], of_label(_type="ClassLabel", names=["a", "b"], num_classes=2))
    data = made("parquet", tmp_path).load(Path(), False)
    assert data.classes == ("a", "b")
    assert data.notes == ("the Hugging Face metadata of train.parquet says 5 classes and has 2 names, which are used",)


def test_classes_of_one_name_are_read_and_said(tmp_path: Path) -> None:
    """ImageNet's metadata has two cranes, a bird and a machine."""
    for split in ("train", "test"):
        write_rows(tmp_path / f"{split}.parquet", [0, 1, 2], class_label("crane", "a", "crane"))
    data = made("parquet", tmp_path).load(Path(), False)
    assert data.classes == ("crane", "a", "crane")
    assert data.train.targets.tolist() == [0, 1, 2]
    assert data.notes == ("several classes are called alike: crane",)


def test_classes_of_one_name_that_cannot_be_told_apart(tmp_path: Path) -> None:
    def complaint() -> str:
        with pytest.raises(InputError) as caught:
            made("parquet", tmp_path).load(Path(), False)
        return str(caught.value)

    write_rows(tmp_path / "train.parquet", [0, 1, 2], class_label("crane", "a", "crane"))
    write_rows(tmp_path / "test.parquet", [0], class_label("a", "crane", "crane"))
    assert complaint().endswith("and crane is there twice, so that it can't be told which is which")
    write_rows(tmp_path / "test.parquet", ["crane"], class_label("crane", "a", "crane"))
    said = "test has the label 'crane', which is the name of several of the classes: crane, a, crane"
    assert said in complaint()


def test_folders_whose_names_are_written_alike_are_said(tmp_path: Path) -> None:
    """A line feed, and the two characters that it is shown as."""
    for split in ("train", "test"):
        write_classes(tmp_path / split, **{"x\n": 1, "x\\n": 1})
    data = made("folder", tmp_path).load(Path(), False)
    assert data.classes == ("x\\n", "x\\n")
    assert data.notes == (r"several classes are called alike: x\n",)
