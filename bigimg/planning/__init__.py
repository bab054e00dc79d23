"""Arithmetic on frozen values: decide what a conversion will do, and add up its memory."""
