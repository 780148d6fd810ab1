"""How `bench/regression.py` measures, and how it judges; what is stored and compared is in `baseline`."""
