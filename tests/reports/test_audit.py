"""The fairness audit and the checklist, on records that the test makes."""

from typing import Any

import pytest
from records import RECORDS, record

from bench.reports.audit import audits, schedule_hash
from bench.reports.checklist import checklist
from bench.reports.frame import results
from bench.reports.summary import summary
from bench.roles import GLOBAL_PRUNING, LAYERWISE_PRUNING, NARROWER, RANDOM_PRUNING
from bench.store.record import COMPRESSED, FAILED, KERNELS, Record


def test_each_method_has_what_it_had() -> None:
    found = audits(results(RECORDS))["net, data, quick"]
    dense, csg, lowrank = found.methods
    assert (dense.method, dense.met, dense.seeds, dense.start) == (
        "dense",
        "1 of 1: its own size",
        "0, 1",
        "from scratch",
    )
    assert csg.met == "2 of 3: 2x, 4x"
    assert csg.missed == ["9x, seed 0, 1: too small"]
    assert lowrank.failed == ["4x, seed 1: NonFiniteLoss: nan"]
    assert (csg.epochs, csg.training, csg.exceptions, csg.variants) == ("4", "1 s, 1.00 of dense", "none", 1)


def test_what_differs_between_methods_is_said() -> None:
    records = [
        record("dense", 0, 90.0, train_seconds=10.0),
        record("a", 0, 80.0, "2x", method_text="csg", method_name="csg", train_seconds=20.0, compress_seconds=0.5),
        record(
            "b",
            0,
            80.0,
            "2x",
            method_text="csg:x=1",
            method_name="csg",
            train_seconds=30.0,
            exceptions="more",
            compress_epoch=2,
        ),
        record("b", 0, 70.0, "4x", method_text="csg:x=1", method_name="csg", train_seconds=15.0, compress_epoch=2),
    ]
    _, a, b = audits(results(records))["net, data, quick"].methods
    assert (a.variants, b.variants) == (2, 2)
    assert (a.own_cost, b.exceptions) == ("0.5 s", "more")
    assert b.training == "15 to 30 s, 1.50 to 3.00 of dense"
    assert audits(results(records[2:]))["net, data, quick"].methods[0].start == (
        "compressed after 2 of 4 dense epochs, which count"
    )


def test_how_a_compressed_backbone_was_taken_is_said() -> None:
    def started(method: str, budget: str, form: str | None, reason: str | None = None) -> Record:
        weights = {"weights": "backbone=RUN", "weights_code": "w", "weights_epochs": 9}
        return record(method, 0, 80.0, budget, **weights, weights_form=form, weights_form_reason=reason)

    records = [
        started("a", "2x", COMPRESSED),
        started("a", "4x", COMPRESSED),
        started("b", "2x", COMPRESSED),
        started("b", "4x", KERNELS, "codes are longer there"),
        started("c", "2x", KERNELS, "RUN is a run of a"),
        started("d", "2x", None),
    ]
    (audit,) = audits(results(records)).values()
    assert {
        method.method: method.start.removeprefix("from scratch, from backbone=RUN") for method in audit.methods
    } == {
        "a": ": as it was left, compressed",
        "b": ": as it was left, compressed at 2x; its kernels in full (codes are longer there) at 4x",
        "c": ": its kernels in full (RUN is a run of a)",
        "d": "",
    }
    answer, because = answers(records)["All methods start from the same initial weights"]
    assert answer == "partly"
    assert because.endswith(
        "; from a backbone that another run compressed, a, b take the compressed form, and the other methods take the "
        "kernels"
    )


def test_the_facts_name_data_schedule_seeds_and_machine() -> None:
    runs = results([record("dense", 0, 90.0, device="cpu", threads=2, python_version="3.12", platform="Linux")])
    facts = dict(audits(runs)["net, data, quick"].facts)
    assert facts["images"].startswith("data: 9 train, 1 validation, 10,000 test;")
    assert facts["hash of images, labels and split"] == "d"
    assert facts["hash of the schedule"] == schedule_hash(runs)
    assert facts["schedule"] == "quick: epochs 4"
    assert facts["hardware"] == "cpu (cpu), threads 2"
    assert facts["versions"] == "bench 0, torch 2, Python 3.12, Linux"


