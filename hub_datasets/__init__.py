"""SQ3 and XQ3: SQuAD and XQuAD with consecutive paragraphs joined into long documents."""

from .loading import load_dataset

__all__ = ["load_dataset"]
