"""Asking the daemon: the real server of `retraind.control`, with a thread that answers as the supervisor would."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import journals
from command_line import answering, run_in
from retrainctl import client
from retrainctl.site import Site, site_at
from retraind.control import Asked
from retraind.core import messages as m
from retraind.core.binding import unbind
from retraind.errors import NotRunning, RetraindError

TARGETS = ("price", "demand")


def site_in(folder: Path) -> Site:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_bytes((journals.ROOT / "config.yaml").read_bytes())
    return site_at(str(folder / "config.yaml"))


def done(asked: Asked) -> m.Answer:
    return m.Answer(done="done as asked", data={"seq": 7})


def test_a_message_arrives_as_it_was_meant_and_its_answer_comes_back(tmp_path: Path) -> None:
    site = site_in(tmp_path)
    wish = m.Retrain("new supplier", ("price",), now=True)
    with answering(site, done) as heard:
        assert client.ask(site, wish) == m.Answer(done="done as asked", data={"seq": 7})
    assert [a.envelope.message for a in heard] == [wish]
    assert heard[0].by


def test_each_message_has_an_id_of_its_own(tmp_path: Path) -> None:
    site = site_in(tmp_path)
    with answering(site, done) as heard:
        for _ in range(3):
            client.ask(site, m.Resume())
    assert len({a.envelope.id for a in heard}) == 3


def test_a_socket_deep_down_is_reached(tmp_path: Path) -> None:
    site = site_in(tmp_path / ("a" * 60) / ("b" * 60))
    assert len(str(site.socket)) > 108
    with answering(site, done):
        assert client.ask(site, m.Resume()).done == "done as asked"


def test_a_refusal_is_an_error_with_the_daemons_remedy(tmp_path: Path) -> None:
    site = site_in(tmp_path)
    no = m.Answer(refused="there is no drop 9f2c", remedy="see: retrainctl drops list")
    with answering(site, lambda _: no), pytest.raises(RetraindError) as caught:
        client.ask(site, m.DropRetry("9f2c"))
    assert (caught.value.what, caught.value.remedy) == ("there is no drop 9f2c", "see: retrainctl drops list")
    assert caught.value.exit_code == 1


def test_without_a_daemon_asking_says_how_to_start_it(tmp_path: Path) -> None:
    site = site_in(tmp_path)
    with pytest.raises(NotRunning) as caught:
        client.ask(site, m.Resume())
    assert caught.value.remedy == f"start it: retraind --config {site.config}"
    assert client.look(site) is None


def test_a_dead_daemons_socket_is_no_daemon(tmp_path: Path) -> None:
    site = site_in(tmp_path)
    with answering(site, done):
        left = site.socket.with_name("left.sock")
        left.hardlink_to(site.socket)
    left.rename(site.socket)
    with pytest.raises(NotRunning):
        client.ask(site, m.Resume())


def test_a_daemon_that_answers_nonsense_is_said_to(tmp_path: Path) -> None:
    site = site_in(tmp_path)
    nonsense = m.Answer(done=3)  # type: ignore[arg-type]
    with answering(site, lambda _: nonsense), pytest.raises(RetraindError, match="answer is not understood"):
        client.ask(site, m.Resume())


def test_a_daemon_that_does_not_answer_in_time_is_said_to(tmp_path: Path) -> None:
    site = site_in(tmp_path)
    held = threading.Event()

    def late(_: Asked) -> m.Answer:
        held.wait(10)
        return m.Answer(done="too late")

    with answering(site, late):
        with pytest.raises(RetraindError, match="the daemon does not answer") as caught:
            client.ask(site, m.Look(), timeout=0.05)
        held.set()
    assert caught.value.retryable


def test_commands_ask_and_print_what_came_of_it(tmp_path: Path) -> None:
    site, run = site_in(tmp_path), run_in(tmp_path)
    with answering(site, done) as heard:
        assert run("retrain", "price", "--reason", "why not", "--now", "--search").out.startswith("done as asked")
        assert run("pause", "--until", "2100-01-01T08:00", "--yes").out.startswith("done as asked")
        assert run("resume", "--json").json == {"version": 1, "done": "done as asked", "dry_run": False, "seq": 7}
    assert [unbind(a.envelope.message) for a in heard] == [
        {"reason": "why not", "targets": ["price"], "now": True, "search": True},
        {"reason": "", "until": "2100-01-01T00:00:00+00:00"},
        {"reason": ""},
    ]


def test_a_dry_run_asks_nobody(tmp_path: Path) -> None:
    site, run = site_in(tmp_path), run_in(tmp_path)
    with answering(site, done) as heard:
        assert run("retrain", "--now", "--dry-run").out == "would ask for a retraining of every target, now\n"
        told = run("retrain", "price", "--search", "--dry-run").out
        assert told == "would ask for a search over the whole portfolio for price\n"
        assert run("pause", "--dry-run").out == "would pause until somebody says resume\n"
        assert run("resume", "--dry-run", "--json").json == {"version": 1, "done": "would resume", "dry_run": True}
    assert heard == []


def test_pause_asks_once_and_without_a_terminal_wants_yes(tmp_path: Path) -> None:
    site, run = site_in(tmp_path), run_in(tmp_path)
    with answering(site, done) as heard:
        ran = run("pause", "--json")
    assert (ran.code, ran.json["error"]["remedy"]) == (2, "add --yes")
    assert heard == []


def test_a_running_daemons_jobs_stand_in_status(tmp_path: Path) -> None:
    story, _ = journals.first_days(tmp_path)
    story.kill()
    job = {"job": "000027-train", "step": "train", "subject": "390426-1", "attempt": 1, "seconds": 61.0,
           "progress": {"stage": "fitting price, ridge", "done": 3, "of": 96}}  # fmt: skip
    look = {"jobs": [job], "waits": [], "next_schedules": {"monthly": None}, "folder_trouble": ""}
    with answering(site_at(str(story.config)), lambda _: m.Answer(data=look)):
        data = run_in(tmp_path)("status", "--json").json
        out = run_in(tmp_path)("status").out
    assert data["daemon"]["running"]
    assert data["jobs"] == [job]
    assert "JOB      train 390426-1 · 3 of 96, fitting price, ridge · 1 min 1 s" in out


def trained_and_away(folder: Path, demand: float, policy: str = "") -> journals.Story:
    """A training whose price nobody would promote, with that WAPE of demand; the daemon has gone. policy: demand's."""
    story, children = journals.first_days(folder)
    children.trainings = [lambda step: journals.trained(step, journals.result("price", 1, (9.0,), 4.7),
                                                        journals.result("demand", 1, (demand,), 37.9))]  # fmt: skip
    if policy:
        story.put_in_force("demand", policy)
    story.work(children)
    story.kill()
    return story


