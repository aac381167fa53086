"""Work for the executor's processes that ends otherwise than it should; found by its name there."""

from __future__ import annotations

import os
import signal
import time

from ctlung.trial.jobs import Job, Outcome, keep


def by_name(job: Job) -> Outcome:
    """What the patient's name says: die, hoard, linger, or be done."""
    what = job.row.patient
    if what.startswith("die"):
        time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGKILL)
    if what.startswith("hoard"):
        try:
            bytearray(10**15)
        except MemoryError:
            return Outcome(job.name, job.fingerprint, "failed", "out_of_memory", "too much")
    if what.startswith("linger"):
        time.sleep(0.5)
    outcome = Outcome(job.name, job.fingerprint, "done")
    keep(job, outcome)
    return outcome
