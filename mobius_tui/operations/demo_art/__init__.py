"""The pictures of the demo library, drawn with Pillow alone; every picture depends on its arguments only."""
