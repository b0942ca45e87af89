"""The flags of finetune.py and score.py alike: which questions, and how documents are read."""

from dataclasses import dataclass, field

from training.corpora.arguments import DataArguments


@dataclass
class QuestionArguments(DataArguments):
    """Where questions come from, how documents become windows, and which answers are kept."""

    max_length: int | None = field(
        default=None, metadata={"help": "Tokens of a window, question included; the model's length if not given."}
    )
    doc_stride: int = field(default=128, metadata={"help": "Document tokens that neighbouring windows share."})
    max_question_length: int = field(default=128, metadata={"help": "Longer questions are cut to this many tokens."})
    max_eval_samples: int | None = field(
        default=None, metadata={"help": "Answer this many questions, evenly spread (score.py: of each language)."}
    )
    n_best: int = field(default=20, metadata={"help": "Answers kept for each question."})
    max_answer_length: int = field(default=30, metadata={"help": "Longest answer, in tokens."})
    second_look: int | None = field(
        default=None,
        metadata={
            "help": "Read long documents twice: this many likely places again, side by side (0: read once; what the "
            "model was trained for if not given)."
        },
    )
    do_lowercase: bool = field(
        default=False, metadata={"help": "Lower-case question and document; it hurts models with a cased vocabulary."}
    )
