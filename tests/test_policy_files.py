"""The policies folder: what is read, what is refused, and how a person is told."""

# ruff: noqa: E501 (a row of a table is read as a row)

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policy_made import NOW, POLICIES, example, good
from retraind import policy_files, strict_policy, strict_yaml
from retraind.core.events import PolicyLoaded, PolicyRefused
from retraind.core.policy.decision import evaluate
from retraind.core.policy.document import LoadedPolicy, bind_policy, policy_for, unbind_policy
from retraind.core.policy.lint import Site, outlook
from retraind.core.state import Refusal
from retraind.core.units import Span
from retraind.errors import Refused, RetraindError

WEEKLY = Span.parse("7d")
BASE = (POLICIES / "examples" / "price-conservative.yaml").read_text(encoding="utf-8")
SHIPPED = sorted(POLICIES.glob("*.yaml"))
EXAMPLES = sorted((POLICIES / "examples").glob("*.yaml"))


def refused(text: str, cadence: Span | None = WEEKLY, site: Site | None = None) -> Refused:
    with pytest.raises(Refused) as caught:
        strict_policy.load_text(text, "broken.yaml", (), cadence, site=site)
    return caught.value


def edited(old: str, new: str) -> str:
    assert BASE.count(old) >= 1, old
    return BASE.replace(old, new, 1)


