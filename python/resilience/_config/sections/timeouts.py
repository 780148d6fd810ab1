"""The section `timeouts`: the central table of named timeouts, `llm.openai: 30s`."""

from resilience._config.kinds import Duration
from resilience._config.schema import Commit, Entries, Parameter, Schema, Section
from resilience._deadline import Timeouts

_SCHEMA = Schema(
    (Parameter("seconds", Duration(0.001, 365 * 86_400.0), "how long a call may take"),), shorthand="seconds"
)


def _prepare(entries: Entries) -> Commit:
    # A family is an ancestor of its names, which is how the table looks them up.
    table = {name.removesuffix(".*"): entries.about(name)["seconds"].value for name in entries.names}
    return lambda: Timeouts.load(table)  # type: ignore[arg-type] # the schema has read numbers


SECTION = Section("timeouts", "timeouts by name or family, read by `Timeouts.get`", _SCHEMA, _prepare)
