# What hand-written C types can't tell about themselves: each definition here replaces the generated one, and
# stubtest compares it with the extension. A class written with pybind11 needs nothing here. Names with a
# leading underscore may be helpers that exist only for types.
