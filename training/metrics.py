"""Exact match and F1 as the official scripts compute them, to the last digit, and a language-aware score beside them.

    python -m training.metrics --metric squad --dataset_file dev-v1.1.json --predictions_file predictions.json
    python -m training.metrics --metric mlqa --lang de --dataset_file test-context-de-question-de.json \\
        --predictions_file predictions.json

prints one line of JSON with `exact_match` and `f1` in percent. Predictions are one JSON object, question id to answer.

| metric | follows | a question without a prediction |
|---|---|---|
| squad | SQuAD v1.1's evaluate-v1.1.py; XQuAD uses it for every language | counts 0 |
| squad_v2 | SQuAD 2.0's evaluate-v2.0.py, with its thresholds by `--na_prob_file` | counts 0 (the script stops) |
| mlqa | MLQA's mlqa_evaluation_v1.py, by the language of the answer | counts 0 |
| triviaqa | TriviaQA's triviaqa_evaluation.py, the highest score over all aliases | counts 0 |
| language_aware | ours, see `training.corpora.normalise.language_aware` | counts 0 |
"""

import json

from foundation.cli import UserError, command_parser, run
from training.scoring.gold import read_gold
from training.scoring.metrics import NORMALISERS, check_metric, read_by_id, read_predictions, score_questions


def main() -> None:
    parser = command_parser(
        description="Score predictions as the data set's official script does; prints one line of JSON.",
        example="python -m training.metrics --metric squad --dataset_file dev-v1.1.json "
        "--predictions_file predictions.json",
    )
    parser.add_argument("--metric", required=True, choices=list(NORMALISERS), help="whose rules")
    parser.add_argument("--lang", default="en", help="language of the answers, for mlqa and language_aware")
    parser.add_argument("--dataset_file", required=True, help="gold answers, in any file that score.py reads")
    parser.add_argument("--columns", default="", help="other names of its columns, THEIRS=OURS with commas")
    parser.add_argument("--predictions_file", required=True, help="JSON object: question id to answer text")
    parser.add_argument("--na_prob_file", help="squad_v2: JSON object, question id to probability of no answer")
    parser.add_argument("--na_prob_thresh", type=float, default=1.0, help="squad_v2: above it, no answer is taken")
    args = parser.parse_args()
    if args.na_prob_file and args.metric != "squad_v2":
        raise UserError(f"--na_prob_file belongs to --metric squad_v2, not to {args.metric!r}")
    na_probs = None
    if args.na_prob_file:
        na_probs = read_by_id(args.na_prob_file, "--na_prob_file", int | float, "probability of", "a number")
    check_metric(args.metric, args.lang)
    result = score_questions(
        args.metric,
        read_gold(args.dataset_file, args.lang, args.columns),
        read_predictions(args.predictions_file),
        args.lang,
        na_probs=na_probs,
        na_prob_thresh=args.na_prob_thresh,
    )
    print(json.dumps(result))


if __name__ == "__main__":
    run(main)
