"""What is printed: tables, colors, prompts, errors."""