def refusing(*models: str) -> Callable[[Asked], m.Answer]:
    """A daemon that promotes none of these."""

    def answer(asked: Asked) -> m.Answer:
        message = asked.envelope.message
        if isinstance(message, m.Look):
            return m.Answer(data={"jobs": [], "waits": []})
        assert isinstance(message, m.Promote)
        return m.Answer(refused=f"{message.model} v1 may not", remedy="wait") if message.model in models else done(asked)

    return answer


def test_a_version_that_may_not_be_promoted_holds_no_other_back(tmp_path: Path) -> None:
    story = trained_and_away(tmp_path, demand=90.0)
    with answering(site_at(str(story.config)), refusing("price")) as heard:
        ran = run_in(tmp_path)("runs", "promote", "--yes", "--json")
    assert [w.model for a in heard if isinstance(w := a.envelope.message, m.Promote)] == ["price", "demand"]
    assert (ran.code, ran.json["error"]["what"]) == (1, "price v1 may not; wait")


def test_what_is_refused_is_told_a_line_a_model(tmp_path: Path) -> None:
    story = trained_and_away(tmp_path, demand=90.0)
    with answering(site_at(str(story.config)), refusing("price", "demand")):
        told = run_in(tmp_path)("runs", "promote", "--yes").err.splitlines()
        error = run_in(tmp_path)("runs", "promote", "--yes", "--json").json["error"]
    assert told == ["error: price v1 may not; wait", "error: demand v1 may not; wait"]
    assert [one["what"] for one in error["mistakes"]] == ["price v1 may not", "demand v1 may not"]
    assert error["remedy"].startswith("see: retrainctl runs show ")


def test_a_dry_run_says_of_each_version_what_its_policy_would_say(tmp_path: Path) -> None:
    trained_and_away(tmp_path, demand=33.0, policy=journals.POLICY.replace("mode: enforce", "mode: dry_run"))  # else: champion
    run = run_in(tmp_path)
    ran = run("runs", "promote", "--dry-run")
    done, refused = ran.out.splitlines()
    assert (ran.code, done) == (1, "would promote demand v1")
    assert refused.startswith("would be refused: price v1 is not promoted by hand: ")
    told = run("runs", "promote", "--dry-run", "--json").json
    assert (told["versions"], list(told["refused"])) == ({"demand": 1}, ["price"])


def test_a_daemon_that_refuses_to_be_looked_at_is_still_running(tmp_path: Path) -> None:
    story, _ = journals.first_days(tmp_path)
    story.kill()
    with answering(site_at(str(story.config)), lambda _: m.Answer(refused="not now", remedy="later")):
        ran = run_in(tmp_path)("status")
    assert ran.code == 0
    assert "the daemon is there and does not answer: not now; later" in ran.out