BROKEN: list[tuple[str, str, str, str, str, str]] = [
    # what, the text, its replacement, text on the line that is named, problem, remedy
    ("a misspelt key", "at_most: 1, of: 3", "at_mots: 1, of: 3", "at_mots", 'unknown key "at_mots"', "did you mean at_most?"),
    ("a misspelt kind", "better: {metric", "beter: {metric", "beter:", 'unknown key "beter"', "did you mean better?"),
    ("a misspelt block", "rollback:", "rollbock:", "rollbock:", 'unknown key "rollbock"', "did you mean rollback?"),
    ("a misspelt metric", "metric: wape, horizon: 7, measured: test, than: champion, by", "metric: wepe, horizon: 7, measured: test, than: champion, by", "wepe", '"wepe" is not one of', "did you mean wape?"),
    ("a share without its sign", "by: 2%}", "by: 2x}", "by: 2x", '"2x" is not a percentage', "percent sign"),
    ("a bare number where a span belongs", "give_up_after: 8w", "give_up_after: 8", "give_up_after: 8", "8 has no unit", "such as 30m, 26h or 14d"),
    ("a bare number where a share belongs", "at_least: 0.5%", "at_least: 0.5", "at_least: 0.5", "0.5 has no unit", "such as 5% or 0.5%"),
    ("drops without their word", "for: 2 drops", "for: 2", "for: 2", "2 has no unit", "such as 1 drop or 3 drops"),
    ("a time without quotes that is none", '  from: "2027-01-30"', '  from: "2027-13-30"', "2027-13-30", "is not a date", "2026-11-24"),
    ("an equal key twice", "mode: enforce", "mode: enforce\nmode: dry_run", "mode: dry_run", 'the key "mode" twice', "keep one"),
    ("an alias", "[persistence, seasonal_naive]", "&b [persistence, seasonal_naive]", "&b", "anchor or alias", "write the value out"),
    ("a tag", "mode: enforce", "mode: !!python/name:os.system enforce", "!!python", "has the tag", "leave it out"),
    ("no YAML at all", "staging:", "staging: [", "id: enough-evidence", "is not YAML", "open bracket"),
    ("an unknown version", "version: 1", "version: 2", "version: 2", "version 2 is not known", "this release reads 1"),
    ("a name with capitals", "policy: price-conservative", "policy: PriceConservative", "policy: Price", "is not a name", "small letters"),
    ("a condition without a kind", "    - id: soak\n      soak: {drops: 4}", "    - id: soak", "- id: soak", "has no kind", "exactly one of"),
    ("a condition with two kinds", "      soak: {drops: 4}", "      soak: {drops: 4}\n      samples: {measured: test, dates: 3}", "- id: soak", "has 2 kinds (soak, samples)", "exactly one of"),
    ("a condition without an id", "- id: stable-inputs\n      drift", "- drift", "- drift", '"id" is missing', "add id"),
    ("an id twice", "id: better-at-a-week", "id: no-worse-anywhere", "id: no-worse-anywhere", 'the id "no-worse-anywhere" is used twice', "rename one"),
    ("a kind where it may not stand", "      samples: {measured: test, dates: 60, rows: 2000}", "      soak: {drops: 4}", "soak: {drops: 4}", "soak may not stand in staging", "production, refresh"),
    ("for outside rollback", "    - id: soak\n", "    - id: soak\n      for: 2 drops\n", "for: 2 drops", "for stands only in rollback", "soak"),
    ("an empty list of conditions", "rollback:", "limits: {}\nrollback:", "limits", 'the key "limits" twice', "keep one"),
    ("alpha too large", "alpha: 0.05", "alpha: 0.5", "alpha: 0.5", "0.5 is not above 0 and at most 0.2", "0.05"),
    ("a window without its zone", "timezone: Asia/Shanghai\n", "", "freeze:", "windows need a time zone", "timezone: Asia/Shanghai"),
    ("a zone that is none", "timezone: Asia/Shanghai", "timezone: Asia/Peking", "timezone:", '"Asia/Peking" is no time zone', "IANA"),
    ("a window that ends before it begins", '"2027-01-30"', '"2027-03-30"', "from:", "is after to", "exchange"),
    ("half a window", '    to: "2027-02-14"\n', "", "id: spring-festival", "needs either days and between, or from and to", "between"),
    ("a horizon of zero days", "horizon: 7, measured: test, than: champion, by", "horizon: 0, measured: test, than: champion, by", "horizon: 0", "at least 1 day", "1 or more"),
    ("a soak that patience cannot bear", "drops: 4", "drops: 9", "drops: 9", "takes 63 days", "raise production's give_up_after"),
    ("a model that goes stale in its soak", "trained_within: 7w", "trained_within: 3w", "trained_within: 3w", "is over before the soak of 28 days ends", "more than 28d"),
    ("live figures that come too late", "min_dates: 7", "min_dates: 70", "min_dates: 70", "live figures need 70 days", "shorter horizon"),
    ("significant without better", "better: {metric: wape, horizon: 7, measured: test, than: champion, by: 2%}", "no_worse: {metric: wape, horizon: 7, measured: test, than: champion, within: 2%}", "significant:", "significant without better", "better condition"),
    ("a rollback that never comes", "for: 2 drops", "for: 7 drops", "for: 7 drops", "cannot come within the watch of 6 drops", "watch longer"),
    ("live in staging", "measured: test, over: [persistence, seasonal_naive]", "measured: live, over: [persistence, seasonal_naive]", "measured: live, over: [persistence, seasonal_naive]", "no live figures before Staging", "move it to production"),
    ("nothing to prove", "skill: {metric: wape, horizon: [1, 7], measured: test, over: [persistence, seasonal_naive], at_least: 0.5%}", "samples: {measured: test, rows: 1}", "  when:", "asks for no skill and no limit", "add skill"),
    ("no open minute", '    from: "2027-01-30"\n    to: "2027-02-14"', '    days: [mon, tue, wed, thu, fri, sat, sun]\n    between: ["00:00", "24:00"]', "freeze:", "no minute of the week is left open", "leave days or hours out"),
    ("a number where a word belongs", "from: [pricing, ops]", "from: [pricing, 7]", "from: [pricing, 7]", "7 is not text", "quotes"),
    ("a drift that is always so", "at_most: 1, of: 3", "at_most: 3, of: 3", "at_most: 3, of: 3", "always or never so", "less than of"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "on_line", "problem", "remedy"), [pytest.param(*b[1:], id=b[0]) for b in BROKEN]
)
def test_a_broken_file_is_refused_with_file_line_problem_and_remedy(
    old: str, new: str, on_line: str, problem: str, remedy: str
) -> None:
    text = edited(old, new)
    error = refused(text)
    told = next((m for m in error.mistakes if problem in m.what), None)
    assert told is not None, [str(m) for m in error.mistakes]
    assert told.where is not None
    assert told.where.file == "broken.yaml"
    assert told.where.line is not None
    assert on_line in text.splitlines()[told.where.line - 1], (told.where.line, str(told))
    assert remedy in told.remedy
    assert all(m.remedy for m in error.mistakes), [str(m) for m in error.mistakes if not m.remedy]


