"""The Gradio Space that answers questions about long documents."""
