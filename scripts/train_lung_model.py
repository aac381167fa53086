"""Weights like the shipped ones, with one command; days on two cores, and it may be stopped.

    python scripts/train_lung_model.py --data ../shared/data

Makes the training cases, then trains the base, the final stage and the folds, each from its last
checkpoint in checkpoints/lungs/, and exports them all. The first 6,000 steps of the shipped base
were taken by an earlier state of the training (models/*/CARD.md), which this does not repeat.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from benchmark_main_job import REPOSITORY, data_folder

SCRIPTS = REPOSITORY / "scripts"
BASE_STEPS, BASE_RATE = 32_000, 1.2e-3
STAGE_STEPS = 1_500
STAGES = ("final", "fold0", "fold1", "fold2")


def commands(base_steps: int, stage_steps: int, threads: int) -> list[list[str]]:
    """Every step of the recipe as arguments of Python, in order."""
    train = [str(SCRIPTS / "train_lungs.py")]
    more = ["--threads", str(threads)]
    base = [*train, "base", "--steps", str(base_steps), "--rate", str(BASE_RATE), *more]
    stages = [[*train, stage, "--steps", str(stage_steps), *more] for stage in STAGES]
    return [[str(SCRIPTS / "train_lungs_data.py")], base, *stages, [*train, "export"]]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=data_folder(), help="folder of the T scans")
    parser.add_argument("--base-steps", type=int, default=BASE_STEPS)
    parser.add_argument("--stage-steps", type=int, default=STAGE_STEPS)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    chosen = parser.parse_args()
    environment = {**os.environ, "CTLUNG_TEST_DATA": str(chosen.data.resolve())}
    for command in commands(chosen.base_steps, chosen.stage_steps, chosen.threads):
        print(" ".join(["python", *command]), file=sys.stderr, flush=True)
        subprocess.run([sys.executable, *command], env=environment, check=True)


if __name__ == "__main__":
    main()
