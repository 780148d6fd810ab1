"""A hostile configuration costs little and is refused; what is read is what is written."""

import tomllib
import tracemalloc

import pytest
import yaml
from hypothesis import HealthCheck, given, settings, strategies as st

from resilience import ConfigError, configure
from resilience._config import _toml, _yaml, nodes

pytestmark = pytest.mark.usefixtures("clean_configuration")

DEEP = 100_000
HOSTILE = {
    "yaml aliases": (".yaml", "a: &a [x]\ndefaults: {recovery_timeout: *a}\n"),
    "yaml bomb": (
        ".yaml",
        "a: &a [x,x,x,x,x,x,x,x,x]\n"
        + "".join(
            f"{b}: &{b} [{','.join(['*' + a] * 9)}]\n" for a, b in zip("abcdefghi", "bcdefghij", strict=True)
        ),
    ),
    "yaml merge keys": (".yaml", "defaults: &d {minimum_calls: 3}\ncircuit_breakers: {a: {<<: *d}}\n"),
    "yaml deep lists": (".yaml", "defaults: " + "[" * DEEP),
    "yaml deep tables": (".yaml", "defaults: " + "{a: " * DEEP),
    "yaml deep dashes": (".yaml", "defaults: \n" + "- " * DEEP),
    "yaml deep indentation": (".yaml", "\n".join(" " * i + "a:" for i in range(600))),
    "yaml the same key fifty thousand times": (".yaml", "a: 1\n" * 50_000),
    "yaml a key twice": (".yaml", "circuit_breakers: {a: {}, b: {}, a: {}}\n"),
    "yaml a python object": (".yaml", "defaults: !!python/object/apply:os.system [exit]\n"),
    "toml a key twice": (".toml", "[circuit_breakers.a]\nminimum_calls = 1\nminimum_calls = 2\n"),
    "yaml many values": (".yaml", "defaults: [" + "1," * (nodes.MAX_NODES + 1) + "]\n"),
    "yaml control character": (".yaml", "defaults:\n  recovery_timeout: \x07\n"),
    "toml deep lists": (".toml", "defaults = " + "[" * DEEP),
    "toml deep tables": (".toml", "defaults = " + "{a=" * DEEP),
    "toml deep key": (".toml", "a" + ".a" * DEEP + " = 1\n"),
    "toml deep header": (".toml", "[a" + ".a" * DEEP + "]\n"),
    "toml deep lists on many lines": (".toml", "defaults = " + "[\n" * DEEP),
    "toml control character": (".toml", "defaults = '\x07'\n"),
    "ten megabytes of yaml": (".yaml", "a: 1\n" * 2_000_000),
    "ten megabytes of toml": (".toml", "#" * 10_000_000),
    "no utf-8": (".yaml", b"defaults:\n  minimum_calls: \xff\n"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_naming_a_key_and_a_line(tmp_path, name):
    suffix, text = HOSTILE[name]
    path = tmp_path / f"hostile{suffix}"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError) as caught:
        configure(path)
    assert caught.value.key
    assert caught.value.line >= 1
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("suffix", [".yaml", ".toml"])
def test_a_file_without_end_is_read_no_further_than_its_limit(tmp_path, suffix):
    sparse, endless = tmp_path / f"sparse{suffix}", tmp_path / f"endless{suffix}"
    with sparse.open("wb") as file:
        file.truncate(100 * 1024**3)  # takes no room on the disk
    endless.symlink_to("/dev/zero")
    for path in (sparse, endless):
        tracemalloc.start()
        try:
            with pytest.raises(ConfigError, match="larger than"):
                configure(path)
            assert tracemalloc.get_traced_memory()[1] < 4 * 1024**2
        finally:
            tracemalloc.stop()


def test_a_mapping_that_contains_itself_is_refused():
    settings_ = {}
    settings_["defaults"] = settings_
    with pytest.raises(ConfigError, match="deeper"):
        configure(settings_)


def test_a_mapping_with_too_many_values_is_refused():
    with pytest.raises(ConfigError, match="values"):
        configure({"circuit_breakers": {str(i): {} for i in range(nodes.MAX_NODES + 1)}})


def plain(node):
    """The values of a tree without their places."""
    if isinstance(node.value, dict):
        return {key: plain(entry) for key, entry in node.value.items()}
    if isinstance(node.value, list):
        return [plain(item) for item in node.value]
    return node.value


def places(node):
    yield node
    children = (
        node.value.values()
        if isinstance(node.value, dict)
        else node.value
        if isinstance(node.value, list)
        else ()
    )
    for child in children:
        yield from places(child)


KEYS = st.text("abc.*'\" -é", min_size=1, max_size=6)
VALUES = st.recursive(
    st.one_of(st.booleans(), st.integers(-99, 99), st.text("ab#[]{}=\"'\n\\ ", max_size=8), st.floats(-9, 9)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=8,
)
TREES = st.dictionaries(KEYS, VALUES, max_size=5)
repeatable = settings(  # the same examples each time, however slow the machine is
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)


def quoted(text):
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def toml_value(value, gap):
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f"'''{value}'''" if "'" not in value and not value.startswith("\n") else quoted(value)
    if isinstance(value, list):
        return "[" + "".join(f"{gap}{toml_value(item, gap)}," for item in value) + gap + "]"
    if isinstance(value, dict):
        return (
            "{ " + ", ".join(f"{quoted(key)} = {toml_value(item, ' ')}" for key, item in value.items()) + " }"
        )
    return repr(value)


@repeatable
@given(tree=TREES, gap=st.sampled_from([" ", "\n", " # [ {\n  "]), blank=st.integers(0, 2))
def test_toml_is_read_as_tomllib_reads_it_and_keys_keep_their_lines(tree, gap, blank):
    parts, starts = [], {}
    for key, value in tree.items():
        starts[key] = "".join(parts).count("\n") + 1
        parts.append(f"{quoted(key)} = {toml_value(value, gap)}\n" + "\n" * blank)
    text = "".join(parts)
    node = _toml.parse(text)
    assert plain(node) == tomllib.loads(text) == tree
    assert {key: entry.line for key, entry in node.value.items()} == starts


@repeatable
@given(tree=TREES, flow=st.booleans())
def test_yaml_is_read_as_safe_load_reads_it_and_every_value_has_a_line(tree, flow):
    text = yaml.safe_dump(tree, default_flow_style=flow, allow_unicode=True)
    node = _yaml.parse(text)
    assert plain(node) == yaml.safe_load(text) == tree
    last = text.count("\n") + 1
    assert all(1 <= place.line <= last for place in places(node))


@settings(repeatable, max_examples=200)
@given(text=st.text("ab=:.,\"'[]{}\n #-&*!|>%@\\\t0é", max_size=60))
@pytest.mark.parametrize("parse", [_toml.parse, _yaml.parse], ids=["toml", "yaml"])
def test_random_text_is_read_or_refused_but_nothing_else(parse, text):
    try:
        node = parse(text)
    except ConfigError as error:
        assert error.line is None or error.line >= 1
    else:
        assert isinstance(node, nodes.Node)