def test_the_hash_of_a_schedule_is_of_what_it_does() -> None:
    one, same, other = (
        results([record("dense", 0, 90.0, schedule=name, **{"schedule.epochs": epochs})])
        for name, epochs in (("quick", 4), ("renamed", 4), ("quick", 5))
    )
    assert schedule_hash(one) == schedule_hash(same) != schedule_hash(other)


@pytest.mark.parametrize(
    ("changes", "warning"),
    [
        ({"torch_version": "3"}, "Runs were made with different versions of torch: 2, 3."),
        ({"device_name": "other"}, "processors; latency and times are not comparable between them: cpu, other"),
        ({"git_commit": "abc+"}, "Runs were made with code that was changed since its commit: abc+."),
        ({"seed": 1}, "Methods and budgets have between 1 and 2 seeds"),
    ],
)  # fmt: skip
def test_what_makes_runs_less_comparable_is_a_warning(changes: dict[str, Any], warning: str) -> None:
    records = [record("dense", 0, 90.0), record("csg", 0, 80.0, "2x")]
    assert audits(results(records))["net, data, quick"].warnings == []
    more = [*records, record("csg", changes.pop("seed", 0), 81.0, "2x", id="another", **changes)]
    assert any(warning in line for line in audits(results(more))["net, data, quick"].warnings)


@pytest.mark.parametrize(
    ("column", "what"),
    [
        ("task_code", "versions of the task's code, such as its loss and its metric"),
        ("model_code", "versions of the network's code"),
        ("dataset_code", "versions of the dataset's file"),
    ],
)
def test_code_that_all_methods_share_is_one(column: str, what: str) -> None:
    records = [record("dense", 0, 90.0, **{column: "b"}), record("csg", 0, 80.0, "2x", **{column: "a"})]
    assert audits(results(records))["net, data, quick"].warnings == [f"Runs were made with different {what}: a, b."]


