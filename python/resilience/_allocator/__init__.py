"""Implementation of `resilience.allocator`."""
