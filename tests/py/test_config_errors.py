"""What is wrong in a configuration is named with its key and line, and nothing of it takes effect."""

import pickle

import pytest

from resilience import ConfigError, configure, get_all_circuit_breakers, get_circuit_breaker
from support.config_faults import COUNT, generated

pytestmark = pytest.mark.usefixtures("clean_configuration")


def refused(text, folder, suffix=".yaml"):
    path = folder / f"settings{suffix}"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError) as caught:
        configure(path)
    return caught.value


def test_each_of_many_bad_configurations_names_key_and_line_and_applies_nothing(tmp_path):
    configure({"circuit_breakers": {"db": {"failure_threshold": 6}}})
    breakers = [get_circuit_breaker(name) for name in ("llm.openai", "db", "search.eu", "other")]
    before = [breaker.config for breaker in breakers]
    listed = set(get_all_circuit_breakers())
    wrong = []
    for faulty in generated():
        error = refused(faulty.text, tmp_path, faulty.suffix)
        if (error.key, error.line) != (faulty.key, faulty.line):
            wrong.append((faulty.what, faulty.suffix, faulty.key, faulty.line, str(error)))
        assert [breaker.config for breaker in breakers] == before
    assert wrong == []
    assert set(get_all_circuit_breakers()) == listed
    assert get_circuit_breaker("llm.new").config.failure_threshold is None
    assert COUNT >= 200


@pytest.mark.parametrize(
    ("text", "key", "line", "reason"),
    [
        ("circuit_brakers:\n  a: {}\n", "circuit_brakers", 1, "did you mean circuit_breakers"),
        ("circuit_breakers:\n  a:\n    failure_treshold: 3\n", None, 3, "did you mean failure_threshold"),
        ("defaults:\n  recovery_timeot: 3\n", "defaults.recovery_timeot", 2, "did you mean recovery_timeout"),
        ("defaults:\n  recovery_timeout: soon\n", "defaults.recovery_timeout", 2, "30s"),
        ("defaults: [1]\n", "defaults", 1, "table"),
        ("- 1\n", "(the whole file)", 1, "table"),
        ("circuit_breakers: 5\n", "circuit_breakers", 1, "table"),
        ("circuit_breakers:\n  a: 5\n", "circuit_breakers.a", 2, "table"),
        ("circuit_breakers:\n  llm*: {}\n", "circuit_breakers.llm*", 2, "family"),
        ("circuit_breakers:\n  '*.llm': {}\n", "circuit_breakers.*.llm", 2, "family"),
        ("circuit_breakers:\n  ' a': {}\n", "circuit_breakers. a", 2, "printable"),
        ("circuit_breakers:\n  llm:\n    openai: {failure_threshold: 3}\n", None, 3, "in quotes"),
        ("circuit_breakers:\n  a: {}\n  a: {}\n", "circuit_breakers.a", 3, "first in line 2"),
        ("circuit_breakers:\n  a:\n   x: 1\n   x: 1\n", "circuit_breakers.a.x", 4, "twice"),
        ("circuit_breakers: {}\ncircuit_breakers: {}\n", "circuit_breakers", 2, "twice"),
        ("circuit_breakers:\n  ? [a]\n  : {}\n", "circuit_breakers", 2, "key"),
        ("circuit_breakers:\n  a: {failure_threshold: 3\n", None, 3, ""),
        ("circuit_breakers:\n\ta: {}\n", None, 2, ""),
        ("a: 1\n---\nb: 2\n", "(syntax)", 2, "second"),
        ("circuit_breakers: !!python/object/apply:os.system [id]\n", None, None, ""),
        ("circuit_breakers: {a: {recovery_timeout: 2026-01-01}}\n", None, 1, "tag"),
        ("circuit_breakers: {a: {recovery_timeout: !!binary aGk=}}\n", None, 1, "tag"),
    ],
)
def test_what_is_wrong_in_yaml_is_named(tmp_path, text, key, line, reason):
    error = refused(text, tmp_path)
    assert reason in error.reason
    assert key is None or error.key == key
    assert line is None or error.line == line


