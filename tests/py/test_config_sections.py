"""What a section to come can rely on: kinds of values, shapes of sections, defaults that several sections share."""

import pytest

from resilience import ConfigError
from resilience._config import plan
from resilience._config.kinds import Choice, Duration, Flag, ListOf, Number, Optional, Rate, Text, Whole
from resilience._config.nodes import from_mapping
from resilience._config.schema import Parameter, Schema, Section


def read(kind, value):
    return kind.read(from_mapping({"setting": value}).table()["setting"])


@pytest.mark.parametrize(
    ("kind", "value", "meaning"),
    [
        (Number(0, 10), 5, 5.0),
        (Number(0, 10), 10, 10.0),
        (Whole(0, 10), 0, 0),
        (Duration(0, 100), "100ms", 0.1),
        (Rate(), "12.5%", 0.125),
        (Flag(), True, True),
        (Choice(("full", "none")), "none", "none"),
        (Text(), "redis://localhost", "redis://localhost"),
        (ListOf(Duration(0, 100)), ["1s", 2], (1.0, 2.0)),
        (Optional(Whole(1, 9)), None, None),
        (Optional(Whole(1, 9)), 9, 9),
    ],
)
def test_a_kind_reads_what_it_accepts(kind, value, meaning):
    found = read(kind, value)
    assert found == meaning
    assert type(found) is type(meaning)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Number(0, 10), "5s"),
        (Number(0, 10, above=True), 0),
        (Number(0, 10, below=True), 10),
        (Number(0, 10), float("inf")),
        (Whole(0, 10), 5.0),
        (Whole(0, 10), "5"),
        (Duration(0, 100), "5S"),
        (Duration(0, 100), "1e1s"),
        (Duration(0, 100), "٣s"),
        (Rate(), "60 percent"),
        (Flag(), 1),
        (Flag(), "yes"),
        (Choice(("full", "none")), "Full"),
        (Choice(("full", "none")), ["full"]),
        (Text(), ""),
        (Text(3), "long"),
        (ListOf(Flag()), True),
        (ListOf(Flag(), 2), [True] * 3),
        (Optional(Whole(1, 9)), 10),
    ],
)
def test_a_kind_refuses_anything_else_and_says_what_it_accepts(kind, value):
    with pytest.raises(ConfigError) as caught:
        read(kind, value)
    assert caught.value.key == "setting"
    assert kind.accepts() in caught.value.reason


def test_an_item_of_a_list_is_named_by_its_place():
    with pytest.raises(ConfigError) as caught:
        read(ListOf(Whole(0, 9)), [1, 2, "x"])
    assert caught.value.key == "setting[2]"


def test_a_text_that_is_refused_is_not_repeated_for_it_may_be_a_secret():
    with pytest.raises(ConfigError) as caught:
        read(Text(5), "hunter2-hunter2")
    assert "hunter2" not in str(caught.value)


class Recorder:
    """Sections whose effect is to be remembered."""

    def __init__(self):
        self.applied = []

    def section(self, name, *parameters, **shape):
        schema = Schema(parameters, shorthand=shape.pop("shorthand", None))

        def prepare(entries):
            return lambda: self.applied.append((name, entries))

        return Section(name, f"settings of {name}", schema, prepare, **shape)


WAIT = Parameter("wait", Duration(0, 60), "how long")
SIZE = Parameter("size", Whole(0, 60), "how many")


@pytest.fixture
def sections(monkeypatch):
    """Three sections: two with names, one of which has a shorthand, and one that is a plain table."""
    recorder = Recorder()
    found = (
        recorder.section("queues", WAIT, SIZE),
        recorder.section("limits", WAIT, shorthand="wait"),
        recorder.section("pool", SIZE, named=False),
    )
    monkeypatch.setattr(plan, "all_sections", lambda: {each.name: each for each in found})
    return recorder


def values(settings):
    return {key: setting.value for key, setting in settings.items()}


def test_a_default_holds_in_every_section_that_has_the_parameter_and_a_special_one_wins(sections):
    entries = plan.read(from_mapping({"defaults": {"wait": "5s", "size": 3, "queues": {"size": 4}}}))
    assert values(entries["queues"].base) == {"wait": 5.0, "size": 4}
    assert values(entries["limits"].base) == {"wait": 5.0}
    assert values(entries["pool"].base) == {"size": 3}


def test_a_plain_value_may_stand_for_the_one_setting_that_matters(sections):
    entries = plan.read(from_mapping({"limits": {"llm.*": "30s", "llm.openai": {"wait": 10}}}))["limits"]
    assert values(entries.about("llm.other")) == {"wait": 30.0}
    assert values(entries.about("llm.openai")) == {"wait": 10.0}
    with pytest.raises(ConfigError) as caught:
        plan.read(from_mapping({"limits": {"llm.*": "soon"}}))
    assert caught.value.key == "limits.llm.*"


def test_a_section_without_names_is_one_table(sections):
    entries = plan.read(from_mapping({"pool": {"size": 7}}))["pool"]
    assert values(entries.base) == {"size": 7}
    with pytest.raises(ConfigError, match="unknown setting"):
        plan.read(from_mapping({"pool": {"main": {"size": 7}}}))


def test_a_name_knows_whether_anything_is_said_about_it(sections):
    entries = plan.read(from_mapping({"queues": {"a.*": {}, "b": {}}}))["queues"]
    assert [entries.mentions(name) for name in ("a.x", "b", "a", "c")] == [True, True, False, False]
    assert entries.names == ["a.*", "b"]


def test_nothing_is_applied_before_everything_is_prepared(sections):
    commits = plan.prepare(plan.read(from_mapping({})))
    assert sections.applied == []
    for commit in commits:
        commit()
    assert [name for name, _ in sections.applied] == ["queues", "limits", "pool"]
