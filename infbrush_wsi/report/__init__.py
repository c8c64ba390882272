"""Pictures and pages that show what a run made and what was checked."""
