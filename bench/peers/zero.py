"""DeepSpeed's ZeRO over gloo, with its own fused CPU AdamW where that builds."""

import os

os.environ.setdefault("DS_ACCELERATOR", "cpu")

import deepspeed  # noqa: E402
import torch  # noqa: E402
from deepspeed.ops.adam import FusedAdam  # noqa: E402
from contestant import Contestant, adamw, groups  # noqa: E402

deepspeed.init_distributed(dist_backend="gloo")
contestant = Contestant(stage={"type": int, "default": 3})
model = contestant.model()
try:
    optimizer = FusedAdam(groups(model), lr=3e-4, adam_w_mode=True)
except Exception:  # no compiler for the operator
    optimizer = adamw(model)
engine, *_ = deepspeed.initialize(
    model=model,
    optimizer=optimizer,
    config={
        "train_micro_batch_size_per_gpu": contestant.size.sequences // contestant.ranks,
        "gradient_accumulation_steps": 1,
        "gradient_clipping": 1.0,
        "bf16": {"enabled": contestant.bf16},
        "zero_optimization": {"stage": contestant.options.stage, "overlap_comm": False},
        "steps_per_print": 1 << 30,
    },
)


def step():
    loss = engine(contestant.tokens, contestant.targets)
    engine.backward(loss)
    engine.step()
    return loss.detach()


contestant.measure(step)
torch.distributed.destroy_process_group()
