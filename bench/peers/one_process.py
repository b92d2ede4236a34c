"""PyTorch in one process: eager, or through torch.compile."""

import torch

from contestant import Contestant, adamw

contestant = Contestant(compile={"action": "store_true"})
model = contestant.model()
optimizer = adamw(model)
loss_of = torch.compile(model, fullgraph=True) if contestant.options.compile else model


def step():
    with contestant.autocast():
        loss = loss_of(contestant.tokens, contestant.targets)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0, foreach=True)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return loss.detach()


contestant.measure(step)
