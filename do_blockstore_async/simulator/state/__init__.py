"""What an account holds: volumes, snapshots, actions, Droplets, tags."""
