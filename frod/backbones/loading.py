"""Loading a materialised backbone with a fresh head, and the few questions that differ between libraries.

transformers and timm are imported where they are used: each takes seconds, and no model needs both.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from frod.backbones.causal import check_causal, configuration
from frod.backbones.model_head import belongs_to_head, head_modules, initialise
from frod.backbones.registry import Architecture
from frod.config.schema import validate
from frod.files import verify
from frod.provenance import artefacts

if TYPE_CHECKING:
    import torch

SOURCE = "source.json"


def load(
    directory: Path,
    *,
    num_classes: int | None,
    problem: Literal["classification", "regression"] = "classification",
    seed: int,
    dtype: torch.dtype | None = None,
) -> torch.nn.Module:
    """Load a backbone with a freshly initialised head, or with a language model's own, in evaluation mode.

    Parameters
    ----------
    directory : Path
        data/models/BACKBONE, as `materialise` wrote it.
    num_classes : int or None
        Outputs of the head; 1 for a regression. None: the head that a causal language model was pretrained with, which
        scores each next token; it is drawn from no seed, and `head_modules` does not count it as one.
    seed : int
        Of the head's weights: normal with standard deviation 0.02, biases zero. Torch's global generator is neither
        read nor moved.
    dtype : torch.dtype, optional
        float32 (default), bfloat16 or float16, of all parameters.

    Raises
    ------
    ValueError
        The folder is no backbone, a file is not the one it was made with, a weight outside the head is missing, or an
        argument is out of range.
    """
    import torch

    dtype = torch.float32 if dtype is None else dtype
    if dtype not in (torch.float32, torch.bfloat16, torch.float16):
        raise ValueError(f"dtype is {dtype}; it should be torch.float32, torch.bfloat16 or torch.float16")
    if problem not in ("classification", "regression"):
        raise ValueError(f"problem is {problem!r}; it should be 'classification' or 'regression'")
    if problem == "regression" and num_classes != 1:
        raise ValueError(f"num_classes is {num_classes}; a regression has 1 output")
    if problem == "classification" and num_classes is not None and num_classes < 2:
        raise ValueError(f"num_classes is {num_classes}; a classification has at least 2")
    source = describe(directory)
    verify(directory, source["files"], by=SOURCE, remedy=_remedy(directory))
    if num_classes is None:
        check_causal(source["name"], configuration(directory, source["library"]))
    with torch.random.fork_rng(devices=[]):  # the libraries draw a first head, which is overwritten
        if source["library"] == "timm":
            model = _load_timm(directory, num_classes or 0).to(dtype)
        else:
            model = _load_transformers(directory, source, num_classes, problem, dtype)
    initialise(model, seed)
    return model.eval()


def skeleton(directory: Path, *, causal: bool = False) -> torch.nn.Module:
    """Build a backbone as `load` does, but on the meta device: names and shapes without numbers.

    `causal`: with the head of a causal language model, as of `load(num_classes=None)`.

    What reads the weights one at a time (`frod.extract_basis` with the folder as `checkpoint`) needs no more of a model
    that would fill the memory. The files are held against source.json as in `load`.
    """
    source = describe(directory)
    verify(directory, source["files"], by=SOURCE, remedy=_remedy(directory))
    return empty(directory, source["library"], "causal" if causal else source["inputs"]["kind"])


def empty(directory: Path, library: str, kind: str) -> torch.nn.Module:
    """Build the model that a folder's config.json describes, with a head, on the meta device.

    `library` is "transformers" or "timm", `kind` "images", "text", or "causal": text, with a language model's own head.
    ValueError where transformers does not know the model, or has none of this kind for it.
    """
    import torch

    with torch.device("meta"):
        if library == "timm":
            return create_timm(directory, num_classes=2)
        from transformers import AutoConfig

        try:
            config = AutoConfig.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
            return library_class(kind).from_config(config, dtype=torch.float32)
        except ValueError as error:
            reason = artefacts.first_line(error)[:200]
            raise ValueError(f"{directory}: transformers has no classifier of {kind} for it ({reason})") from error


def tokens(model: torch.nn.Module, inputs: dict[str, Any]) -> int:
    """Return how many tokens an example has: of a text the most it may have, of an image its patches and the rest.

    The model is on the meta device; an image of zeros is sent through it. `inputs` are those of `input_facts`. A model
    that norms no tokens, such as a convolutional one, has 1.
    """
    if inputs["kind"] == "text":
        return inputs["max_length"]
    for module, shape in _called(model, inputs):
        named = type(module).__name__
        # timm's Swin norms tokens in rows and columns; what norms four dimensions else has the channels second.
        if ("Norm" in named and len(shape) == 3) or (named == "LayerNorm" and len(shape) == 4):
            return math.prod(shape[1:-1])
    return 1


def _called(model: torch.nn.Module, inputs: dict[str, Any]) -> list[tuple[torch.nn.Module, torch.Size]]:
    """Send an image of zeros through a model on the meta device; return each module called, and its input's shape."""
    import torch

    called: list[tuple[torch.nn.Module, torch.Size]] = []

    def note(module: torch.nn.Module, args: tuple[Any, ...]) -> None:
        if args and isinstance(args[0], torch.Tensor):
            called.append((module, args[0].shape))

    hooks = [module.register_forward_pre_hook(note) for module in model.modules()]
    try:
        with torch.no_grad():
            model(torch.zeros(1, inputs["channels"], *inputs["size"], device="meta"))
    finally:
        for hook in hooks:
            hook.remove()
    return called


