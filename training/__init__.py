"""What runs under `accelerate launch`: pre-training, fine-tuning and scoring."""
