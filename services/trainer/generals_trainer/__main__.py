"""`python -m generals_trainer`: settings → logging → metrics → health → loop."""

import sys

from generals_runtime.service import main
from generals_trainer.settings import TrainerSettings
from generals_trainer.trainer import Trainer

if __name__ == "__main__":
    sys.exit(main(TrainerSettings, Trainer, name="trainer"))
