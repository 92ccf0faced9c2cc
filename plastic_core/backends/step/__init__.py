"""One step of learning: what it consists of, and how it is carried out without side effects."""
