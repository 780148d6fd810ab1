"""The router of language models: what it is asked, whom it asks, and what that costs."""
