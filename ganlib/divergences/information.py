"""Mutual information of a code and an observation, exactly, from the table of their joint."""

import torch
from torch import Tensor

from ganlib.divergences.tables import as_float64, kullback_leibler


def mutual_information(joint: Tensor) -> Tensor:
    """I(c; x) in nats: the KL divergence from p(c) p(x) to p(c, x).

    joint: p(c, x), (..., codes, observations), each table with the sum 1; one number for each.
    Raises ValueError for another sum or negative entries.
    """
    p = _table(joint)
    product = p.sum(-1, keepdim=True) * p.sum(-2, keepdim=True)
    return kullback_leibler(p.flatten(-2), product.flatten(-2))


def information_bound(joint: Tensor, posterior: Tensor) -> Tensor:
    """L_I = H(c) + E log Q(c | x) in nats, at most I(c; x) (Chen et al., 2016, equation 4).

    posterior: Q(c | x), of the joint's shape, the sum of each column 1. Where Q is 0 and the joint
    is not, the bound is -inf. Errors as for `mutual_information`.
    """
    p, q = _table(joint), as_float64(posterior, "posterior")
    if q.shape != p.shape or not bool((q >= 0).all()) or not _is_one(q.sum(-2)):
        raise ValueError(
            f"posterior of shape {tuple(q.shape)}: expected {tuple(p.shape)}, with entries of 0 or "
            "more and the sum 1 in every column"
        )
    code = p.sum(-1)
    return torch.xlogy(p, q).sum((-2, -1)) - torch.xlogy(code, code).sum(-1)


def _table(joint: Tensor) -> Tensor:
    p = as_float64(joint, "joint")
    if p.ndim < 2 or not bool((p >= 0).all()) or not _is_one(p.sum((-2, -1))):
        raise ValueError(
            f"joint of shape {tuple(p.shape)}: expected (..., codes, observations), with entries "
            "of 0 or more and the sum 1 in every table"
        )
    return p


def _is_one(sums: Tensor) -> bool:
    return bool(((sums - 1).abs() < 1e-6).all())
