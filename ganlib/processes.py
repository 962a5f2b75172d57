"""What the processes of one run say to one another; a run of one process has nobody to ask."""

import torch
import torch.distributed as distributed
from torch import Tensor

from ganlib.runtime import Run


class OtherProcessError(RuntimeError):
    """Another process of this run has failed."""


def agree(run: Run, error: Exception | None) -> None:
    """Wait for all processes; if one has an error, raise in each: its own, or one that names it."""
    if run.world > 1:
        failed = torch.zeros(run.world, device=run.device)
        failed[run.rank] = error is not None
        distributed.all_reduce(failed)
        if error is None and failed.any():
            ranks = ", ".join(str(rank) for rank in failed.nonzero().flatten().tolist())
            raise OtherProcessError(f"process {ranks} of this run has failed: see its own error")
    if error is not None:
        raise error


def first_says(run: Run, answer: bool) -> bool:
    """The first process's answer, on every process."""
    if run.world == 1:
        return answer
    said = torch.tensor([float(answer)], device=run.device)
    distributed.broadcast(said, 0)
    return bool(said.item())


def gathered(run: Run, row: Tensor) -> Tensor:
    """A tensor of the same shape from each process, stacked: (processes, ...), on the CPU."""
    if run.world == 1:
        return row[None].cpu()
    rows = [torch.empty_like(row, device=run.device) for _ in range(run.world)]
    distributed.all_gather(rows, row.to(run.device))
    return torch.stack(rows).cpu()


def share_weights(run: Run, tensors: list[Tensor]) -> None:
    """Give every process the first one's tensors."""
    if run.world > 1:
        for tensor in tensors:
            distributed.broadcast(tensor, 0)