def full() -> list[Record]:
    """All that the checklist asks for."""
    methods = {
        "sparse": {"role": GLOBAL_PRUNING},
        "sparse:criterion=random": {"role": RANDOM_PRUNING},
        "sparse:criterion=layerwise": {"role": LAYERWISE_PRUNING},
        "width": {},
        "csg": {},
    }
    found = []
    for model in ("one", "two", "three"):
        for seed in range(3):
            found.append(record("dense", seed, 90.0, id=f"{model}{seed}", model=model, test_top5=99.0))
            for method, options in methods.items():
                for ratio in (2, 4, 8, 16, 32):
                    values = {"model": model, "test_top5": 99.0, "requested_values": 1000 // ratio, **options}
                    values |= {"method_name": method.split(":")[0], "id": f"{model}{seed}{method}{ratio}"}
                    found.append(record(method, seed, 80.0, f"{ratio}x", **values))
    return found


def answers(records: list[Record]) -> dict[str, tuple[str, str]]:
    runs = results(records)
    return {line.demand: (line.answer, line.because) for line in checklist(runs, summary(runs))}


def test_a_comparison_that_has_it_all() -> None:
    found = answers(full())
    assert [answer for answer, _ in found.values()] == ["yes"] * 11


@pytest.mark.slow
@pytest.mark.parametrize(
    ("keep", "change", "demand", "answer", "because"),
    [
        (lambda r: r["model"] == "one", {}, "At least 3 pairs of dataset and architecture", "no", "1 here"),
        (lambda r: r["model"] != "one", {}, "At least 3 pairs of dataset and architecture", "partly", "2 here"),
        (lambda r: r["seed"] == 0, {}, "The spread over at least 3 seeds is given", "no", "1 seed"),
        (lambda r: r["seed"] != 0, {}, "The spread over at least 3 seeds is given", "partly", "2 seeds"),
        (lambda r: True, {"test_top5": 100.0}, "Top-1 and top-5 accuracy are both given", "partly", "top-5 is 100 %"),
        (lambda r: True, {"test_top5": None}, "Top-1 and top-5 accuracy are both given", "no", "some runs have no"),
        (
            lambda r: r["method_name"] != "width",
            {},
            "The methods include a plain narrower",
            "no",
            "no method here has the role",
        ),
        (lambda r: "random" not in r["method"], {}, "Random, global and layerwise", "partly", "lacking: random"),
        (lambda r: r["budget"] != "8x", {}, "At least 5 compression ratios", "no", "at most 4"),
        (
            lambda r: True,
            {"compress_epoch": 2},
            "A method that compresses a trained network",
            "no",
            "to have it: compress_at=0",
        ),
    ],
)
def test_what_is_lacking(keep: Any, change: dict[str, Any], demand: str, answer: str, because: str) -> None:
    found = answers([{**made, **change} for made in full() if keep(made)])
    line = next(value for name, value in found.items() if name.startswith(demand))
    assert line[0] == answer
    assert because in line[1]


@pytest.mark.parametrize(
    ("role", "demand"),
    [
        (RANDOM_PRUNING, "Random, global and layerwise magnitude pruning are among the methods"),
        (NARROWER, "The methods include a plain narrower network with as many values"),
    ],
)
def test_a_baseline_in_one_setting_is_none_for_another(role: str, demand: str) -> None:
    found = answers([made for made in full() if made["model"] == "two" or made["role"] != role])
    answer, because = found[demand]
    assert answer == "partly"
    assert "(one, data, quick / three, data, quick)" in because


def test_each_setting_needs_its_own_budgets_and_runs_from_scratch() -> None:
    runs = [made for made in full() if made["model"] == "two" or (made["method"], made["budget"]) != ("csg", "8x")]
    found = answers([{**made, "compress_epoch": 2 if made["method"] == "csg" else 0} for made in runs])
    demand = "At least 5 compression ratios for each method, such as 2, 4, 8, 16 and 32"
    assert found[demand] == (
        "partly",
        "fewer met by csg (one, data, quick / three, data, quick); met by all (two, data, quick)",
    )
    half = [{**made, "compress_epoch": 2 if made["model"] == "one" else 0} for made in full()]
    answer, because = answers(half)[
        "A method that compresses a trained network is also trained from scratch, at the same size"
    ]
    assert answer == "partly"
    assert because.startswith("not csg, dense, sparse, width (to have it: compress_at=0) (one, data, quick); ")


def test_a_failed_run_alone_is_audited_too() -> None:
    failed = [record("dense", 0, None, status=FAILED, reason="it broke", stored_values=None)]
    (dense,) = audits(results(failed))["net, data, quick"].methods
    assert (dense.met, dense.failed) == ("none of 1", ["its own size, seed 0: it broke"])
    assert answers(failed)["Top-1 and top-5 accuracy are both given"][0] == "no"


def test_batches_in_parts_are_told() -> None:
    runs = [record("dense", 0, 90.0, batch_parts=1), record("csg", 0, 80.0, "2x", batch_parts=4)]
    (told,) = [line for audit in audits(results(runs)).values() for line in audit.warnings if "in parts" in line]
    assert told.endswith("batch norm saw fewer images at once: csg.")


def test_other_numbers_of_processes_are_told() -> None:
    runs = [record("dense", 0, 90.0, processes=1), record("csg", 0, 80.0, "2x", processes=8)]
    (audit,) = audits(results(runs)).values()
    assert (
        "Runs were made with different numbers of processes per run; times are not comparable between them: 8, 1."
        in (audit.warnings)
    )
    assert dict(audit.facts)["hardware"].endswith(", processes a run 8, 1")
    alone = audits(results([record("dense", 0, 90.0, processes=1)]))["net, data, quick"]
    assert "processes" not in dict(alone.facts)["hardware"]
