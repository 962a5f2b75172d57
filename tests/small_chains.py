"""Small chains that were never trained, and the orders that tests ask of them by name."""

import torch

from ganlib.chains import GatedPixelCNN, LMConv, PixelCNN, orders

CLASSES = 3


def named_order(name, height, width):
    """A curve, one of its reflections as in "s_curve 3", or a permutation as in "random 7"."""
    curve, _, number = name.partition(" ")
    if curve == "random":
        shuffled = torch.randperm(height * width, generator=generator(int(number)))
        return orders.raster(height, width)[shuffled]
    return orders.reflections(getattr(orders, curve), height, width)[int(number or 0)]


def generator(seed):
    return torch.Generator().manual_seed(seed)


def make(name, channels=1, levels=2, seed=0, sharpness=10, **options):
    """A small chain that was never trained, yet whose probabilities are far from uniform."""
    options = {"width": 6 * (2 if channels > 1 else 1), "depth": 3, "first_kernel": 3, **options}
    if name == "gated with classes":
        options["classes"] = CLASSES
    kind = {"plain": PixelCNN, "local": LMConv}.get(name, GatedPixelCNN)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        chain = kind(channels, levels, **options)
    with torch.no_grad():
        chain.head[-1].weight *= sharpness
    return chain


def labels_for(chain, count):
    return None if chain.classes is None else torch.arange(count) % chain.classes
