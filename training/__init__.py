"""What runs under `accelerate launch`: pre-training, fine-tuning, scoring, and embeddings.

Every file at the top is a command, and nothing imports it: `pretrain`, `finetune`, `score`, `grid`, `metrics`,
`data_report`, `compare`, `length_report`, `average_adapters`, `pack_adapter`, `embed`. The rooms behind them, from the
ground up, each of which imports only those before it: `runs`, `corpora`, `qa`, `scoring`, `finetuning`, `pretraining`,
`embedding`, `grids`.
"""