def positions(model: torch.nn.Module) -> int | None:
    """Return how many tokens of a text a model of transformers has positions for; None where it says no limit.

    RoBERTa and its kin number positions from behind the padding token: of 514 they use 512. DeBERTa's are distances.
    """
    import torch

    config: Any = model.config
    most = getattr(config, "max_position_embeddings", None)
    if not isinstance(most, int) or most < 1 or not getattr(config, "position_biased_input", True):
        return None
    tables = [one for name, one in model.named_modules() if "position" in name and isinstance(one, torch.nn.Embedding)]
    return most - max((one.padding_idx + 1 for one in tables if one.padding_idx is not None), default=0)


def refusal(model: torch.nn.Module, inputs: dict[str, Any]) -> str | None:
    """Why a model on the meta device does not take images of this size; None where it does.

    In the library's words, or because pixels at the edge would be in no patch, which the libraries do not mind.
    """
    import torch

    if inputs["kind"] == "text":
        return None
    try:
        called = _called(model, inputs)
    except (ValueError, RuntimeError, AssertionError) as error:
        return artefacts.first_line(error)
    for module, shape in called:
        if isinstance(module, torch.nn.Conv2d):  # the first: it sees the image, or what the model has made of it
            patch = module.stride[0]
            if module.kernel_size == module.stride and any(edge % patch for edge in shape[-2:]):
                return f"its patches are of {patch} pixels; take a multiple"
            break
    return None


