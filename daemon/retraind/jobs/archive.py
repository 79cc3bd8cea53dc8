"""The job `archive`: removes the files of versions that their policy keeps no longer.

The version, its run, figures and tags stay in MLflow; what it is made of goes, there and in STATE/models. A version that any
alias names, ours or others', and one that is not the model that was judged, keeps its files, and that is said. Done again after
a kill it finds what is left.
"""

from __future__ import annotations

import shutil

from retraind.core.steps import Archive, Archived, Bare, Spared, Spent
from retraind.errors import RetraindError
from retraind.failpoint import failpoint
from retraind.jobs import registry as mlflow_registry
from retraind.jobs.child import JobContext
from retraind.jobs.registry import Registry
from retraind.jobs.training import model_cache

__all__ = ["ARCHIVE_POINTS", "archive"]

ARCHIVE_POINTS = ("archive.before_files", "archive.files_removed")
"""Where a test may kill it, once a version."""
_TAG = "files"


def archive(step: Archive, job: JobContext) -> Archived:
    """Remove the files of each version of the step."""
    registry = mlflow_registry.connect(job.settings.mlflow, job.root)
    bare, spared = [], []
    for done, one in enumerate(step.versions):
        job.progress(f"removing the files of {step.model} v{one.version}", done, len(step.versions))
        why = _why_not(registry, step.model, one)
        if why:
            spared.append(Spared(one.version, why))
            continue
        failpoint("archive.before_files")
        # told first: whoever finds the version half empty finds why
        mlflow_registry.tag_version(registry, step.model, one.version, {_TAG: f"removed by {step.policy}"})
        held = mlflow_registry.remove_files(registry, step.model, one.version)
        shutil.rmtree(model_cache.folder_of(job.state, one.model_digest), ignore_errors=True)
        failpoint("archive.files_removed")
        bare.append(Bare(one.version, held))
    return Archived(tuple(bare), tuple(spared))


def _why_not(registry: Registry, model: str, one: Spent) -> str:
    """Why its files stay, in words; empty when they may go."""
    try:
        version = mlflow_registry.version(registry, model, one.version)
    except RetraindError:
        return "it is not in MLflow any more"
    if version.tags.get("digest") != one.model_digest:
        return "what MLflow has under its number is not what a training of ours registered"
    aliases = mlflow_registry.named_by(registry, model, one.version)
    return f"alias {', '.join(sorted(aliases))} names it" if aliases else ""
