"""PyTorch's DistributedDataParallel over gloo; --compile: the model goes through torch.compile."""

import os
import tempfile

# Ranks that compile into one cache read each other's half-written files.
cache = f"{tempfile.gettempdir()}/torchinductor_rank{os.environ.get('RANK', '0')}"
os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", cache)

import torch  # noqa: E402
import torch.distributed as dist  # noqa: E402
from contestant import Contestant, adamw  # noqa: E402
from torch.nn.parallel import DistributedDataParallel  # noqa: E402

dist.init_process_group("gloo")
contestant = Contestant(compile={"action": "store_true"})
model = DistributedDataParallel(
    contestant.model(), gradient_as_bucket_view=True, static_graph=not contestant.options.compile
)
optimizer = adamw(model)
loss_of = torch.compile(model) if contestant.options.compile else model


def step():
    with contestant.autocast():
        loss = loss_of(contestant.tokens, contestant.targets)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0, foreach=True)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return loss.detach()


contestant.measure(step)
dist.destroy_process_group()
