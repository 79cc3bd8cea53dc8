"""Recipes, their fits, their figures, and what is served."""
