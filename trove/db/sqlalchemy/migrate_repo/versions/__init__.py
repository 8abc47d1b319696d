"""The steps, one per version, each safe to repeat after it was interrupted. A step that was released never changes."""
