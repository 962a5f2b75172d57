"""Every model that the book trains, by name, at each preset.

Notebooks and `python -m ganlib` build the same recipe, so what a chapter trains in front of its
reader and what a GPU trains for hours differ in size alone. The chains that the book ships have a
second, smaller `paper` size for a machine without a GPU.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from torch import Tensor, nn

from ganlib import checkpoints
from ganlib.chains import Chain, GatedPixelCNN, LMConv, MaximumLikelihood, PixelCNN, orders
from ganlib.checkpoints import CheckpointError
from ganlib.datasets import (
    Minibatches,
    binarized_mnist,
    data_folder,
    emoji,
    mnist,
    to_signed_unit,
)
from ganlib.games.classification import Classification
from ganlib.games.minimax import NonSaturating
from ganlib.nets import DCGANDiscriminator, DCGANGenerator, DigitClassifier
from ganlib.play import Recipe, adam, cosine
from ganlib.runtime import Choice, Run


def minimax_mnist(run: Run) -> Recipe:
    """A DCGAN pair on MNIST with the non-saturating loss and one-sided label smoothing at 0.9."""
    width = run.pick(smoke=8, book=32, paper=64)
    size = run.pick(smoke=32, book=64, paper=_paper(run, gpu=128, cpu=64))
    rate = run.pick(smoke=2e-3, book=2e-3, paper=_paper(run, gpu=2e-4, cpu=4e-4))
    noise_size = 64
    generator = DCGANGenerator(noise_size, width=width)
    discriminator = DCGANDiscriminator(width=width)
    game = NonSaturating(generator, discriminator, noise_size, real_label=0.9)
    run.place(game)
    images, _ = mnist("train")
    return Recipe(
        name="minimax-mnist",
        game=game,
        stream=_stream(run, images, size=size, prepare=to_signed_unit),
        optimisers={
            "discriminator": adam(discriminator, rate),
            "generator": adam(generator, rate),
        },
        rounds=run.pick(smoke=60, book=4500, paper=_paper(run, gpu=40_000, cpu=20_000)),
        averages={"generator": run.pick(smoke=0.9, book=0.995, paper=0.999)},
        schedule=cosine,
    )


def pixelcnn_binary(run: Run) -> Recipe:
    """A PixelCNN on binarized MNIST."""
    chain = PixelCNN(
        width=run.pick(smoke=12, book=64, paper=_paper(run, gpu=128, cpu=64)),
        depth=run.pick(smoke=3, book=10, paper=_paper(run, gpu=16, cpu=10)),
    )
    rounds = run.pick(smoke=250, book=500, paper=_paper(run, gpu=60_000, cpu=9_000))
    return _likelihood("pixelcnn-binary", run, chain, binarized_mnist(), rounds)


def pixelcnn_256(run: Run) -> Recipe:
    """A gated PixelCNN on MNIST at all of its 256 levels."""
    chain = GatedPixelCNN(
        levels=256,
        width=run.pick(smoke=8, book=24, paper=_paper(run, gpu=80, cpu=32)),
        depth=run.pick(smoke=2, book=5, paper=_paper(run, gpu=8, cpu=6)),
    )
    rounds = run.pick(smoke=20, book=300, paper=_paper(run, gpu=60_000, cpu=6_000))
    return _likelihood("pixelcnn-256", run, chain, mnist("train")[0], rounds)


def pixelcnn_emoji(run: Run) -> Recipe:
    """A gated PixelCNN on emoji: R, G and B of every pixel in turn, at 16 levels each."""
    chain = GatedPixelCNN(
        channels=3,
        levels=16,
        width=run.pick(smoke=6, book=30, paper=90),
        depth=run.pick(smoke=1, book=4, paper=8),
    )
    images = emoji("noto", "train") // 16
    rounds = run.pick(smoke=10, book=400, paper=20_000)
    return _likelihood("pixelcnn-emoji", run, chain, images, rounds)


def lmconv_binary(run: Run) -> Recipe:
    """Locally masked convolutions on binarized MNIST, over the eight S-curve orders."""
    chain = LMConv(
        width=run.pick(smoke=12, book=64, paper=_paper(run, gpu=128, cpu=64)),
        depth=run.pick(smoke=2, book=10, paper=_paper(run, gpu=16, cpu=10)),
        # Wide enough to see across half an image, which completions need.
        dilations=(1, 2, 4),
    )
    rounds = run.pick(smoke=250, book=350, paper=_paper(run, gpu=120_000, cpu=10_000))
    curves = orders.reflections(orders.s_curve, 28, 28)
    return _likelihood("lmconv-binary", run, chain, binarized_mnist(), rounds, curves)


def digits(run: Run) -> Recipe:
    """The classifier of MNIST whose features judge the generators of digits."""
    classifier = DigitClassifier(width=run.pick(smoke=8, book=32, paper=32))
    size = run.pick(smoke=64, book=128, paper=128)
    game = Classification(classifier)
    run.place(game)
    images, labels = mnist("train")
    return Recipe(
        name="digits",
        game=game,
        stream=_stream(run, images, labels, size=size, prepare=to_signed_unit),
        optimisers={"classifier": adam(classifier, 2e-3, betas=(0.9, 0.999))},
        rounds=run.pick(smoke=100, book=600, paper=8000),
        averages={"classifier": run.pick(smoke=0.9, book=0.98, paper=0.998)},
        schedule=cosine,
    )


def _paper(run: Run, *, gpu: Choice, cpu: Choice) -> Choice:
    """The `paper` preset's size on a GPU, and one that a single core trains in about an hour."""
    return gpu if run.device.type == "cuda" else cpu


