"""Tables in files: columns as numbers by an encoding that is plain data, and streams of files larger than memory."""

from .encoding import TableEncoding, encode_table, read_table

__all__ = ["TableEncoding", "encode_table", "read_table"]
