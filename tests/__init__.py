"""A package, because libraries install one of the same name, which processes that tests start would find instead."""
