"""A timeout without a value escaped as a KeyError, and one of a year and a day was refused when half was applied."""

import pytest

from resilience import CircuitBreaker, ConfigError, Timeouts, configure

pytestmark = pytest.mark.usefixtures("clean_configuration")


@pytest.mark.parametrize("value", [None, {}, "", True, "366d", 365.5 * 86_400])
def test_nothing_of_a_configuration_with_a_bad_timeout_is_applied(value):
    breaker = CircuitBreaker("beside a timeout")
    settings = {
        "circuit_breakers": {"beside a timeout": {"failure_threshold": 9}},
        "timeouts": {"llm": value},
    }
    with pytest.raises(ConfigError, match=r"timeouts\.llm"):
        configure(settings)
    assert breaker.config.failure_threshold is None
    assert Timeouts.table() == {}


def test_the_line_of_an_empty_one_is_told(tmp_path):
    path = tmp_path / "settings.yaml"
    path.write_text("timeouts:\n  llm: 30s\n  llm.openai:\n")
    with pytest.raises(ConfigError) as caught:
        configure(path)
    assert (caught.value.key, caught.value.line) == ("timeouts.llm.openai", 3)
