"""How an error looks: lines on standard error for people, one document on standard output for `--json`.

{"version": 1, "error": {"what", "where", "remedy", "retryable", "mistakes": [the same, of a document or a wish with several]}}
"""

from __future__ import annotations

import sys
from typing import Any

from retrainctl.text import print_json
from retraind.errors import RetraindError, Several

__all__ = ["fields_of", "show"]


def show(error: RetraindError, *, as_json: bool) -> None:
    """Tell the error."""
    if as_json:
        print_json({"version": 1, "error": fields_of(error)})
    for line in error.mistakes if isinstance(error, Several) else [error]:
        print(f"error: {line}", file=sys.stderr)  # noqa: T201


def fields_of(error: RetraindError) -> dict[str, Any]:
    """The error as JSON can hold it; `where` is null or {file, line, row, column}."""
    where = error.where
    place = {"file": where.file, "line": where.line, "row": where.row, "column": where.column} if where else None
    fields: dict[str, Any] = {
        "what": error.what, "where": place, "remedy": error.remedy, "retryable": error.retryable
    }  # fmt: skip
    if isinstance(error, Several):
        fields["mistakes"] = [fields_of(mistake) for mistake in error.mistakes]
    return fields
