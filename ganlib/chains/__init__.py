"""Autoregressive models of images: orders, masks, networks, likelihoods, and fast sampling."""

from ganlib.chains import masks, orders
from ganlib.chains.coding import decode, encode
from ganlib.chains.fitting import MaximumLikelihood
from ganlib.chains.influence import blind_spot, influence, receptive_field
from ganlib.chains.likelihood import (
    bits_per_dimension,
    ensemble_log_likelihood,
    log_likelihood,
    members_log_likelihood,
    pixel_log_likelihoods,
)
from ganlib.chains.models import Chain, GatedPixelCNN, LMConv, PixelCNN
from ganlib.chains.sampling import sample

__all__ = [
    "Chain",
    "GatedPixelCNN",
    "LMConv",
    "MaximumLikelihood",
    "PixelCNN",
    "bits_per_dimension",
    "blind_spot",
    "decode",
    "encode",
    "ensemble_log_likelihood",
    "influence",
    "log_likelihood",
    "masks",
    "members_log_likelihood",
    "orders",
    "pixel_log_likelihoods",
    "receptive_field",
    "sample",
]