def test_at_least_25_broken_files_are_shown() -> None:
    assert len({b[2] for b in BROKEN}) >= 25


def test_a_mistake_in_a_condition_names_the_condition() -> None:
    (told,) = refused(edited("at_most: 1, of: 3", "at_mots: 1, of: 3")).mistakes[:1]
    assert str(told).startswith('broken.yaml, line 26, column 32: unknown key "at_mots" (in production, stable-inputs)')


def test_every_mistake_of_a_file_is_told_at_once_and_in_its_order() -> None:
    text = edited("at_least: 0.5%", "at_least: 5").replace("drops: 4", "drops: 0").replace("block: true", "blok: true")
    lines = [m.where.line for m in refused(text).mistakes if m.where]
    assert len(lines) >= 3
    assert lines == sorted(lines)


def test_a_tab_is_called_one() -> None:
    (told,) = refused(BASE.replace("  when:", "\twhen:", 1)).mistakes
    assert told.remedy == "YAML takes no tabs: indent with spaces"


@pytest.mark.parametrize("text", ["", "# only a comment\n", "[]", "just words", "version: 1\n--- \nversion: 1\n"])
def test_what_is_no_policy_at_all_is_refused(text: str) -> None:
    assert refused(text).mistakes[0].remedy


def test_a_file_that_no_person_keeps_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "huge.yaml"
    path.write_text("# " + "x" * strict_yaml.LIMIT + "\n" + BASE, encoding="utf-8")
    with pytest.raises(Refused, match="over 256 KiB"):
        strict_policy.load_file(path)


def test_a_file_that_is_not_utf8_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "latin.yaml"
    path.write_bytes(b"version: 1\npolicy: caf\xe9\n")
    with pytest.raises(Refused, match="line 2, column 12: is not UTF-8"):
        strict_policy.load_file(path)


def test_a_file_that_vanished_is_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(RetraindError, match="cannot be read"):
        strict_policy.load_file(tmp_path / "gone.yaml")


@pytest.mark.parametrize("cadence", ["24h", "26h", "7d", "8d"])
@pytest.mark.parametrize("path", [*SHIPPED, *EXAMPLES], ids=lambda p: p.stem)
def test_what_the_project_ships_loads_at_a_daily_and_a_weekly_cadence(path: Path, cadence: str) -> None:
    loaded = strict_policy.load_file(path, (), Span.parse(cadence))
    text = path.read_bytes()
    assert loaded.loaded.sha256 == hashlib.sha256(text).hexdigest() == policy_files.sha256(path)
    assert loaded.text.encode() == text
    assert loaded.loaded.ref == f"{path.stem}@{loaded.loaded.sha256[:8]}"


def test_the_shipped_policies_stand_side_by_side_and_speak_for_one_model_each() -> None:
    taken: dict[str, LoadedPolicy] = {}
    for path in SHIPPED:
        taken[path.name] = strict_policy.load_file(path, taken.values(), WEEKLY).loaded
    assert policy_for(taken, "price") is taken["price.yaml"]
    assert policy_for(taken, "demand") is taken["demand.yaml"]
    assert policy_for(taken, "weight") is None


def other(file: str, policy: str, *models: str) -> LoadedPolicy:
    listed = ", ".join(f'"{m}"' for m in models)
    text = BASE.replace("policy: price-conservative", f"policy: {policy}").replace(
        "models: [price]", f"models: [{listed}]"
    )
    return strict_policy.load_text(text, file, (), WEEKLY).loaded


