"""Plots of captured calls, as images and as text."""
