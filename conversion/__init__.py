"""A checkpoint in, a native Longformer checkpoint out: exact, proven and fast."""