def test_the_glob_with_the_most_literal_characters_wins() -> None:
    taken = {
        p.file: p for p in (other("a.yaml", "a", "*"), other("b.yaml", "b", "price-*"), other("c.yaml", "c", "price"))
    }
    assert [policy_for(taken, m).file for m in ("price", "price-new", "demand")] == ["c.yaml", "b.yaml", "a.yaml"]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("mine", "theirs", "ties"),
    [
        ("price", "price", True),
        ("price-*", "*-price", True),  # price-price fits both
        ("price-*", "price-?", True),
        ("p*", "d*", False),
        ("price-*", "price", False),
        ("?rice", "p?ice", True),
        ("ab*", "*ba", True),
        ("a?", "?bc", False),
    ],
)
def test_two_files_that_claim_a_model_as_closely_refuse_the_later_edit(mine: str, theirs: str, *, ties: bool) -> None:
    text = BASE.replace("models: [price]", f'models: ["{mine}"]')
    earlier = other("earlier.yaml", "earlier", theirs)
    if not ties:
        assert strict_policy.load_text(text, "later.yaml", [earlier], WEEKLY).loaded.file == "later.yaml"
        return
    with pytest.raises(Refused, match=r"ties with .* of earlier.yaml"):
        strict_policy.load_text(text, "later.yaml", [earlier], WEEKLY)


def test_a_file_does_not_tie_with_its_own_earlier_version() -> None:
    before = strict_policy.load_text(BASE, "p.yaml", (), WEEKLY).loaded
    assert strict_policy.load_text(BASE + "\n# more\n", "p.yaml", [before], WEEKLY).loaded.file == "p.yaml"
    with pytest.raises(Refused, match=r"p.yaml is named price-conservative too"):
        strict_policy.load_text(BASE.replace("[price]", "[demand]"), "q.yaml", [before], WEEKLY)


def test_only_yaml_files_directly_in_the_folder_are_policies(tmp_path: Path) -> None:
    shutil.copytree(POLICIES, tmp_path / "policies")
    folder = tmp_path / "policies"
    (folder / ".price.yaml.swp").write_text("x", encoding="utf-8")
    (folder / ".hidden.yaml").write_text("x", encoding="utf-8")
    (folder / "more.yml").write_text("version: 1", encoding="utf-8")
    (folder / "folder.yaml").mkdir()
    (folder / "dangling.yaml").symlink_to(folder / "nowhere")
    seen = policy_files.scan(folder)
    assert set(seen) == {"price.yaml", "demand.yaml", "more.yml"}
    assert seen["more.yml"][1] == len("version: 1")
    assert policy_files.scan(tmp_path / "nothing") == {}


