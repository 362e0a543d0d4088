"""Registers of people and of rights holders, and the parts that look for them."""
