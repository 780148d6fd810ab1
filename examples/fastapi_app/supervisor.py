"""The process above several workers: uvicorn's, but it hears of a worker's end at once.

uvicorn's own keeps both ends of the pipe on which it asks whether a worker lives. A worker that ends in the moment it
is asked would be waited for as long as a slow one, while signals and the other workers wait, too.
"""

import sys

from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess


class Supervisor(Multiprocess):
    """Keeps the workers that its configuration asks for running."""

    def keep_subprocess_alive(self) -> None:
        """Replace those that have ended or don't answer; the worker of a failed start ends all."""
        for worker in self.processes:
            worker.child_conn.close()  # the worker has its own: now its end is the end of the pipe
        super().keep_subprocess_alive()

    def run(self) -> None:
        """Serve until told to stop; exit as one process does when a worker could not start."""
        super().run()
        if any(worker.exitcode == STARTUP_FAILURE for worker in self.processes):
            sys.exit(STARTUP_FAILURE)
