"""The protocol by which forecasts and provisioning are judged; `bench/allocator.py` runs it."""
