"""Features: faces, VGG-Face fc6, openSMILE LLDs, the timeline, normalisation."""
