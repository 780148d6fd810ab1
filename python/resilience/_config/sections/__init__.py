"""One module a section of a configuration, each with a `SECTION`; a new section is a new module here."""
