"""Chip descriptions against the published figures."""

import json
import pathlib

import npufa_test_time as time_model
import pytest

MmadType = time_model.MmadType

# Peak TFLOP/s of the cubes in fp16, core groups, clock: the vendor's platform files.
CHIPS = {
    "Ascend910B1": (363.7, 24, 1850),
    "Ascend910B2": (353.9, 24, 1800),
    "Ascend910B3": (294.9, 20, 1800),
    "Ascend910B4": (245.8, 20, 1500),
    "Ascend910_9391": (363.7, 24, 1850),
    "Ascend910_9392": (363.7, 24, 1850),
    "Ascend910_9381": (353.9, 24, 1800),
    "Ascend910_9382": (353.9, 24, 1800),
    "Ascend910_9372": (294.9, 20, 1800),
    "Ascend910_9362": (245.8, 20, 1500),
}
SOURCE = pathlib.Path(__file__).resolve().parents[3] / "sim" / "chip" / "chips.json"


def test_all_chips_are_there():
    assert sorted(time_model.chip_names()) == sorted(CHIPS)


@pytest.mark.parametrize("chip", CHIPS)
def test_cube_peak(chip):
    peak, groups, clock = CHIPS[chip]
    facts = time_model.facts(chip)
    assert facts["aic_count"] == groups and facts["aiv_count"] == 2 * groups and facts["clock_mhz"] == clock
    assert time_model.cube_peak(chip, MmadType.half) == pytest.approx(peak * 1e12, rel=3e-4)
    assert time_model.cube_peak(chip, MmadType.bfloat16) == time_model.cube_peak(chip, MmadType.half)
    assert time_model.cube_peak(chip, MmadType.int8) == 2 * time_model.cube_peak(chip, MmadType.half)
    assert time_model.cube_peak(chip, MmadType.float32) == time_model.cube_peak(chip, MmadType.half) / 4


@pytest.mark.parametrize("chip", CHIPS)
def test_local_memories(chip):
    kb = 1024
    assert time_model.space_bytes(chip) == {
        "GM": 0, "UB": 192 * kb, "L1": 512 * kb, "L0A": 64 * kb, "L0B": 64 * kb, "L0C": 128 * kb, "BT": kb,
        "FB": 2 * kb,
    }  # fmt: skip


@pytest.mark.parametrize(
    "chip,bandwidth", [("Ascend910B3", 1.6e12), ("Ascend910B4", 0.8e12), ("Ascend910_9362", 0.8e12)]
)
def test_hbm_of_small_parts_is_half(chip, bandwidth):
    assert time_model.parameter(chip, "hbm_bandwidth") == bandwidth


def test_every_parameter_names_its_source():
    data = json.loads(SOURCE.read_text())
    for entry in [*data["model"].values(), *data["vector"].values(), *data["chip_model"]["Ascend910B4"].values()]:
        assert entry["source"]
        if "alternative" in entry:
            assert entry["alternative"]["source"]
    for entry in data["model"].values():
        assert entry["unit"]


def test_compiled_parameters_are_those_of_the_file():
    data = json.loads(SOURCE.read_text())
    for name, entry in data["model"].items():
        assert time_model.parameter("Ascend910B3", name) == entry["value"]
    for name, entry in data["vector"].items():
        for part in ("start", "half", "float"):
            assert time_model.parameter("Ascend910B3", f"vector.{name}.{part}") == entry[part]


@pytest.mark.parametrize(
    "name,value,message",
    [
        ("speed", 1.0, "no parameter speed"),
        ("gm_to_ub", 0.0, "gm_to_ub is 0.*above 0"),
        ("l0_start", -1.0, "at least 0"),
        ("l2_line", float("nan"), "above 0"),
    ],
)
def test_bad_parameter(name, value, message):
    with pytest.raises(ValueError, match=message):
        time_model.replay("Ascend910B3", time_model.Trace(), {name: value})
