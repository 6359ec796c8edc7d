"""Follows Flash Trade on both of its chains."""
