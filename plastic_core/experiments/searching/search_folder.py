"""A search on disk: search.json beside the journal of its trials."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from plastic_core.base.errors import PlasticError, differences, reason_of
from plastic_core.base.files import explained, write_json
from plastic_core.base.reading import read_json
from plastic_core.experiments.searching.search_spec import SearchSpec
from plastic_core.plan.plan import Plan
from plastic_core.results.sources import sources_of

_FILE: Final = "search.json"
_REMEDY: Final = "free or allow it, or give another folder with --out"


class SearchFolder:
    """The folder of one search, which may hold this very search already.

    Args:
        path: where it is, or shall be.
        spec: of the search.
        plan: of any of its trials.
        data: the digest of the data.

    Raises:
        PlasticError: the folder cannot be written, or holds something else.
    """

    def __init__(self, path: Path, spec: SearchSpec, plan: Plan, data: str) -> None:
        self.path = path
        self._head = {
            "format": 1,
            "spec": spec.model_dump(mode="json"),
            "versions": sources_of(plan),
            "data": data,
        }
        with explained(path, _REMEDY):
            path.mkdir(parents=True, exist_ok=True)
            holds = sorted(p.name for p in path.iterdir() if not p.name.startswith("."))
        if _FILE in holds:
            self._check_other_search()
        elif holds:
            raise PlasticError(
                f"--out {path}: holds files that are no search ({', '.join(holds[:3])}); "
                "name a folder that is new or empty"
            )
        else:
            write_json(path / _FILE, {**self._head, "state": "started"}, _REMEDY)

    def finish(self, result: dict[str, Any]) -> dict[str, Any]:
        """Write the result, and return all that search.json holds."""
        content = {**self._head, "state": "finished", **result}
        write_json(self.path / _FILE, content, _REMEDY)
        return content

    def _check_other_search(self) -> None:
        file = self.path / _FILE
        try:
            there = _fields(read_json(file))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise PlasticError(
                f"{file}: is no record of a search ({reason_of(error)}); move the folder away, or "
                "give another --out"
            ) from None
        differs = differences(there, _fields(self._head))
        if differs:
            raise PlasticError(
                f"--out {self.path}: holds another search, so it cannot go on:\n  "
                + "\n  ".join(differs)
                + "\n  give another folder, or the same spec"
            )


def _fields(head: dict[str, Any]) -> dict[str, Any]:
    """Return all that must agree, side by side."""
    spec = head["spec"]
    return {
        **spec["base"],
        **{f"range of {axis}": value for axis, value in spec["ranges"].items()},
        **{f"version of {name}": value for name, value in head["versions"].items()},
        "data": head["data"],
    }
