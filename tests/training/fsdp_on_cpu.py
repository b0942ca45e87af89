"""Run a script under FSDP on a CPU: `accelerate launch --config_file fsdp.yaml fsdp_on_cpu.py SCRIPT ...`.

accelerate shards on accelerators only and silently falls back to DDP on a CPU, though torch's FSDP2 works there. For a
test of the real path it is told that the processes are those of GPUs; it says at the end how many parameters were
really sharded.
"""

import runpy
import sys

from accelerate import state
from torch.distributed.tensor import DTensor
from transformers import Trainer

initialise = state.PartialState.__init__
train = Trainer.train


def as_if_on_gpus(self, *args, **kwargs):
    first = not self._shared_state
    initialise(self, *args, **kwargs)
    if first:
        self.distributed_type = state.DistributedType.MULTI_GPU


def train_and_tell(self, *args, **kwargs):
    output = train(self, *args, **kwargs)
    print("sharded parameters:", sum(isinstance(p, DTensor) for p in self.model.parameters()), file=sys.stderr)
    return output


state.PartialState.__init__ = as_if_on_gpus
Trainer.train = train_and_tell
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
