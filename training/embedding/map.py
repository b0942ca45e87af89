"""A linear map after a frozen model: one square matrix, the identity at first, that turns what the model has into what
finds a document.

The model stays as it is, so it reads each text once, when a batch first asks for it. From then on a step costs the
matrix alone. The map is sentence-transformers' own `Dense`: a saved model has one folder more, and loads as before.
"""

from collections.abc import Sequence
from typing import Any

import torch

from .model import library


def add_map(model: Any) -> int:
    """Put the map behind the last module that is no normalisation, unless one is there; its place."""
    parts = library("sentence_transformers.sentence_transformer.modules")
    end = len(model) - isinstance(model[-1], parts.Normalize)
    if _is_map(model[end - 1]):  # a second training goes on with it
        return end - 1
    size = model.get_embedding_dimension()
    dense = parts.Dense(size, size, bias=False, activation_function=None, init_weight=torch.eye(size))
    model.insert(end, dense.to(model.device))
    return end


def _is_map(module: Any) -> bool:
    return (
        type(module).__name__ == "Dense"
        and module.in_features == module.out_features
        and module.linear.bias is None
        and isinstance(module.activation_function, torch.nn.Identity)
    )


def from_map_on(model: Any, place: int, batch_size: int) -> Any:
    """The same modules from the map on, as a model that reads texts by those before it, each text once."""
    st = library()
    before = st.SentenceTransformer(modules=list(model)[:place], device=str(model.device))
    kept: dict[tuple[str | None, str], torch.Tensor] = {}

    class ReadOnce(torch.nn.Module):
        """Texts become vectors while a batch is made; nothing is left to do in the forward pass."""

        modalities = ("text",)

        def preprocess(self, inputs: Sequence[str], prompt: str | None = None, **unused: Any) -> dict[str, Any]:
            new = list(dict.fromkeys(text for text in inputs if (prompt, text) not in kept))
            if new:
                vectors = before.encode(new, prompt=prompt, batch_size=batch_size, convert_to_tensor=True)
                kept.update({(prompt, text): vector.cpu() for text, vector in zip(new, vectors, strict=True)})
            return {"sentence_embedding": torch.stack([kept[prompt, text] for text in inputs])}

        def forward(self, features: dict[str, Any]) -> dict[str, Any]:
            return features

    card = st.SentenceTransformerModelCardData(local_files_only=True)
    rest = st.SentenceTransformer(
        modules=[ReadOnce(), *list(model)[place:]], device=str(model.device), model_card_data=card
    )
    rest.save_pretrained = model.save_pretrained  # the whole is saved
    return rest
