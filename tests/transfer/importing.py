"""An import under test: one call, a collection of its own, and what is in it afterwards."""

from itertools import count
from pathlib import Path
from typing import Any

import msgspec

from vdb.client.sync import Operations
from vdb.errors import CollectionNotFound, VdbError
from vdb.protocol.answers import Point
from vdb.transfer import Fields, ImportOptions, ImportReport, Progress, import_file

_NUMBERS = count()


def silent() -> Progress:
    return Progress(lambda text: None, is_terminal=False)


class Importing:
    """Imports files of `folder` into the collection `name` of `client`."""

    def __init__(self, client: Operations, folder: Path) -> None:
        self.client, self.folder, self.name = client, folder, f"c{next(_NUMBERS)}"

    def run(self, file: Path, fields: Fields | None = None, **options: Any) -> ImportReport:
        """Import; makes the collection unless told otherwise."""
        given = {"collection": self.name, "place": "here", "create": True, "patience_s": 0.0, **options}
        return import_file(self.client, file, ImportOptions(fields=fields or Fields(), **given), silent())

    def error(self, file: Path, fields: Fields | None = None, **options: Any) -> VdbError:
        """The error of an import that fails; it is one line."""
        try:
            report = self.run(file, fields, **options)
        except VdbError as exc:
            assert "\n" not in exc.detail
            return exc
        raise AssertionError(f"it was imported: {report}")

    def points(self) -> dict[str, Point]:
        """What is in the collection, by id."""
        found = list(self.client.collection(self.name).scroll(with_vector=True, page_size=1000))
        assert len({point.id for point in found}) == len(found)
        return {point.id: point for point in found}

    def exists(self) -> bool:
        return self.name in {collection.name for collection in self.client.collections()}

    def rejected(self, file: Path) -> list[dict[str, Any]]:
        """The rows put aside."""
        path = file.with_name(file.name + ".rejected.jsonl")
        return [msgspec.json.decode(line) for line in path.read_bytes().splitlines()] if path.exists() else []

    def write(self, name: str, data: bytes | str) -> Path:
        path = self.folder / name
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return path

    def drop(self) -> None:
        try:
            self.client.delete_collection(self.name)
        except CollectionNotFound:
            return
