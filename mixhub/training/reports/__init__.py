"""What one sees of a run in training: metrics, trackers, progress, spikes, and why it was stopped."""