def _stream(
    run: Run, *tensors: Tensor, size: int, prepare: Callable[[Tensor], Tensor] | None = None
) -> Minibatches:
    """Minibatches in the order of the run's seed, on its device, shared by its processes."""
    return Minibatches(
        *tensors,
        size=size,
        seed=run.seed,
        device=run.device,
        prepare=prepare,
        rank=run.rank,
        world=run.world,
    )


def _likelihood(
    name: str,
    run: Run,
    chain: Chain,
    images: Tensor,
    rounds: int,
    generation_orders: Sequence[Tensor] | None = None,
) -> Recipe:
    """Maximum likelihood with Adam, a cosine schedule and an average of the weights."""
    size = run.pick(smoke=16, book=32, paper=_paper(run, gpu=128, cpu=32))
    game = MaximumLikelihood(chain, generation_orders)
    run.place(game)
    return Recipe(
        name=name,
        game=game,
        stream=_stream(run, images, size=size),
        optimisers={"chain": adam(chain, 2e-3, betas=(0.9, 0.999))},
        rounds=rounds,
        averages={"chain": run.pick(smoke=0.9, book=0.99, paper=0.999)},
        schedule=cosine,
    )


RECIPES: dict[str, Callable[[Run], Recipe]] = {
    "minimax-mnist": minimax_mnist,
    "pixelcnn-binary": pixelcnn_binary,
    "pixelcnn-256": pixelcnn_256,
    "pixelcnn-emoji": pixelcnn_emoji,
    "lmconv-binary": lmconv_binary,
    "digits": digits,
}
NETWORKS: dict[str, type[nn.Module]] = {
    network.__name__: network
    for network in (PixelCNN, GatedPixelCNN, LMConv, DCGANGenerator, DigitClassifier)
}


def build(name: str, run: Run) -> Recipe:
    """The recipe of that name for this run; ValueError that lists the names for any other."""
    if name not in RECIPES:
        raise ValueError(f"recipe {name!r} is not known: choose one of {', '.join(RECIPES)}")
    return RECIPES[name](run)


def checkpoint_path(recipe: Recipe, run: Run) -> Path:
    """Where a run of this recipe keeps its state: `runs/`, beside the book's `data/`."""
    return data_folder().parent / "runs" / f"{recipe.name}-{run.preset}-{run.seed}.safetensors"


def trained_network(name: str, player: str) -> tuple[nn.Module, dict[str, object]]:
    """A player of the recipe of that name as the book ships it, and how it was made.

    Its class and sizes are in the file, so it is the same network whatever the recipe has become.
    Returns it in eval mode on the CPU, with its provenance. Raises CheckpointError for a file that
    is missing, damaged or of another model.
    """
    path = data_folder() / "checkpoints" / f"{name}-paper-{player}.safetensors"
    _, facts = checkpoints.read(path)
    network = facts.get("provenance", {}).get("network", {})
    if network.get("class") not in NETWORKS:
        raise CheckpointError(
            f"{path} does not say how to build its network: its class is "
            f"{network.get('class')!r}, expected one of {', '.join(NETWORKS)}"
        )
    try:
        built = NETWORKS[network["class"]](**network["settings"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path} does not say how to build its {network['class']}: expected all of its "
            f"settings ({error})"
        ) from None
    provenance = checkpoints.restore(path, built)
    return built.eval().requires_grad_(False), provenance


def shipped(player: str) -> list[str]:
    """The recipes of which the book ships this trained player, by name, in alphabetical order."""
    ending = f"-paper-{player}"
    paths = (data_folder() / "checkpoints").glob(f"*{ending}.safetensors")
    return sorted(path.stem.removesuffix(ending) for path in paths)


def trained_chain(name: str) -> tuple[Chain, dict[str, object]]:
    """The chain that the book ships, trained by the recipe of that name, and how it was made.

    As `trained_network`; CheckpointError too for a file that holds another kind of network.
    """
    chain, provenance = trained_network(name, "chain")
    if not isinstance(chain, Chain):
        raise CheckpointError(f"{name}-paper-chain holds a {type(chain).__name__}, not a chain")
    return chain, provenance
