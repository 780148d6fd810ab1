"""Parts of the cache's benchmark."""