def test_an_edit_is_seen_by_the_scan(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("a", encoding="utf-8")
    before = policy_files.scan(tmp_path)
    (tmp_path / "p.yaml").write_text("ab", encoding="utf-8")
    assert policy_files.scan(tmp_path) != before


def test_a_load_is_an_event_with_its_text_and_the_edit_in_words() -> None:
    before = strict_policy.load_text(BASE, "p.yaml", (), WEEKLY)
    after = strict_policy.load_text(edited("by: 2%", "by: 3%"), "p.yaml", (), WEEKLY)
    assert before.event().changes == ()
    event = after.event(before.loaded)
    assert event.changes == ("stricter production.better-at-a-week by 2% -> 3%",)
    assert (event.policy, event.models, event.text) == ("price-conservative", ("price",), after.text)


def test_notes_let_a_file_in_and_carry_their_line() -> None:
    text = edited(
        "at_least: 0.5%}",
        "at_least: 0.5%}\n    - id: small\n      limit: {metric: wape, horizon: 3, measured: test, at_most: 0.4}",
    )
    site = Site(WEEKLY, ("demand",), (1, 7, 14, 30), "data")
    notes = [str(n) for n in strict_policy.load_text(text, "p.yaml", (), site=site).notes]
    assert any("at_most: 0.4 means 0.4 % wape" in n and "line 16" in n for n in notes), notes
    assert any("no model forecasts 3 days ahead" in n for n in notes), notes
    assert any('"price" fits no model of this site' in n and "models here: demand" in n for n in notes), notes
    assert any("void after it" in n for n in notes), notes


def test_hours_on_the_data_clock_are_noted() -> None:
    text = (POLICIES / "examples" / "demand-by-category.yaml").read_text(encoding="utf-8")
    notes = strict_policy.load_text(text, "p.yaml", (), site=Site(WEEKLY, clock="data")).notes
    assert any("hours mean nothing on the data clock" in n.what for n in notes)


@pytest.mark.parametrize("path", [*SHIPPED, *EXAMPLES], ids=lambda p: p.stem)
def test_a_policy_written_out_again_is_the_same_policy(path: Path) -> None:
    name = str(path.relative_to(POLICIES).with_suffix(""))
    policy = example(name)
    assert bind_policy(unbind_policy(policy)) == policy


def test_the_outlook_says_how_soon() -> None:
    policy = example("examples/price-conservative")
    daily, weekly = outlook(policy, Span.parse("24h")), outlook(policy, WEEKLY)
    assert (daily.promotion.days, weekly.promotion.days) == (12, 28)
    assert daily.rollback is not None
    assert weekly.rollback is not None
    assert (daily.rollback.days, weekly.rollback.days) == (6, 14)
    without = replace(example("price"), rollback=None)
    assert outlook(without, WEEKLY).rollback is None


# ---- the folder as it changes ----


class Folder:
    """A policies folder, and what a daemon that reads it would keep in mind."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.loaded: dict[str, LoadedPolicy] = {}
        self.refused: dict[str, Refusal] = {}

    def write(self, name: str, old: str = "", new: str = "") -> None:
        text = BASE.partition("tests: ")[0]
        (self.path / name).write_text(text.replace(old, new, 1) if old else text, encoding="utf-8")

    def look(self) -> list[str]:
        """The events of one look, folded as the daemon folds them."""
        told = []
        for event in policy_files.changes(self.path, dict(self.loaded), dict(self.refused), site=Site(WEEKLY)):
            self.refused.pop(event.file, None)
            if isinstance(event, PolicyLoaded):
                self.loaded[event.file] = strict_policy.load_text(event.text, event.file).loaded
            elif isinstance(event, PolicyRefused):
                now = datetime(2026, 12, 2, tzinfo=UTC)
                self.refused[event.file] = Refusal(event.file, event.sha256, event.mistakes, now)
            else:
                self.loaded.pop(event.file, None)
            told.append(f"{type(event).__name__} {event.file}")
        return told


def test_an_edit_is_told_once_and_a_broken_one_keeps_the_last_good_version(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.write("p.yaml")
    assert folder.look() == ["PolicyLoaded p.yaml"]
    assert folder.look() == []
    good_ref = folder.loaded["p.yaml"].ref
    folder.write("p.yaml", "by: 2%", "by: two")
    assert folder.look() == ["PolicyRefused p.yaml"]
    assert folder.look() == []
    assert folder.loaded["p.yaml"].ref == good_ref
    folder.write("p.yaml")
    assert folder.look() == ["PolicyLoaded p.yaml"]
    assert folder.look() == []
    (tmp_path / "p.yaml").unlink()
    assert folder.look() == ["PolicyRemoved p.yaml"]
    assert folder.look() == []


def test_who_was_refused_because_of_another_file_is_taken_when_that_one_goes(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.write("a.yaml")
    folder.write("b.yaml", "policy: price-conservative", "policy: price-bold")
    assert folder.look() == ["PolicyLoaded a.yaml", "PolicyRefused b.yaml"]
    assert folder.look() == []
    (tmp_path / "a.yaml").unlink()
    assert folder.look() == ["PolicyRemoved a.yaml", "PolicyLoaded b.yaml"]
    assert folder.look() == []


def test_a_model_that_moves_from_the_later_file_to_the_earlier_is_taken_in_one_look(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.write("a.yaml", "policy: price-conservative\nmodels: [price]", "policy: other\nmodels: [demand]")
    folder.write("b.yaml")
    assert folder.look() == ["PolicyLoaded a.yaml", "PolicyLoaded b.yaml"]
    folder.write("a.yaml", "policy: price-conservative", "policy: other")
    folder.write("b.yaml", "models: [price]", "models: [weight]")
    folder.look()
    assert {f: p.policy.models for f, p in folder.loaded.items()} == {"a.yaml": ("price",), "b.yaml": ("weight",)}
    assert folder.look() == []


# ---- whatever a file holds ----

TOKENS = [
    "", ":", "-", "{", "}", "[", "]", "&a", "*a", "!x", "null", "~", "1e99", "-1", "0", "9" * 5000, "1." + "0" * 400, ".inf", ".nan",
    "9999999999999w", "0d", "%", "\t", "\n", "  ", "? ", "|", ">", "<<: ", "true", "99999 drops", "2027-02-30", "25:00", "é", "\x00",
    "999999999999", "[]", "{}", "at_least: 1, ", "horizon: [], ", "horizon: 1000000000000, ", "#", "---\n", '"',
]  # fmt: skip


def taken_or_refused(text: str) -> None:
    """Whatever the text: a policy that decides, or a refusal with lines."""
    try:
        policy = strict_policy.load_text(text, "p.yaml", (), WEEKLY).loaded.policy
    except Refused as error:
        unplaced = [str(m) for m in error.mistakes if m.where is None or not m.where.line]
    else:
        unplaced = []
        assert evaluate(policy, good(), NOW).words
        assert outlook(policy, WEEKLY)
    assert not unplaced


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, len(BASE)), st.integers(0, 12), st.sampled_from(TOKENS)), min_size=1, max_size=3)
)
def test_whatever_a_file_holds_it_is_taken_or_refused_with_a_line(edits: list[tuple[int, int, str]]) -> None:
    text = BASE
    for at, cut, token in edits:
        text = text[:at] + token + text[at + cut :]
    taken_or_refused(text)


@pytest.mark.parametrize("number", range(len(TOKENS)))
def test_no_value_of_any_key_breaks_the_loader(number: int) -> None:
    for line in range(number % 19, len(BASE.splitlines()), 19):  # between them the tokens see every line
        lines = BASE.splitlines()
        key, colon, rest = lines[line].rpartition(": ")
        lines[line] = key + colon + TOKENS[number] + "".join(c for c in rest if c in "}]")
        taken_or_refused("\n".join(lines))


# ---- a policy's own tests ----


def site_with_tests(tmp_path: Path) -> Folder:
    shutil.copytree(POLICIES / "examples", tmp_path / "policies")
    for other_file in ("demand-fast.yaml", "price-conservative.yaml"):
        (tmp_path / "policies" / other_file).unlink()
    return Folder(tmp_path / "policies")


def test_an_edit_whose_own_tests_fail_is_refused_with_the_tests_line(tmp_path: Path) -> None:
    folder = site_with_tests(tmp_path)
    path = folder.path / "demand-by-category.yaml"
    assert folder.look() == ["PolicyLoaded demand-by-category.yaml"]
    in_force = folder.loaded[path.name].ref
    path.write_text(
        path.read_text(encoding="utf-8").replace("trained_within: 5w", "trained_within: 15d"), encoding="utf-8"
    )
    assert folder.look() == ["PolicyRefused demand-by-category.yaml"]
    assert folder.loaded[path.name].ref == in_force
    told = folder.refused[path.name].mistakes[0]
    assert told.startswith("tests/demand-by-category.yaml, line ")
    assert "expects hold and gets reject: rejected: fresh says no" in " ".join(folder.refused[path.name].mistakes)


def test_a_file_of_tests_that_is_missing_broken_or_of_another_policy_refuses_the_policy(tmp_path: Path) -> None:
    folder = site_with_tests(tmp_path)
    path, tests = folder.path / "demand-by-category.yaml", folder.path / "tests" / "demand-by-category.yaml"
    good_text = tests.read_text(encoding="utf-8")
    for text, match in (
        (None, "tests/demand-by-category.yaml: cannot be read"),
        (good_text.replace("cadence: daily", "cadence: hourly"), 'line 4, column 1: "hourly" is not one of daily, weekly'),
        (good_text.replace("../demand-by-category.yaml", "../demand-fast.yaml", 2), "and not demand-by-category.yaml"),
    ):
        tests.unlink() if text is None else tests.write_text(text, encoding="utf-8")
        with pytest.raises(RetraindError, match=match):
            strict_policy.load_file(path)
