"""What the functions of resources have yielded, as files: written, read, masked and compared."""
