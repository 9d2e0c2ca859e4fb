"""Set the environment of a test run before Django reads its settings."""

import os
import tempfile

os.environ.setdefault("LICTOR_DEBUG", "1")
os.environ.setdefault("LICTOR_VAR", tempfile.mkdtemp(prefix="lictor-test-"))
os.environ.setdefault("LICTOR_QUEUE", f"lictor-test-{os.getpid()}")
