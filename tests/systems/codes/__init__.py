"""A small token model of another kind than the product's: one stream of text ids and motion codes, fixed quantiser.

It is registered from outside, by an entry point, and is what CONTRIBUTING's "Adding a system" builds step by step.
"""