@pytest.mark.parametrize(
    ("text", "key", "line", "reason"),
    [
        ("[circuit_brakers]\n", "circuit_brakers", 1, "did you mean"),
        ("[circuit_breakers.a]\nfailure_threshold = 3\nfailure_threshold = 4\n", None, 3, "first in line 2"),
        ("[circuit_breakers.a]\n[circuit_breakers.a]\n", "circuit_breakers.a", 2, "twice"),
        ("[circuit_breakers]\na.x = 1\nb = { x = 1 }\n", "circuit_breakers.a.x", 2, "unknown"),
        (
            '[circuit_breakers]\n"a b" = { failure_threshold = 3, x = 1 }\n',
            "circuit_breakers.a b.x",
            2,
            "unknown",
        ),
        ('x = """\n\n"""\n', "x", 1, "unknown section"),
        ('defaults.recovery_timeout = """\nlong"""\n[oops]\n', "oops", 3, "unknown section"),
        ("[defaults]\nrecovery_timeout = [\n 1, # one\n '2' ]\nminimum_calls = -1\n", None, 2, "a list"),
        ("[[circuit_breakers]]\na = 1\n", "circuit_breakers", 1, "a list"),
        ("[circuit_breakers.a]\nfailure_threshold 3\n", "circuit_breakers.a.failure_threshold", 2, ""),
        ("[circuit_breakers.a]\nrecovery_timeout = 2026-01-01\n", None, 2, "date"),
        ("[circuit_breakers.a\n", None, 1, ""),
        ("[circuit_breakers.a]\nx = " + "9" * 5000 + "\n", None, 2, "number"),
    ],
)
def test_what_is_wrong_in_toml_is_named(tmp_path, text, key, line, reason):
    error = refused(text, tmp_path, ".toml")
    assert reason in error.reason
    assert key is None or error.key == key
    assert error.line == line


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"circuit_breakers": {"a": {"failure_threshold": -1}}}, "circuit_breakers.a.failure_threshold"),
        ({"circuit_breakers": {"a": {"ignore": KeyError}}}, "circuit_breakers.a.ignore"),
        ({"circuit_breakers": {5: {}}}, "circuit_breakers"),
        ({"circuit_breakers": {"": {}}}, "circuit_breakers"),
        ({"circuit_breakers": {"a": {"minimum_calls": 10**400}}}, "circuit_breakers.a.minimum_calls"),
        (
            {"circuit_breakers": {"a": {"recovery_timeout": float("nan")}}},
            "circuit_breakers.a.recovery_timeout",
        ),
        ({"circuit_breakers": {"a": {"recovery_timeout": object()}}}, "circuit_breakers.a.recovery_timeout"),
        ({"circuit_breakers": {"a" * 201: {}}}, f"circuit_breakers.{'a' * 201}"),
    ],
)
def test_what_is_wrong_in_a_mapping_is_named_without_a_line(settings, key):
    with pytest.raises(ConfigError) as caught:
        configure(settings)
    assert caught.value.key == key
    assert caught.value.line is None


def test_an_error_reads_well_and_pickles(tmp_path):
    error = refused("circuit_breakers:\n  a:\n    recovery_timeout: 5 minutes\n", tmp_path)
    assert str(error) == (
        "line 3: circuit_breakers.a.recovery_timeout: must be a duration (30, 30s, 500ms, 2m, 1h) "
        "in [0.001, 31622400] seconds, got '5 minutes'"
    )
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_a_long_value_is_not_repeated_in_full(tmp_path):
    error = refused(f"circuit_breakers: {{a: {{recovery_timeout: {'x' * 5000}}}}}\n", tmp_path)
    assert len(str(error)) < 300


@pytest.mark.parametrize(("suffix", "shown"), [(".json", ".toml"), ("", ".yaml"), (".YAML.bak", ".yml")])
def test_a_file_of_another_kind_is_refused(tmp_path, suffix, shown):
    assert shown in refused("{}", tmp_path, suffix).reason
