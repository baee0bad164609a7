"""Jobs side by side in threads: what runs natively leaves the interpreter to the others."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")


class Together(Generic[T]):
    """Runs jobs in `workers` threads; `stopped` tells them that nobody waits for them any more.

    A job begins in the order in which it is listed; what it returns does not depend on when. All threads have ended
    when `run` returns or raises, also after Ctrl-C, once or more often, which is raised as soon as the jobs that had
    begun have noticed.
    """

    def __init__(self, jobs: Sequence[Callable[[], T]], workers: int) -> None:
        self._jobs = jobs
        self._next = iter(range(len(jobs)))
        self._lock = threading.Lock()
        self._ended: SimpleQueue[int | None] = SimpleQueue()  # numbers of jobs; None of a thread
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(min(workers, len(jobs)))]
        self._left: list[threading.Thread] = []  # those that have no more to do
        self._results: list[T | BaseException] = []
        self.stopped = threading.Event()

    def run(self, on_end: Callable[[int], object] | None = None) -> list[T | BaseException]:
        """What each job returned or raised, in their order. `on_end` is called, in this thread, with the number of each
        job that has ended."""
        self._results = [RuntimeError("the job did not begin")] * len(self._jobs)
        try:
            for thread in self._threads:
                thread.start()
            working = len(self._threads)
            while working:
                number = self._ended.get()
                if number is None:
                    working -= 1
                elif on_end is not None:
                    on_end(number)
        finally:
            self._end()
        for result in self._results:
            if isinstance(result, BaseException) and not isinstance(result, Exception):
                raise result
        return self._results

    def _end(self) -> None:
        """Stop the jobs, and wait until all threads have ended; Ctrl-C is raised then, however many there were."""
        interrupt: KeyboardInterrupt | None = None
        waiting = True
        while waiting:
            try:
                self.stopped.set()
                for thread in self._threads:
                    while thread.ident is not None and thread not in self._left:
                        time.sleep(0.01)  # a join that is interrupted may take a thread for ended that still runs
                    if thread.ident is not None:
                        thread.join()
                waiting = False
            except KeyboardInterrupt as error:
                interrupt = error
        if interrupt is not None:
            raise interrupt

    def _work(self) -> None:
        try:
            self._work_on()
        finally:
            self._left.append(threading.current_thread())
            self._ended.put(None)

    def _work_on(self) -> None:
        while not self.stopped.is_set():
            with self._lock:
                number = next(self._next, None)
            if number is None:
                break
            try:
                self._results[number] = self._jobs[number]()
            except BaseException as error:
                self._results[number] = error
                if not isinstance(error, Exception):
                    self.stopped.set()
            self._ended.put(number)
