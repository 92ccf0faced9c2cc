"""What is measured at evaluation points."""
