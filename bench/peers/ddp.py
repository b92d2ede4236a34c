"""PyTorch's DistributedDataParallel over gloo; --compile: the model goes through torch.compile."""

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from gpt2 import Contestant, adamw

dist.init_process_group("gloo")
contestant = Contestant(compile={"action": "store_true"})
model = DistributedDataParallel(
    contestant.model(), gradient_as_bucket_view=True, static_graph=not contestant.options.compile
)
optimizer = adamw(model)
loss_of = torch.compile(model) if contestant.options.compile else model


def step():
    loss = loss_of(contestant.tokens, contestant.targets)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0, foreach=True)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return loss.detach()


contestant.measure(step)
dist.destroy_process_group()
