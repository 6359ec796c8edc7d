"""The dialect of Flash Trade v2's own interface: baskets and metrics of any owner (docs/flash.md)."""
