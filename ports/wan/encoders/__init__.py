"""What reads a prompt or a picture: UMT5 and CLIP, with the tokenizer and the resizing that they were trained with."""
