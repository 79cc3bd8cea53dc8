"""Decides about versions that somebody wants as champion whoever made them: one of another trainer's, or the one to which
others moved the alias.

A person says so (`retrainctl adopt`), or the settings do (`mlflow.on_foreign_change: adopt`). A version that is not known
yet is looked at first, by the job `adopt`; then it is decided and intended like every promotion, which settles what others
moved in the registry.
"""

from __future__ import annotations

from typing import Any

from retraind.core import events as e
from retraind.core import messages as m
from retraind.core.days import excluded, newest_complete
from retraind.core.evidence import barred
from retraind.core.orders import blocked, withheld
from retraind.core.people import BY_HAND, FOREIGN, quoted
from retraind.core.scene import PlannedJob, Scene, Wait, attempt
from retraind.core.state import Adoption, Model, Version
from retraind.core.steps import Adopt, Note

__all__ = ["adopt", "adoption", "asked"]


def asked(scene: Scene, message: m.Adopt, by: str) -> list[Any] | m.Answer:
    """The events of a person's word, or why not."""
    target = _target(scene, message.model)
    if target is None:
        names = ", ".join(scene.config.contract.targets)
        return m.Answer(refused=f"{message.model} is no model of this site", remedy=f"its targets: {names}")
    name = scene.settings.mlflow.name_of(scene.pipeline, target)
    model = scene.flow.models.get(name) or Model(name, target)
    version = model.version(message.number)
    called = f"{name} v{message.number}"
    if message.number == model.champion and not model.diverged:
        return _reasoned(model, message, by)
    if version and not model.diverged and not version.adopted_seq:
        return m.Answer(refused=f"{called} was trained here",
                        remedy=f"promote it: retrainctl promote {name} {message.number} --to production --force")  # fmt: skip
    if newest_complete(scene) is None:
        return m.Answer(refused="there are no data yet to ask a model about", remedy="bring drops first: retrainctl drops list")
    stopped = _stopped(scene, model, version, message.number)
    if stopped:
        return stopped
    found = model.diverged_found if model.diverged_alias == "champion" else model.champion
    return [e.AdoptionAsked(name, target, message.number, by, message.reason, message.horizon, found)]


def _target(scene: Scene, name: str) -> str | None:
    known = {scene.settings.mlflow.name_of(scene.pipeline, t): t for t in scene.config.contract.targets}
    return name if name in scene.config.contract.targets else known.get(name)


def _reasoned(model: Model, message: m.Adopt, by: str) -> list[Any] | m.Answer:
    """Of a champion: a reason for its adoption may come later."""
    champion = model.serving
    if champion is None or not champion.adopted or not message.reason:
        return m.Answer(done=f"{model.name} v{message.number} is the champion already")
    return [e.VersionAdopted(model.name, model.target, message.number, by, message.reason)]


def _stopped(scene: Scene, model: Model, version: Version | None, number: int) -> m.Answer | None:
    """What outranks it: like a promotion by force it passes policies, limits and freezes, never a pause, a pin or a block."""
    name = f"{model.name} v{number}"
    if model.adoption or model.intention:
        other = model.adoption or model.intention
        assert other
        return m.Answer(refused=f"{model.name} v{other.version} is on its way this moment", remedy="try again in a minute")
    if stopped := withheld(scene, model, serves=number != model.champion):
        return stopped
    if version and version.lost:
        return m.Answer(refused=f"{name} cannot be had: {version.lost}", remedy=f"see: retrainctl versions list {model.name}")
    return blocked(scene, model, version) if version else None


def adoption(scene: Scene) -> Note | None:
    """The next thing to note on the way of a version that is to be adopted."""
    for model in scene.flow.models.values():
        if model.intention:
            continue
        event = _next(scene, model, model.adoption) if model.adoption else _theirs(scene, model)
        if event:
            return Note(scene.pipeline, event)
    return None


def _next(scene: Scene, model: Model, open_: Adoption) -> Any | None:
    version = model.version(open_.version)
    if version is None:
        _, _, over = attempt(scene, "adopt", open_.subject(model.name))
        return e.AdoptionRefused(model.name, open_.version, over.what, over.remedy) if over else None
    if not open_.decision:
        return _decision(scene, model, open_)
    return e.PromotionIntended(model.name, open_.version, "production", model.champion, open_.decision, BY_HAND,
                               version.candidate.model_digest, settles=True, found=open_.found)  # fmt: skip


def _decision(scene: Scene, model: Model, open_: Adoption) -> e.DecisionMade:
    stays = open_.version == model.champion
    words = f"{'keep' if stays else 'adopt'} v{open_.version} as champion, says {open_.by}{quoted(open_.reason)}"
    if open_.by == FOREIGN:
        words = f"adopt v{open_.version} as champion: {FOREIGN} moved the alias to it (mlflow.on_foreign_change)"
    return e.DecisionMade(f"d{scene.state.seq + 1}", model.name, open_.version, "hold" if stays else "promote",
                          None if stays else "production", BY_HAND, (), words, by=open_.by, reason=open_.reason)  # fmt: skip


def _theirs(scene: Scene, model: Model) -> e.AdoptionAsked | None:
    """Where the settings say so: the version to which somebody moved the alias champion. Once: a refusal holds."""
    found = model.diverged_found
    if scene.settings.mlflow.on_foreign_change != "adopt" or model.diverged_alias != "champion" or found is None:
        return None
    version = model.version(found)
    held = scene.paused or scene.overrides("pin", model.name) or scene.settings.site.mode == "observe" or model.unadopted
    if held or newest_complete(scene) is None or (version and (version.lost or barred(scene, model, version))):
        return None
    return e.AdoptionAsked(model.name, model.target, found, FOREIGN, found=found)


def adopt(scene: Scene) -> tuple[PlannedJob | None, Wait | None]:
    """The look at a version that is to be adopted and that nobody here knows."""
    newest, held = newest_complete(scene), None
    for model in scene.flow.models.values():
        open_ = model.adoption
        if open_ is None or model.version(open_.version) or newest is None:
            continue
        subject = open_.subject(model.name)
        number, wait, over = attempt(scene, "adopt", subject)
        if over or wait:
            held = held or wait
            continue
        step = Adopt(model.name, model.target, open_.version, open_.horizon, tuple(scene.flow.store), newest, excluded(scene))
        return PlannedJob(scene.pipeline, "adopt", subject, step, number), None
    return None, held
