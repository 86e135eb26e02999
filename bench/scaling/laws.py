"""What was measured, read back from the rows, and the laws of it that the model uses."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

from bench.record import RESULTS
from bench.scaling.fit import LEAST_SIZES, Law, law

Measured = dict[str, dict[str, dict[int, float]]]
"""By part and by what: values by size."""

LAWS: Mapping[str, Mapping[str, str]] = {
    "memory": {
        "work at .95": "power",
        "work at .99": "power",
        "CPU at .95": "power",
        "CPU at .99": "power",
        "bytes in RAM": "affine",
        "CPU of the build": "affine",
    },
    "disk": {
        "work at .95": "power",
        "lists read at .95": "power",
        "CPU at .95": "power",
        "bytes in RAM": "affine",
        "bytes on disk per point": "level",
        "CPU of the build": "affine",
    },
    "writes": {"CPU of an insert": "power", "CPU of a layout": "affine"},
    "directories": {"bytes in RAM per tenant": "level"},
    "collection": {
        "server CPU per point until stored": "level",
        "server CPU per search at .95": "power",
        "bytes on disk per point": "level",
        "bytes of the store per point": "level",
        "first search after it": "affine",
    },
    "tenants": {
        "CPU to make a tenant": "level",
        "bytes in RAM per tenant, not searched": "level",
        "bytes on disk per tenant": "level",
        "restart until ready": "affine",
    },
}
"""The form of each law, by part and by what it is of."""

_NAME = re.compile(r"(\w+) ([\d,]+): (.+)")

Laws = dict[str, dict[str, Law]]


def measured(folder: Path = RESULTS) -> Measured:
    """All figures of the rows in `scaling.json`; of what was measured twice at a size, the later."""
    path = folder / "scaling.json"
    found: Measured = {}
    for row in json.loads(path.read_text(encoding="utf-8")) if path.exists() else []:
        for name, figure in row["figures"].items():
            parted = _NAME.fullmatch(name)
            if parted is not None:
                part, size, what = parted[1], int(parted[2].replace(",", "")), parted[3]
                found.setdefault(part, {}).setdefault(what, {})[size] = float(figure["value"])
    return found


def laws(found: Measured) -> Laws:
    """Laws of what was measured at enough sizes; what was not is not among them."""
    made: Laws = {}
    for part, forms in LAWS.items():
        for what, form in forms.items():
            values = found.get(part, {}).get(what, {})
            if len(values) >= LEAST_SIZES[form]:
                made.setdefault(part, {})[what] = law(form, values)
    return made
