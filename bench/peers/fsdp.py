"""PyTorch's FSDP2 (fully_shard) over gloo, parameters sharded per block: the peer of Zero<3>."""

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

from contestant import Contestant, adamw

dist.init_process_group("gloo")
contestant = Contestant()
mesh = init_device_mesh("cpu", (contestant.ranks,))
model = contestant.model()
types = MixedPrecisionPolicy()
if contestant.bf16:
    types = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
for block in model.blocks:
    fully_shard(block, mesh=mesh, mp_policy=types)
fully_shard(model, mesh=mesh, mp_policy=types)
optimizer = adamw(model)


def step():
    loss = model(contestant.tokens, contestant.targets)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0, foreach=True)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return loss.detach()


contestant.measure(step)
dist.destroy_process_group()
