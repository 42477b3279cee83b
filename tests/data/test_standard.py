"""How images are standardised: as asked for, as the weights or the network say, and never by a guess."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import tiny_spec
from PIL import Image

from bench import testing
from bench.data.normalise import Normalise
from bench.data.standard import Standard, normalisation, parse, text_of
from bench.datasets._decoding.image import pixels
from bench.datasets._decoding.warned import Warned
from bench.errors import InputError
from bench.model import Inputs
from bench.plan import plan
from bench.plan.dataset_choice import find_dataset, with_size
from bench.plugins import networks

IMAGENET = "0.485,0.456,0.406/0.229,0.224,0.225"
NET = """
import torch
from bench.model import Inputs, Model


def build(channels, num_classes):
    layers = torch.nn.Conv2d(channels, 4, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
    return torch.nn.Sequential(*layers, torch.nn.Linear(4, num_classes))


net = Model(build, inputs=Inputs(12, 12, [51.0], [102.0]))
"""


def test_imagenet_is_what_torchvision_standardises_by() -> None:
    chosen = parse("imagenet")
    assert chosen is not None
    images = torch.randint(0, 256, (2, 3, 4, 4), dtype=torch.uint8)
    mean, deviation = (torch.tensor(values)[:, None, None] for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    assert torch.allclose(chosen.normalise(3)(images), (images / 255 - mean) / deviation, atol=1e-5)
    assert parse(IMAGENET) == chosen
    assert text_of(chosen) == "imagenet"


def test_one_number_is_for_all_channels() -> None:
    chosen = parse("0.5/0.25")
    assert chosen == Standard((127.5,), (63.75,))
    assert text_of(chosen) == "0.5/0.25"
    images = torch.full((1, 2, 1, 1), 255, dtype=torch.uint8)
    assert chosen.normalise(2)(images).flatten().tolist() == [2.0, 2.0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cifar", "--normalise can't be 'cifar'; it is imagenet, dataset"),
        ("0.5", "--normalise can't be '0.5'; it is"),
        ("0.5/", "--normalise can't be '0.5/'; it is"),
        ("nan/0.5", "--normalise can't be 'nan/0.5'; it is"),
        ("0.5,0.5/0.1,0.1,0.1", "it is imagenet, dataset"),
        ("127.5/127.5", r"means lie between 0 and 1 .* \(127.5 of 255 is 0.5\)"),
        ("0.5/0", "deviations above 0"),
        ("0.5/1e-400", "--normalise can't be '0.5/1e-400': .* deviations above 0"),
        ("0.5/1e-40", "--normalise can't be '0.5/1e-40': .* deviations above 0"),
        ("0.5/-0.5", "--normalise can't be '0.5/-0.5': .* deviations above 0"),
    ],
)
def test_what_can_not_be_read_is_one_line(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse(text)


def test_numbers_for_other_channels_are_refused() -> None:
    chosen = parse("imagenet")
    assert chosen is not None
    with pytest.raises(InputError, match="images of 1 channel can't be standardised by imagenet; give --normalise"):
        chosen.normalise(1)


def test_the_datasets_own_are_those_of_its_images() -> None:
    train = find_dataset("glyphs:train=26:test=26").decode(Path(), download=False).train
    assert torch.equal(normalisation(None, train).mean, Normalise.of(train).mean)
    assert normalisation(parse("0.5/0.5"), train).mean.flatten().tolist() == [127.5] * 3


def state_of(model: str, path: Path, classes: int = 26) -> str:
    torch.save(testing.network(model, 3, classes).state_dict(), path)
    return str(path)


def own_network(folder: Path) -> str:
    """One that says what images it takes."""
    (folder / "net.py").write_text(NET)
    return f"{folder / 'net.py'}:net"


def ids(**changes: object) -> list[str]:
    asked = tiny_spec(["csg"], dataset="glyphs:train=26:test=26", **changes)
    return [run.id for run in plan.from_spec(asked).runs]


def test_with_weights_the_datasets_own_are_never_put_in_silently(tmp_path: Path) -> None:
    weights = state_of("resnet8", tmp_path / "w.pth")
    with pytest.raises(InputError, match=r"that w.pth was trained on\? Neither it nor resnet8 .* give --normalise"):
        ids(weights=weights)
    own = plan.from_spec(tiny_spec(["csg"], weights=weights, normalise="dataset"))
    assert own.setting.standard is None
    assert own.spec.normalise == "dataset"


def test_the_network_may_say_it(tmp_path: Path) -> None:
    model = own_network(tmp_path)
    made = plan.from_spec(tiny_spec(["csg"], model=model, weights=state_of(model, tmp_path / "w.pth")))
    assert made.setting.standard == Standard((51.0,), (102.0,))
    (note,) = made.notes
    assert note.startswith("images are standardised by 0.2/0.4, as net.py:net says")


def test_it_is_in_ids_where_it_is_not_what_is_usual(tmp_path: Path) -> None:
    assert ids() == ids(normalise="dataset")
    assert ids() != ids(normalise="imagenet")
    assert ids(normalise="imagenet") == ids(normalise=IMAGENET)
    weights = state_of("resnet8", tmp_path / "w.pth")
    assert ids(weights=weights, normalise="dataset") != ids(weights=weights, normalise="imagenet")


def test_torchvisions_networks_bring_their_inputs() -> None:
    for name, size in (("resnet18", 224), ("inception_v3", 299), ("efficientnet_b1", 240)):
        inputs = networks.find(name).model.inputs
        assert inputs is not None
        assert (inputs.height, inputs.width) == (size, size)
        assert Standard.of(inputs).text == "imagenet"


def folder(path: Path) -> str:
    for split in ("train", "test"):
        for name in ("a", "b"):
            (path / split / name).mkdir(parents=True)
            Image.new("RGB", (30, 20), "red").save(path / split / name / "1.png")
    return f"folder:{path}"


def test_images_are_brought_to_the_size_of_a_finished_network(tmp_path: Path) -> None:
    inputs = Inputs(12, 12, [0.0], [1.0])
    chosen = find_dataset(folder(tmp_path / "photos"))
    made, lines = with_size(chosen, inputs.size)
    assert made.decode(tmp_path, download=False).image_shape == (3, 12, 12)
    assert lines == ["folder:photos: images are brought to 12x12, as the network takes them (:size= takes another)"]
    given = find_dataset(f"folder:{tmp_path / 'photos'}:size=9")
    assert with_size(given, inputs.size) == (given, [])
    assert with_size(chosen, None) == (chosen, [])
    glyphs = find_dataset("glyphs")
    assert with_size(glyphs, inputs.size) == (glyphs, [])


def test_the_plan_and_its_ids_have_that_size(tmp_path: Path) -> None:
    model, photos = own_network(tmp_path), folder(tmp_path / "photos")
    weights = state_of(model, tmp_path / "w.pth", classes=2)

    def planned(**changes: object) -> plan.Plan:
        return plan.from_spec(tiny_spec(["csg"], model=model, **changes))

    found = planned(dataset=photos, weights=weights)
    assert found.spec.dataset == f"{photos}:size=12"
    same = planned(dataset=f"{photos}:size=12", weights=weights)
    assert [run.id for run in found.runs] == [run.id for run in same.runs]
    assert planned(dataset=photos).spec.dataset == photos  # fresh weights take what there is


def test_the_aspect_ratio_is_kept(tmp_path: Path) -> None:
    """Thirds of red, green and blue: squeezed into a square all three are seen, of the middle the green alone."""
    colours = np.zeros((20, 60, 3), dtype=np.uint8)
    for third in range(3):
        colours[:, 20 * third : 20 * (third + 1), third] = 255
    for image, name in ((colours, "wide"), (colours.transpose(1, 0, 2), "high")):
        Image.fromarray(image).save(tmp_path / f"{name}.png")
        found, _, _ = pixels((tmp_path / f"{name}.png").read_bytes(), name, 10, 3, False, Warned())
        assert found.shape == (10, 10, 3)
        assert (found[1:-1, 1:-1] == [0, 255, 0]).all()  # those at the edge see a little of their neighbours


def test_square_images_are_as_before() -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8))
    content = io.BytesIO()
    image.save(content, "png")
    found, _, _ = pixels(content.getvalue(), "image", 10, 3, False, Warned())
    assert (found == np.asarray(image.resize((10, 10), Image.Resampling.BILINEAR))).all()


def test_results_with_a_size_are_apart_from_old_ones(tmp_path: Path) -> None:
    written = folder(tmp_path / "photos")
    assert find_dataset(written).dataset.revision == 1
    assert find_dataset(f"{written}:size=10").dataset.revision == 2
    entry = plan.from_spec(tiny_spec(["csg"], dataset=f"{written}:size=10")).setting.in_ids["dataset"]
    assert entry[-1] == "revision 2"
