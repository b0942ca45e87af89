"""Teach a long model to give a whole document one vector that finds it.

    accelerate launch training/embed.py --model_name_or_path embedded-long --train_file_path wiki.train.raw \\
        --do_train --max_steps 500 --output_dir runs/embedder
    accelerate launch training/embed.py --model_name_or_path runs/embedder --objective pairs \\
        --train_file_path questions.json --do_train --output_dir runs/embedder-pairs

Needs no labels: the long model learns the mean of the vectors that its source gives the document's pieces, on documents
of every length. With questions at hand, `--objective pairs` is sentence-transformers' MultipleNegativesRankingLoss. The
result is a folder that `SentenceTransformer(folder)` loads.
"""

import logging
import sys

from foundation.cli import run
from training.embedding.arguments import EXAMPLE, EmbedArguments, defaults
from training.runs.arguments import make_parser, parse


def main() -> None:
    """Read the command line and train."""
    parser = make_parser(
        EmbedArguments,
        prog="accelerate launch training/embed.py",
        description=str(__doc__).split("\n")[0],
        example=EXAMPLE,
        defaults=defaults(sys.argv[1:]),
    )
    arguments, training_args = parse(parser, sys.argv[1:])
    logging.basicConfig(format="%(message)s", level=logging.INFO if training_args.should_log else logging.ERROR)
    from training.embedding.run import train

    for name, value in train(arguments, training_args).items():
        print(f"{name}  {value:.4f}")


if __name__ == "__main__":
    run(main)
