"""How well groups that were found without labels agree with the labels."""

from typing import NamedTuple

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from ganlib.metrics.inputs import whole_numbers
from ganlib.sizes import whole


class Matching(NamedTuple):
    """accuracy: the share of examples whose group is matched to their label, from 0 to 1.

    label_of: the label of each group, (groups,), no two the same.
    """

    accuracy: float
    label_of: Tensor


def best_matching(found: Tensor, labels: Tensor, groups: int) -> Matching:
    """The one-to-one matching of groups to labels under which most examples agree.

    Found by the Hungarian method (Kuhn, 1955), as Chen et al. (2016, section 7.2) match categories
    to digits. found, labels: whole numbers below `groups`, (examples,). Raises ValueError for
    none, other numbers, or two lengths.
    """
    groups = whole("groups", groups)
    found, labels = whole_numbers(found, "found"), whole_numbers(labels, "labels")
    if len(found) != len(labels):
        raise ValueError(f"{len(found)} found and {len(labels)} labels: expected as many")
    for values, name in ((found, "found"), (labels, "labels")):
        if int(values.min()) < 0 or int(values.max()) >= groups:
            raise ValueError(f"{name}: expected numbers from 0 to {groups - 1}")
    counts = torch.bincount(found * groups + labels, minlength=groups**2).view(groups, groups)
    rows, columns = linear_sum_assignment(counts.cpu().numpy(), maximize=True)
    agreeing = int(counts[rows, columns].sum())
    return Matching(agreeing / len(found), torch.as_tensor(columns))
