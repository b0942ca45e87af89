"""The flags of finetune.py and score.py alike: which questions, and how documents are read."""

from dataclasses import dataclass, field

from training.corpora.options import ConcatArguments

DATASETS = "squad, squad_v2, sq3, xquad, xq3, mlqa, trivia_qa, terms, babi_far, sample, file or a Hub id."


@dataclass
class QuestionArguments(ConcatArguments):
    """Where questions come from, how documents become windows, and which answers are kept."""

    data_dir: str | None = field(
        default=None, metadata={"help": "Folder of the data set's official files; without it the Hub is asked."}
    )
    language: str | None = field(
        default=None, metadata={"help": "One, several with commas, or all; mlqa: de.en is German, asked in English."}
    )
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
    do_lowercase: bool = field(
        default=False, metadata={"help": "Lower-case question and document; it hurts models with a cased vocabulary."}
    )
