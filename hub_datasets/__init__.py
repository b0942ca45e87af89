"""What is published as dataset repositories: SQ3 and XQ3 as loading scripts, and the call that loads them."""
