"""Subcommands of `resilience`, one a module; they import what they need when they run."""
