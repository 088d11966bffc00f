"""`python -m generals_trainer`: settings → logging → metrics → health → loop.

Under torchrun each process is a rank of one job:

    torchrun --nproc-per-node=2 -m generals_trainer
"""

import logging
import os
import sys

from generals_runtime.service import main
from generals_trainer.ranks import under_torchrun
from generals_trainer.settings import TrainerSettings
from generals_trainer.trainer import Trainer


def make(settings: TrainerSettings) -> Trainer:
    if not under_torchrun():
        return Trainer(settings)
    from generals_trainer.distributed import DistributedTrainer

    return DistributedTrainer(settings)


if __name__ == "__main__":
    code = main(TrainerSettings, make, name="trainer")
    if under_torchrun():
        # gloo's threads may outlive the objects they work for when the interpreter goes, which aborts the process.
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