def logits(model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return the head's outputs for a batch of a prepared task; labels are ignored.

    Of shape (B, num_classes); of a causal language model (B, T, vocabulary), at each token the scores of the next.
    """
    if "pixel_values" in batch:
        out = model(batch["pixel_values"])
    else:
        out = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
    return out.logits if hasattr(out, "logits") else out


def input_facts(directory: Path) -> dict[str, Any]:
    """Return how the backbone takes its inputs, for the preparation of a task.

    Returns
    -------
    dict
        kind "images": size (height, width), channels, resize (shorter edge before the central crop, or None),
        interpolation, mean, std. kind "text": max_length, pad_token_id.
    """
    return describe(directory)["inputs"]


def tokenizer(directory: Path) -> Any:
    """Return the backbone's tokenizer, or None where it takes images."""
    if input_facts(directory)["kind"] == "images":
        return None
    from transformers import AutoTokenizer

    small = {name: digest for name, digest in describe(directory)["files"].items() if not name.endswith(".safetensors")}
    verify(directory, small, by=SOURCE, remedy=_remedy(directory))
    return AutoTokenizer.from_pretrained(directory, local_files_only=True, trust_remote_code=False)


def describe(directory: Path) -> dict[str, Any]:
    """Return source.json; ValueError where the folder has none, or one that was changed."""
    path = Path(directory) / SOURCE
    if not path.is_file():
        raise ValueError(f"{directory} is not a backbone, it has no {SOURCE}; make it with `frod backbone`")
    return artefacts.read_manifest(path, remedy=_remedy(directory))


def _remedy(directory: Path) -> str:
    return f"delete the folder {directory} and run again, which makes the backbone again"


def _load_timm(directory: Path, num_classes: int) -> torch.nn.Module:
    from safetensors.torch import load_file

    model = create_timm(directory, num_classes)
    head = head_modules(model)
    weights = load_file(directory / "model.safetensors")
    own = {name: weight for name, weight in weights.items() if not belongs_to_head(name, head)}
    missing, unexpected = model.load_state_dict(own, strict=False)
    _check_weights(directory, missing, head)
    if unexpected:
        raise ValueError(f"{directory}: model.safetensors has {unexpected[0]}, the architecture has no such weight")
    return model


def create_timm(directory: Path, num_classes: int) -> torch.nn.Module:
    """Build the model that timm's config.json names, its weights drawn again."""
    import timm

    config = json.loads((directory / "config.json").read_text("utf-8"))
    if not isinstance(config, dict) or "architecture" not in config:
        raise ValueError(f"{directory}/config.json: architecture: is missing; timm's save_for_hf writes it")
    said = {"name": config["architecture"], "arguments": config.get("model_args", {})}
    known = validate(Architecture, said, f"{directory}/config.json")
    return timm.create_model(known.name, pretrained=False, num_classes=num_classes, **known.arguments)


def library_class(kind: str) -> Any:
    """Return transformers' class of classifiers of images or of text, or of causal language models."""
    import transformers

    named = {"images": "ImageClassification", "text": "SequenceClassification", "causal": "CausalLM"}
    return getattr(transformers, f"AutoModelFor{named[kind]}")


def _load_transformers(
    directory: Path, source: dict[str, Any], num_classes: int | None, problem: str, dtype: torch.dtype
) -> torch.nn.Module:
    """Load in the dtype at once: `to` would also cast the buffers, and Llama's rotary frequencies want float32."""
    kind = "causal" if num_classes is None else source["inputs"]["kind"]
    of_head: dict[str, Any] = {}
    if num_classes is not None:
        named = "regression" if problem == "regression" else "single_label_classification"
        of_head = {"num_labels": num_classes, "problem_type": named}
    with quiet():
        model, report = library_class(kind).from_pretrained(
            directory,
            **of_head,
            dtype=dtype,
            ignore_mismatched_sizes=True,  # a head of another number of classes; anything else is refused below
            output_loading_info=True,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
        )
    lost = [*report["missing_keys"], *(name for name, *_ in report["mismatched_keys"])]
    _check_weights(directory, lost, head_modules(model))
    if source["inputs"]["kind"] == "text":
        # Without it Llama's classifier cannot tell the last word from padding and refuses batches of more than one.
        model.config.pad_token_id = source["inputs"]["pad_token_id"]
    if hasattr(model.config, "use_cache"):
        model.config.use_cache = False  # keys and values of past tokens serve generation alone, which asks for them
    return model


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers from announcing the missing head and from bars of progress: what is missing is checked here."""
    from transformers.utils import logging

    verbosity, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bar:
            logging.enable_progress_bar()


def _check_weights(directory: Path, missing: list[str], head: list[str]) -> None:
    lost = [name for name in missing if not belongs_to_head(name, head)]
    if lost:
        raise ValueError(
            f"{directory}: {len(lost)} weights outside the head are missing or misshapen, such as {lost[0]}"
        )
