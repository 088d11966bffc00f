"""What users import: ExperienceStream, decoding, filters."""
