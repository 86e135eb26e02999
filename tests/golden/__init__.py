"""Data directories of every format version, as the release that introduced the format wrote them."""
