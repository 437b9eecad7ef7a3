"""Compiles chips.json into the simulator: `python embed_chips.py chips.json out.cpp`."""

from __future__ import annotations

import json
import sys
from pathlib import Path


def flatten(prefix: str, value: object) -> dict[str, float]:
    """Numbers of a tree by dotted path; lists by index; anything else is left out."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return {}
    if isinstance(value, (int, float)):
        return {prefix: float(value)}
    items = value.items() if isinstance(value, dict) else enumerate(value)
    flat: dict[str, float] = {}
    for key, child in items:
        flat |= flatten(f"{prefix}.{key}" if prefix else str(key), child)
    return flat


def parameters(data: dict, chip: str) -> dict[str, float]:
    """Parameters of the time model for one chip; alternatives stay in the JSON."""
    chosen = data["model"] | data["chip_model"].get(chip, {})
    values = {name: float(entry["value"]) for name, entry in chosen.items()}
    for name, entry in data["vector"].items():
        numbers = {key: value for key, value in entry.items() if key != "alternative"}
        values |= flatten(f"vector.{name}", numbers)
    return values


def array(name: str, values: dict[str, float]) -> str:
    rows = "".join(f'    {{"{key}", {value!r}}},\n' for key, value in values.items())
    return f"const NamedValue {name}[] = {{\n{rows}}};\n"


def generate(data: dict) -> str:
    arrays, table = [], []
    for i, (chip, own) in enumerate(data["chips"].items()):
        facts = flatten("", data["common"] | own)
        model = parameters(data, chip)
        arrays += [array(f"facts{i}", facts), array(f"parameters{i}", model)]
        table.append(f'    {{"{chip}", "{own["short_soc_version"]}", facts{i}, {len(facts)}, '
                     f"parameters{i}, {len(model)}}},\n")
    return ("// Made from chips.json by embed_chips.py.\n"
            '#include "embedded_chips.h"\n\n'
            "namespace npufa_sim {\nnamespace {\n\n" + "\n".join(arrays) + "\n}  // namespace\n\n"
            "const EmbeddedChip kEmbeddedChips[] = {\n" + "".join(table) + "};\n"
            f"const std::size_t kEmbeddedChipCount = {len(table)};\n\n}}  // namespace npufa_sim\n")


if __name__ == "__main__":
    source, target = map(Path, sys.argv[1:])
    target.write_text(generate(json.loads(source.read_text())))
