"""Configuration behind `resilience.configure`: reading a file, checking it by schema, applying all of it or nothing.

From the file inwards: `_yaml` and `_toml` turn text into a tree of `nodes` that know their lines; `kinds` and
`schema` check the tree; each module in `sections` says what one section of a file means; `plan` puts them together.
All of it is imported when something is configured, not before.
"""
