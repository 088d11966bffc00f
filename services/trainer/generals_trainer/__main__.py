"""`python -m generals_trainer`: settings → logging → metrics → health → loop.

Under torchrun each process is a rank of one job:

    torchrun --nproc-per-node=2 -m generals_trainer
"""

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
    sys.exit(main(TrainerSettings, make, name="trainer"))
